"""Opening annotation folders, annotated images and trained models."""

import os
import pickle
import re

import npe2
import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from napari.plugins import _npe2
from napari.utils.notifications import notification_manager
from PIL import Image as Picture

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.library.archive import export_model
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.napari_plugin.layers import stacks
from napari_seg_trainer.napari_plugin.layers.names import stem_for
from napari_seg_trainer.napari_plugin.layers.opening import add_layers, read_folder
from napari_seg_trainer.napari_plugin.layers.planes import annotated_image, pixel_size, plane, sources
from napari_seg_trainer.napari_plugin.parts.docks import SEGMENT, opened
from napari_seg_trainer.napari_plugin.reader import get_reader

PLUGIN = "napari-seg-trainer"


@pytest.fixture
def notices():
    """What napari tells the user, as pairs of severity and text."""
    told = []

    def note(event):
        told.append((str(event.severity), event.message))

    notification_manager.notification_ready.connect(note)
    yield told
    notification_manager.notification_ready.disconnect(note)


def open_folder(viewer, folder):
    return add_layers(viewer, read_folder(folder))


def by_type(layers):
    return [layer for layer in layers if isinstance(layer, Image)], [x for x in layers if isinstance(x, Labels)]


def read(folder):
    return [pair.read() for pair in AnnotationFolder.open(folder)]


def test_a_folder_is_a_stack_for_each_channel_and_one_of_labels(viewer_model, annotation_folder, notices):
    folder = annotation_folder("annotations_nuclei", 5, channels=("dapi", "actin"), pixel_size=0.325)
    images, (labels,) = by_type(open_folder(viewer_model, folder))
    assert [image.name for image in images] == ["dapi", "actin"]
    assert labels.name == "nuclei labels"
    assert {layer.data.shape for layer in viewer_model.layers} == {(5, 96, 96)}
    assert {pixel_size(layer) for layer in viewer_model.layers} == {0.325}
    assert viewer_model.dims.axis_labels == ("image", "y", "x")
    for frame, written in enumerate(read(folder)):
        assert stem_for(labels, frame, 5, None) == stem_for(images[0], frame, 5, None) == written.stem
        item = annotated_image(labels, sources(images), frame, stem=written.stem, pixel_size=0.325)
        np.testing.assert_array_equal(item.image, written.image)
        np.testing.assert_array_equal(item.labels, written.labels)
        assert item.image.dtype == written.image.dtype
        assert item.channels == written.channels
    assert not notices


def test_field_of_view_and_frame_survive_a_round_trip(viewer_model, annotation_folder):
    folder = annotation_folder("some", 2, field_of_view="well A1", frame=7)
    images, (labels,) = by_type(open_folder(viewer_model, folder))
    item = annotated_image(labels, sources(images), 1, stem="again")
    assert (item.field_of_view, item.frame) == ("well A1", 7)


def test_labels_of_a_stack_can_be_painted(viewer_model, annotation_folder):
    images, (labels,) = by_type(open_folder(viewer_model, annotation_folder(images=3)))
    viewer_model.dims.current_step = (2, 0, 0)
    labels.selected_label = 777
    labels.paint((2, 50, 50), 777)
    assert annotated_image(labels, sources(images), 2, stem="a").labels.max() == 777
    assert annotated_image(labels, sources(images), 1, stem="a").labels.max() < 777


def test_pixels_are_read_when_they_are_looked_at(viewer_model, annotation_folder):
    folder = annotation_folder("big", 5, shape=(32, 32))
    images, _ = by_type(open_folder(viewer_model, folder))
    AnnotatedImage(np.full((1, 32, 32), 9, np.uint16), np.ones((32, 32), np.int32), ("dapi",), "cell_03").write(
        folder, overwrite=True
    )
    assert plane(images[0], 3).max() == 9
    (folder / "cell_04.tif").write_bytes(b"II*\0" + bytes(50))
    with pytest.raises(DataError, match=r"cell_04\.tif"):
        plane(images[0], 4)
    tifffile.imwrite(folder / "cell_04.tif", np.zeros((40, 32), np.uint16))
    with pytest.raises(DataError, match=r"cell_04\.tif' has changed since it was opened"):
        plane(images[0], 4)


