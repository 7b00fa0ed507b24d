"""Exporting what people have: several images open at once, grey PNGs, names that come twice."""

from html import unescape
from types import SimpleNamespace

import npe2
import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QMessageBox

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.sidecar import read_sidecar
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.export.defaults import proposed_names
from napari_seg_trainer.napari_plugin.export.frames_and_crops import RANGE
from napari_seg_trainer.napari_plugin.export.plan import ExportPlan
from napari_seg_trainer.napari_plugin.layers import planes
from napari_seg_trainer.napari_plugin.layers.crops import Crop
from napari_seg_trainer.napari_plugin.layers.planes import PROVENANCE, pixel_size, plane, sources
from napari_seg_trainer.napari_plugin.parts.docks import EXPORT, open_dock

LEFT = Qt.MouseButton.LeftButton
SIZE = 64


def grey(seed):
    """Two bright squares on noise, with three equal colours, as a grey PNG is opened; and their labels."""
    labels = np.zeros((SIZE, SIZE), np.int32)
    labels[8:24, 8:24], labels[36:56, 30:50] = 1, 2
    pixels = np.random.default_rng(seed).integers(0, 60, (SIZE, SIZE), np.uint8) + 150 * (labels > 0).astype(np.uint8)
    return np.dstack([pixels] * 3), labels


def write_png(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels, labels = grey(seed)
    Image.fromarray(pixels).save(path)
    return labels


@pytest.fixture
def widget(viewer, tmp_path):
    dock = open_dock(viewer, EXPORT)
    dock.form.pixel_size["unknown"].value = True
    return dock


@pytest.fixture
def export(widget, qtbot):
    """Click on Export and, where it asks, on `verb`; wait until all is written."""

    def click(verb=""):
        assert widget.button.isEnabled(), widget.reason
        widget.result.hide()
        qtbot.mouseClick(widget.button, LEFT)
        if verb:
            qtbot.waitUntil(lambda: widget.findChild(QMessageBox) is not None)
            box = widget.findChild(QMessageBox)
            (button,) = (button for button in box.buttons() if button.text() == verb)
            qtbot.mouseClick(button, LEFT)
        qtbot.waitUntil(lambda: widget.button.isVisible() and widget.result.isVisible())

    return click


@pytest.fixture
def asked(widget, qtbot):
    """Click on Export, and return what is asked and what can be answered; nothing is done."""

    def click():
        qtbot.mouseClick(widget.button, LEFT)
        qtbot.waitUntil(lambda: widget.findChild(QMessageBox) is not None)
        box = widget.findChild(QMessageBox)
        text, verbs = box.text(), [button.text() for button in box.buttons()]
        qtbot.mouseClick(box.escapeButton(), LEFT)
        qtbot.waitUntil(lambda: widget.findChild(QMessageBox) is None)
        return text, verbs

    return click


def ticked(widget):
    return [row.source.name for row in widget.form.channels._rows if row.ticked]


def written(folder):
    return {pair.stem: pair.read() for pair in AnnotationFolder.open(folder)}


def open_with_labels(viewer, path, seed, name=""):
    """Open a PNG as a user does, and draw its labels."""
    labels = write_png(path, seed)
    (image,) = viewer.open(str(path), plugin="napari")
    return image, viewer.add_labels(labels.copy(), **({"name": name} if name else {}))


# which images


def test_of_two_open_images_the_labels_own_is_exported(viewer, widget, tmp_path, export):
    open_with_labels(viewer, tmp_path / "a.png", 1, "a - Labels")
    second, labels = open_with_labels(viewer, tmp_path / "b.png", 2)
    assert widget.form.labels.value is labels
    assert ticked(widget) == [second.name]
    assert widget.form.image_name.value == "b"
    export()
    viewer.layers.selection.active = viewer.layers["a - Labels"]
    assert ticked(widget) == ["a"]
    assert widget.form.image_name.value == "a"
    export()
    images = written(tmp_path / "annotations_cells")
    assert list(images) == ["a", "b"]
    for seed, image in enumerate(images.values(), start=1):
        np.testing.assert_array_equal(image.image, [grey(seed)[0][..., 0]])
    assert not list(tmp_path.glob("replaced_*"))


@pytest.mark.parametrize("hidden", [False, True])
def test_labels_belong_to_the_image_of_their_name_wherever_it_is(viewer, widget, hidden):
    for seed, name in enumerate(("first", "second", "third")):
        viewer.add_image(grey(seed)[0][..., 0], name=name, visible=not (hidden and name == "first"))
    viewer.add_labels(grey(0)[1], name="first_masks")
    assert ticked(widget) == ["first"]
    assert len(widget.form.channels._rows) == 3
    viewer.layers["first"].name = "renamed"
    assert ticked(widget) == ["third"]  # the one right below


def test_of_two_images_of_one_name_the_labels_own_counts(viewer, widget, tmp_path, export):
    first, _ = open_with_labels(viewer, tmp_path / "pos 1" / "cell.png", 1, "cell - Labels")
    second, _ = open_with_labels(viewer, tmp_path / "pos 2" / "cell.png", 2, "cell - Labels")  # napari adds [1]
    third, _ = open_with_labels(viewer, tmp_path / "pos 3" / "cell.png", 3)
    exact = viewer.add_labels(grey(1)[1], name=f"{second.name} - Labels")
    assert [second.name, third.name] == ["cell [1]", "cell [2]"]
    for labels, image in (("cell - Labels", first), ("cell - Labels [1]", second), (exact.name, second)):
        viewer.layers.selection.active = viewer.layers[labels]
        assert widget.form.plan().labelled is image
        assert ticked(widget) == [image.name]


def test_labels_that_a_model_found_belong_to_what_it_segmented(viewer, widget):
    for seed, name in enumerate(("Hoechst", "actin", "other")):
        viewer.add_image(grey(seed)[0][..., 0], name=name)
    made = {"model": "m", "channels": {"dna": "Hoechst", "cell": "actin"}, "images": {"dna": None, "cell": None}}
    viewer.add_labels(grey(0)[1], name="Hoechst · m", metadata={PROVENANCE: made})
    assert ticked(widget) == ["Hoechst", "actin"]


def test_what_the_user_ticks_holds_for_these_labels_alone(viewer, widget, qtbot):
    for name in ("one", "two"):
        viewer.add_image(grey(0)[0][..., 0], name=name)
    first = viewer.add_labels(grey(0)[1], name="one - Labels")
    box = widget.form.channels._rows[1].box
    qtbot.mouseClick(box, LEFT, pos=QPoint(8, box.height() // 2))
    assert ticked(widget) == ["one", "two"]
    viewer.add_labels(grey(0)[1], name="two - Labels")
    assert ticked(widget) == ["two"]
    viewer.layers.selection.active = first
    assert ticked(widget) == ["one", "two"]


# replacing


def test_what_is_replaced_can_be_brought_back(viewer, widget, tmp_path, export, asked, qtbot):
    _, labels = open_with_labels(viewer, tmp_path / "a.png", 1, "drawn")
    export()
    folder = tmp_path / "annotations_drawn"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    labels.data[labels.data == 2] = 0
    labels.refresh()
    text, verbs = asked()
    assert text.startswith("'a' (20")
    assert "Replace them by the layer 'drawn' on 'a'?" in text
    assert verbs == ["Replace it", "Go back"]
    export("Replace it")
    assert written(folder)["a"].labels.max() == 1
    (aside,) = tmp_path.glob("replaced_annotations_drawn_20*")
    assert {path.name: path.read_bytes() for path in aside.iterdir()} == before
    assert len(AnnotationFolder.open(folder)) == 1
    qtbot.mouseClick(widget.result.undo, LEFT)
    qtbot.waitUntil(lambda: "Restored 1 image" in widget.result.line.text())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert written(aside)["a"].labels.max() == 1
    assert not widget.result.undo.isVisible()


def test_another_image_is_never_replaced(viewer, widget, tmp_path, export, asked):
    widget.form.folder.value = tmp_path
    for seed in (1, 2):
        pixels, labels = grey(seed)
        viewer.layers.clear()
        viewer.add_image(pixels[..., 0], name="DAPI.tif")
        viewer.add_labels(labels, name="nuclei")
        if seed == 1:
            export()
    text, verbs = asked()
    assert "is another image than 'DAPI.tif', which can be called 'DAPI_2'" in text
    assert verbs == ["Write as 'DAPI_2'", "Go back"]
    export("Write as 'DAPI_2'")
    images = written(tmp_path / "annotations_nuclei")
    assert list(images) == ["DAPI", "DAPI_2"]
    np.testing.assert_array_equal(images["DAPI"].image, [grey(1)[0][..., 0]])
    assert len({image.group for image in images.values()}) == 2
    assert not widget.result.undo.isVisible()


def test_a_disk_that_cannot_keep_the_old_one_replaces_nothing(viewer, widget, tmp_path, export, monkeypatch):
    _, labels = open_with_labels(viewer, tmp_path / "a.png", 1, "drawn")
    export()
    before = written(tmp_path / "annotations_drawn")["a"].labels
    labels.data[:] = 0

    def full(*_paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("napari_seg_trainer.annotations.replaced.shutil.copy2", full)
    export("Replace it")
    assert "No space left on device" in widget.result.line.text()
    np.testing.assert_array_equal(written(tmp_path / "annotations_drawn")["a"].labels, before)


# names


@pytest.fixture
def scenes(tmp_path):
    """A file that another plugin opens as two scenes of two channels each."""

    def read(path):
        names = ["Scene 1 :: DAPI", "Scene 1 :: actin", "Scene 2 :: DAPI", "Scene 2 :: actin"]
        return [
            (grey(seed)[0][..., 0], {"name": f"{name} :: plate.scenes"}, "image") for seed, name in enumerate(names)
        ]

    with npe2.DynamicPlugin("reader-of-scenes") as plugin:

        @plugin.contribute.reader(filename_patterns=["*.scenes"])
        def get_reader(path):
            return read

        (tmp_path / "plate.scenes").touch()
        yield tmp_path / "plate.scenes"


def test_scenes_of_one_file_are_told_apart(viewer, widget, scenes, export):
    layers = viewer.open(str(scenes), plugin="reader-of-scenes")
    for number in (1, 2):
        place = viewer.layers.index(layers[2 * number - 1]) + 1
        viewer.add_labels(grey(0)[1], name="cells")
        viewer.layers.move(len(viewer.layers) - 1, place)
        assert ticked(widget) == [layer.name for layer in layers[2 * number - 2 : 2 * number]]
        assert widget.form.image_name.value == f"plate_Scene_{number}"
        export()
    images = written(scenes.parent / "annotations_cells")
    assert list(images) == ["plate_Scene_1", "plate_Scene_2"]
    assert [image.field_of_view for image in images.values()] == ["plate_Scene_1", "plate_Scene_2"]
    assert {image.channels for image in images.values()} == {("DAPI", "actin")}
    for number, image in enumerate(images.values()):
        np.testing.assert_array_equal(image.image[1], grey(2 * number + 1)[0][..., 0])


def test_two_positions_of_one_name_get_names_and_fields_of_their_own(viewer, widget, tmp_path, export):
    for seed, position in enumerate(("pos 1", "pos 2", "pos 1")):
        viewer.layers.clear()
        open_with_labels(viewer, tmp_path / position / "cell.png", seed % 2)
        widget.form.folder.value = tmp_path
        export("Replace it" if seed == 2 else "")
    images = written(tmp_path / "annotations_cells")
    assert list(images) == ["cell", "pos_2_cell"]
    assert [image.group for image in images.values()] == ["cell", "pos_2_cell"]
    sidecar = read_sidecar(tmp_path / "annotations_cells" / "cell.json")
    assert sidecar.source_file == str(tmp_path / "pos 1" / "cell.png")


def test_a_name_that_is_typed_counts_for_its_labels(viewer, widget, tmp_path, export):
    open_with_labels(viewer, tmp_path / "a.png", 1, "a - Labels")
    widget.form.image_name.value = "control 7"
    assert "control 7.tif" in widget.preview.text()
    open_with_labels(viewer, tmp_path / "b.png", 2, "b - Labels")
    assert widget.form.image_name.value == "b"
    viewer.layers.selection.active = viewer.layers["a - Labels"]
    assert widget.form.image_name.value == "control 7"
    widget.form.image_name.value = "a/b"
    assert "'/' is not allowed" in widget.form.form.reasons["image_name"]
    widget.form.image_name.value = ""
    assert widget.form.image_name.native.placeholderText() == "a"
    export()
    assert list(written(tmp_path / "annotations_cells")) == ["a"]


def test_channels_are_never_called_after_files(viewer, widget, tmp_path, export):
    image, labels = open_with_labels(viewer, tmp_path / "a.png", 1)
    widget.form.population.value = "first"
    (name,) = (row.name for row in widget.form.channels._rows)
    assert name.text() == "grey"
    image.name = "Hoechst"
    assert name.text() == "Hoechst"
    export()
    viewer.layers.clear()
    open_with_labels(viewer, tmp_path / "b.png", 2)
    assert widget.form.population.value == "first"  # as the last time
    (name,) = (row.name for row in widget.form.channels._rows)
    assert name.text() == "Hoechst"  # as the folder's other image
    widget.form.population.value = "second"
    assert name.text() == "Hoechst"  # as the last time
    made = {"model": "m", "channels": {"dna": "b"}, "images": {"dna": str(tmp_path / "b.png")}}
    viewer.add_labels(labels.data, name="b · m", metadata={PROVENANCE: made})
    widget.form.population.value = "second"
    (name,) = (row.name for row in widget.form.channels._rows)
    assert name.text() == "dna"  # as the model that has found the labels


def test_names_that_the_folders_images_do_not_have_are_told_with_those_to_take(viewer, widget, tmp_path, export):
    widget.form.folder.value = tmp_path
    rows = widget.form.channels
    for seed, names in enumerate((["nuclei"], ["Hoechst"], ["nuclei", "actin"], ["DAPI", "nuclei"])):
        viewer.layers.clear()
        images = [viewer.add_image(grey(seed)[0][..., 0], name=name) for name in names]
        viewer.add_labels(grey(seed)[1], name=f"{names[0]} - Labels")
        rows.tick(images)
        widget.form.image_name.value = f"image {seed}"
        if seed == 0:
            export()
        texts = [row.name.text() for row in rows._rows]
        if seed == 1:
            assert texts == ["nuclei"]  # one for one
            assert not rows.hint.isVisible()
            rows._rows[0].name.setText("dna")
            rows._rows[0].name.textEdited.emit("dna")
            assert "have 'nuclei'" in unescape(rows.hint.text())
            assert "'dna' → 'nuclei'" in unescape(rows.hint.text())
            rows.hint.linkActivated.emit("take")
            assert rows.chosen()[0][1] == "nuclei"
            assert not rows.hint.isVisible()
        if seed > 1:  # one more than the folder's images have is no mistake
            assert texts == names
            assert not rows.hint.isVisible()


def test_population_and_folder_are_those_of_the_last_export(viewer, widget, tmp_path, export):
    open_with_labels(viewer, tmp_path / "exp" / "day 1" / "a.png", 1)
    assert widget.form.population.value == "cells"
    widget.form.population.value = "bacteria"
    assert widget.form.folder.value == tmp_path / "exp" / "day 1"
    widget.form.folder.value = tmp_path / "exp"
    export()
    viewer.window.remove_dock_widget(widget)
    for place, folder in (("exp/day 2", "exp"), ("exp", "exp"), ("other", "other")):
        viewer.layers.clear()
        open_with_labels(viewer, tmp_path / place / "b.png", 2)
        dock = open_dock(viewer, EXPORT)
        assert dock.form.population.value == "bacteria"
        assert dock.form.folder.value == tmp_path / folder
        viewer.window.remove_dock_widget(dock)


# grey and colours


def test_three_equal_colours_are_one_channel(viewer):
    pixels, _ = grey(1)
    image = viewer.add_image(pixels, rgb=True, name="grey")
    (source,) = sources([image])
    assert (source.component, source.name, source.grey) == (0, "grey", True)
    coloured = pixels.copy()
    coloured[5, 6, 2] ^= 1  # a single pixel
    image = viewer.add_image(coloured, rgb=True, name="photo")
    assert [source.name for source in sources([image])] == ["photo red", "photo green", "photo blue"]


def test_frames_that_are_grey_in_one_place_only_are_refused(viewer, widget, tmp_path, export):
    import dask.array

    frames = np.stack([grey(seed)[0] for seed in range(3)])
    frames[2, ..., 1] //= 2
    viewer.add_image(dask.array.from_array(frames, chunks=(1, -1, -1, -1)), rgb=True, name="movie")
    viewer.add_labels(np.stack([grey(0)[1]] * 3), name="cells")
    widget.form.folder.value = tmp_path
    viewer.dims.set_point(0, 1)
    export()
    viewer.dims.set_point(0, 2)
    export()
    assert "has colours in another" in widget.result.line.text()
    assert list(written(tmp_path / "annotations_cells")) == ["movie_t001"]


# places and sizes


@pytest.mark.parametrize(
    ("look", "size"),
    [
        ({"scale": (0.5, 0.5)}, 0.5),
        ({"scale": (-0.5, 0.5)}, 0.5),
        ({"scale": (0.5, 0.5), "rotate": 30}, 0.5),
        ({"affine": [[0.25, 0, 5], [0, 0.25, 5], [0, 0, 1]]}, 0.25),
        ({"scale": (2, 2), "affine": [[0, 0.25, 0], [0.25, 0, 0], [0, 0, 1]]}, 0.5),
        ({"scale": (0.5, 0.4)}, None),
    ],
)
def test_the_pixel_size_is_that_of_all_transforms(viewer_model, look, size):
    layer = viewer_model.add_image(grey(1)[0][..., 0], units="um", **look)
    assert pixel_size(layer) == (size and pytest.approx(size))


def test_pixels_that_are_not_square_are_told(viewer, widget, tmp_path):
    where = {"scale": (0.5, 0.4), "units": "um"}
    viewer.add_image(grey(1)[0][..., 0], name="DAPI", **where)
    viewer.add_labels(grey(1)[1], name="nuclei", **where)
    widget.form.pixel_size["unknown"].value = False
    told = widget.form.form.reasons["pixel_size"]
    assert told.startswith("The pixels of layer 'DAPI' are 0.5 × 0.4 µm (height × width).")
    widget.form.pixel_size["number"].value = "0.45"
    assert "pixel_size" not in widget.form.form.reasons


def test_of_a_large_lazy_layer_the_crop_alone_is_read(viewer_model, tmp_path):
    import dask.array

    read = []

    def block(block_info=None):
        place = block_info[None]["array-location"]
        read.append(tuple((start, stop) for start, stop in place))
        return np.ones([stop - start for start, stop in place], np.uint16)

    size, side = 16_384, 256
    chunks = ((side,) * (size // side),) * 2
    data = dask.array.map_blocks(block, chunks=chunks, dtype=np.uint16)
    image = viewer_model.add_image(data, name="slide", contrast_limits=(0, 2), multiscale=False, visible=False)
    nothing = dask.array.zeros((size, size), dtype=np.int32, chunks=side)
    labels = viewer_model.add_labels(nothing, name="cells", visible=False)  # napari takes seconds to show them
    plan = ExportPlan(
        labels=labels,
        labelled=image,
        channels=tuple((source, source.name) for source in sources([image])),
        folder=tmp_path / "annotations_cells",
        frames=range(1),
        crops=(Crop(512, 768, 1024, 1280), Crop(600, 700, 8000, 8100)),
    )
    read.clear()
    for _ in plan.start(plan.items(), lambda: False)():
        pass
    assert set(read) == {((1024, 1280), (512, 768)), ((7936, 8192), (512, 768))}
    assert [image.labels.shape for image in written(plan.folder).values()] == [(256, 256), (100, 100)]


def test_a_plane_that_no_memory_could_hold_is_refused_before_it_is_read(viewer_model, monkeypatch):
    import dask.array

    data = dask.array.zeros((2048, 2048), dtype=np.uint16, chunks=256)
    layer = viewer_model.add_image(data, name="slide", contrast_limits=(0, 2))
    monkeypatch.setattr(planes.psutil, "virtual_memory", lambda: SimpleNamespace(available=2**20))
    with pytest.raises(DataError, match=r"^A plane of layer 'slide' needs 8 MiB of memory; 1 MiB are free\."):
        plane(layer, 0)
    assert plane(layer, 0, Crop(0, 512, 0, 512)).shape == (512, 512)


# movies and stacks


@pytest.fixture
def movie(viewer, widget, tmp_path):
    """Nine frames and their labels."""
    frames = np.stack([grey(seed)[0][..., 0] for seed in range(9)])
    image = viewer.add_image(frames, name="movie")
    labels = viewer.add_labels(np.stack([np.roll(grey(0)[1], frame, 1) for frame in range(9)]), name="movie - Labels")
    widget.form.folder.value = tmp_path
    return image, labels


def test_a_rectangle_on_a_frame_crops_that_frame_alone(viewer, widget, movie, tmp_path, export):
    square = np.array([[4, 4], [4, 40], [40, 40], [40, 4]], float)
    fields = viewer.add_shapes([np.column_stack([np.full(4, 2.0), square])], name="fields")
    widget.form.parts.shapes.value = fields
    viewer.dims.set_point(0, 3)
    assert "no rectangle or polygon on frame 3" in widget.form.parts.form.reasons["shapes"]
    assert not widget.button.isEnabled()
    viewer.dims.set_point(0, 2)
    assert widget.form.parts.text() == "Frames and crops (frame 2, 1 crop)"
    export()
    widget.form.parts.form["which"].value = RANGE
    assert len(widget.form.plan().items()) == 1
    widget.form.parts.shapes.value = viewer.add_shapes([square], ndim=2, name="all frames")
    assert len(widget.form.plan().items()) == 9
    assert list(written(tmp_path / "annotations_cells")) == ["movie_t002_roi_4_40_4_40"]


def test_labels_of_one_slice_go_with_that_slice(viewer, widget, movie, tmp_path, export):
    image, _ = movie
    one = viewer.add_labels(grey(0)[1][np.newaxis], translate=(4, 0, 0), name="one slice")
    assert widget.form.labels.value is one
    viewer.dims.set_point(0, 7)
    assert "movie_t004.tif" in widget.preview.text().replace("\u200b", "")
    export()
    ((stem, pair),) = written(tmp_path / "annotations_one_slice").items()
    assert (stem, pair.frame) == ("movie_t004", 4)
    np.testing.assert_array_equal(pair.image, [image.data[4]])


def test_a_view_that_shows_no_frame_is_refused_with_the_way_back(viewer, widget, movie):
    viewer.dims.order = (1, 0, 2)
    assert "Change order of visible axes" in widget.form.parts.form.reasons["which"]
    assert not widget.button.isEnabled()
    viewer.dims.order = (0, 1, 2)
    assert widget.button.isEnabled()
    viewer.dims.ndisplay = 3
    assert "Toggle 2D/3D view" in widget.form.parts.form.reasons["which"]
    viewer.dims.ndisplay = 2
    assert widget.button.isEnabled()


def test_frames_that_are_arranged_otherwise_are_refused_at_once(viewer, widget):
    viewer.add_image(np.zeros((2, 3, SIZE, SIZE)), name="one")
    viewer.add_labels(np.zeros((3, 2, SIZE, SIZE), int), name="two")
    assert "'one' has 2 × 3 frames, labels 'two' have 3 × 2" in widget.form.form.reasons["channels"]


def test_a_channel_takes_the_name_in_the_folder_that_its_model_knows(viewer_model):
    image = viewer_model.add_image(grey(1)[0][..., 0])
    made = {"model": "m", "channels": {"dna": image.name}, "images": {"dna": None}}
    labels = viewer_model.add_labels(grey(1)[1], metadata={PROVENANCE: made})
    image.name, made["channels"]["dna"] = "Image", "Image"
    for known, name in ((("actin", "dna"), "dna"), (("actin", "membrane"), "actin"), ((), "dna")):
        assert proposed_names(sources([image]), labels, known, ()) == (name,)
    assert proposed_names(sources([image]), viewer_model.add_labels(grey(1)[1]), (), ("last",)) == ("last",)