def test_images_of_several_sizes_are_stacks_of_which_the_largest_is_visible(viewer, annotation_folder, qtbot):
    annotation_folder("mixed", 1, shape=(40, 60), prefix="odd")
    folder = annotation_folder("mixed", 3, shape=(96, 80))
    layers = open_folder(viewer, folder)
    qtbot.waitUntil(lambda: len(viewer.layers) == len(layers))
    shapes = {layer.name: (layer.data.shape, layer.visible) for layer in layers}
    assert shapes == {
        "dapi (odd_00)": ((40, 60), False),
        "mixed labels (odd_00)": ((40, 60), False),
        "dapi": ((3, 96, 80), True),
        "mixed labels": ((3, 96, 80), True),
    }
    assert viewer.layers.selection.active.name == "mixed labels"
    qtbot.waitUntil(lambda: viewer.scene.camera.center[1] == pytest.approx(95 / 2 * 0.5))


def cellpose(folder, image, labels):
    tifffile.imwrite(folder / "a.tif", image)
    tifffile.imwrite(folder / "a_masks.tif", labels)


def cellpose_png(folder, image, labels):
    Picture.fromarray(image).save(folder / "a.png")
    Picture.fromarray(labels.astype(np.uint16)).save(folder / "a_cp_masks.png")


def cellpose_seg(folder, image, labels):
    tifffile.imwrite(folder / "a.tif", image)
    with (folder / "a_seg.npy").open("wb") as file:
        np.save(file, {"masks": labels.astype(np.uint16)}, allow_pickle=True)


def stardist(folder, image, labels):
    for name, data in (("images", image), ("masks", labels)):
        (folder / name).mkdir()
        tifffile.imwrite(folder / name / "a.tif", data)


@pytest.mark.parametrize("layout", [cellpose, cellpose_png, cellpose_seg, stardist])
def test_other_programs_layouts_are_opened(viewer, tmp_path, layout):
    folder = tmp_path / "field 1"
    folder.mkdir()
    image = np.random.default_rng(0).integers(0, 255, (50, 60), np.uint8)
    mask = np.kron(np.arange(1, 31).reshape(5, 6), np.ones((10, 10), int)).astype(np.int32)
    layout(folder, image, mask)
    (shown,), (labels,) = by_type(open_folder(viewer, folder))
    np.testing.assert_array_equal(shown.data, image)
    np.testing.assert_array_equal(labels.data, mask)
    assert (shown.name, labels.name) == ("field 1", "field 1 labels")
    assert pixel_size(shown) is None


def test_colours_become_three_channels(viewer_model, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (50, 60, 3), np.uint8)
    cellpose_png(tmp_path, image, np.ones((50, 60), int))
    images, _ = by_type(open_folder(viewer_model, tmp_path))
    assert [(shown.name, shown.colormap.name) for shown in images] == [(c, c) for c in ("red", "green", "blue")]
    np.testing.assert_array_equal(images[2].data, image[..., 2])


def test_grey_pictures_are_one_channel_beside_coloured_ones(viewer_model, tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (3, 50, 60, 3), np.uint8)
    colours[1:] = colours[1:, ..., :1]
    for place, image in enumerate(colours):
        Picture.fromarray(image).save(tmp_path / f"{place}.png")
        Picture.fromarray(np.ones((50, 60), np.uint16)).save(tmp_path / f"{place}_cp_masks.png")
    images, _ = by_type(open_folder(viewer_model, tmp_path))
    shapes = {image.name: image.data.shape for image in images}
    assert shapes == {"grey": (2, 50, 60)} | {f"{c} (0)": (50, 60) for c in ("red", "green", "blue")}
    np.testing.assert_array_equal(plane(images[-1], 1), colours[2, ..., 0])


def test_too_many_images_are_left_out_and_counted(viewer_model, annotation_folder, notices, monkeypatch):
    folder = annotation_folder("many", 6)
    monkeypatch.setattr(stacks, "MAX_LABEL_BYTES", 4 * 96 * 96 * 4)
    _, (labels,) = by_type(open_folder(viewer_model, folder))
    assert len(labels.data) == 4
    ((severity, text),) = notices
    assert severity == "warning"
    assert f"4 of 6 images in '{folder}' are open, and 2 are not" in text
    viewer_model.layers.clear()
    notices.clear()
    monkeypatch.setattr(stacks, "MAX_KINDS", 1)
    annotation_folder("many", 2, shape=(40, 40), prefix="odd", seed=4)
    _, (labels,) = by_type(open_folder(viewer_model, folder))
    assert len(labels.data) == 4
    assert "and 4 are not" in notices[0][1]


def test_broken_images_are_left_out_and_named(viewer_model, annotation_folder, notices):
    folder = annotation_folder("some", 4)
    whole = (folder / "cell_01.tif").read_bytes()
    (folder / "cell_01.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "cell_02.json").write_text("{")
    tifffile.imwrite(folder / "cell_03_labelled.tif", np.ones((5, 5), np.uint16))
    layers = open_folder(viewer_model, folder)
    assert [layer.data.shape for layer in layers] == [(96, 96), (96, 96)]
    ((severity, text),) = notices
    assert severity == "warning"
    assert text.startswith(f"3 of 4 images in '{folder}' cannot be opened. The first: TIFF file '{folder}")
    assert len(text.splitlines()) == 1


def test_a_folder_of_anything_else_is_refused_in_one_line(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(
        DataError, match=rf"^Folder '{re.escape(str(tmp_path))}' holds no image with its mask\. Expected [^\n]*$"
    ):
        read_folder(tmp_path)


def test_a_mask_is_opened_with_its_image(viewer_model, annotation_folder):
    folder = annotation_folder("annotations_nuclei", 2, channels=("dapi", "actin"))
    layers = viewer_model.open(str(folder / "cell_01_labelled.tif"), plugin=PLUGIN)
    assert [layer.name for layer in layers] == ["dapi", "actin", "cell_01 labels"]
    written = read(folder)[1]
    np.testing.assert_array_equal(layers[1].data, written.image[1])
    np.testing.assert_array_equal(layers[2].data, written.labels)
    assert {pixel_size(layer) for layer in layers} == {0.5}
    assert stem_for(layers[2], 0, 1, None) == "cell_01"


def test_a_mask_alone_is_opened_alone(viewer_model, annotation_folder, tmp_path, notices):
    mask = (annotation_folder(images=1) / "cell_00_labelled.tif").rename(tmp_path / "cell_labelled.tif")
    (labels,) = viewer_model.open(str(mask), plugin=PLUGIN)
    assert isinstance(labels, Labels)
    assert labels.data.max() == 16
    mask.write_bytes(b"")
    assert viewer_model.open(str(mask), plugin=PLUGIN) == []
    assert notices[-1] == ("error", f"'{mask}' is empty (0 bytes). Export the image again, or remove it.")


def test_a_pickle_is_not_run(viewer_model, tmp_path, notices):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was run"), "w"))

    (tmp_path / "a_seg.npy").write_bytes(pickle.dumps(Evil()))
    assert viewer_model.open(str(tmp_path / "a_seg.npy"), plugin=PLUGIN) == []
    assert notices[-1][0] == "error"
    assert not (tmp_path / "was run").exists()


FOREIGN_FILES = (
    "cell.tif cell.tiff cell.ome.tif cell.png cell.jpg cell.npy cell.json cell.csv cell.lsm cell.czi labels.zarr.zip "
    "model.zip cell_masks.tif cell_masks.png cell_cp_masks.tif cell_cp_masks.png cell_flows.tif segmodel cell.h5"
).split()


@pytest.fixture
def foreign(tmp_path):
    """Files and folders of other programs: plain pictures, masks, archives, slices, zarr, models."""
    for name in FOREIGN_FILES:
        (tmp_path / name).touch()
    for name in ("slices", "empty", "cell.zarr", "cell.ome.zarr", "2D_versatile_fluo", "annotations_nuclei"):
        (tmp_path / name).mkdir()
    (tmp_path / "slices" / "a.tif").touch()
    (tmp_path / "cell.ome.zarr" / ".zattrs").write_text("{}")
    (tmp_path / "annotations_nuclei" / "a_labelled.tif").touch()
    return tmp_path


def test_what_is_foreign_has_the_same_readers_with_and_without_the_plugin(viewer_model, foreign):
    paths = [str(foreign / name) for name in sorted(os.listdir(foreign))]
    plugins = npe2.PluginManager.instance()
    assert PLUGIN in plugins
    having = {path: _npe2.get_readers(path) for path in paths}
    plugins.disable(PLUGIN)
    try:
        assert {path: _npe2.get_readers(path) for path in paths} == having
    finally:
        plugins.enable(PLUGIN)
    assert having[str(foreign / "slices")]  # napari's own; so nothing here is without readers by mistake


@pytest.mark.parametrize("name", ["a_labelled.tif", "a.b_labelled.TIF", "a_labelled.png", "a_seg.npy", "a.segmodel"])
def test_own_names_are_claimed(name):
    assert PLUGIN in _npe2.get_readers(f"/data/{name}")


def test_images_and_folders_open_without_a_question(viewer_model, annotation_folder):
    folder = annotation_folder(images=2)
    (layer,) = viewer_model.open(str(folder / "cell_00.tif"), plugin=None)
    assert layer.source.reader_plugin == "napari"
    for path in folder.glob("*.json"):
        path.unlink()
    (stack,) = viewer_model.open(str(folder), plugin=None)
    assert stack.source.reader_plugin == "napari"


def drop(viewer, path):
    viewer.window._qt_viewer._qt_open([str(path)], stack=False)


def test_a_dropped_file_puts_its_model_into_the_library(viewer, toy_model, tmp_path, qtbot):
    file = export_model(toy_model("bright"), tmp_path / "bright")
    ModelLibrary().delete("bright")
    drop(viewer, file)
    qtbot.waitUntil(lambda: opened(viewer, SEGMENT) is not None)
    qtbot.waitUntil(lambda: opened(viewer, SEGMENT).form.model.value == "bright")
    assert ModelLibrary().names() == ["bright"]
    assert not viewer.layers


@pytest.mark.usefixtures("no_viewer")
def test_a_model_that_is_read_without_a_viewer_is_not_imported(toy_model, tmp_path, notices):
    file = export_model(toy_model("bright"), tmp_path / "bright.segmodel")
    ModelLibrary().delete("bright")
    assert npe2.read([str(file)], stack=False) == [(None,)]
    assert ModelLibrary().names() == []
    ((_, text),) = notices
    assert text == (
        f"Model file '{file}' is not opened, as there is no viewer. 'napari-seg-trainer import-model' adds it to the "
        "library."
    )


def test_a_file_without_a_model_is_refused_in_one_line(viewer, home, tmp_path, notices, qtbot):
    (tmp_path / "a.segmodel").write_bytes(b"PK\x05\x06" + bytes(18))
    drop(viewer, tmp_path / "a.segmodel")
    qtbot.waitUntil(lambda: notices and notices[-1][0] == "error")
    assert len(notices[-1][1].splitlines()) == 1
    assert "a.segmodel" in notices[-1][1]
    assert opened(viewer, SEGMENT) is None


def test_a_broken_first_image_takes_no_other_with_it(viewer_model, annotation_folder, notices):
    folder = annotation_folder("some", 4)
    path = folder / "cell_00.tif"
    with tifffile.TiffFile(path) as tif:
        place = tif.pages.first.dataoffsets[0]
    whole = bytearray(path.read_bytes())
    whole[place + 40 : place + 80] = bytes(40)
    path.write_bytes(whole)
    image, labels = open_folder(viewer_model, folder)
    assert image.data.shape == labels.data.shape == (3, 96, 96)
    ((severity, text),) = notices
    assert severity == "warning"
    assert text.startswith(f"1 of 4 images in '{folder}' cannot be opened. The first: TIFF file '{path}' is broken")


def test_a_path_that_is_too_long_is_told(notices):
    path = "/" + "x" * 5000 + "_labelled.tif"
    assert get_reader(path)(path) == [(None,)]
    ((severity, text),) = notices
    assert severity == "error"
    assert len(text.splitlines()) == 1


def test_several_files_are_left_to_others():
    assert get_reader(["/data/a_labelled.tif", "/data/b_labelled.tif"]) is None
