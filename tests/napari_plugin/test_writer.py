"""Saving layers as an annotated image."""

import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDialogButtonBox, QFileDialog, QLineEdit

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.writer import write_annotated

LABELS = np.zeros((40, 50), np.int32)
LABELS[10:20, 10:20] = 70000
DAPI = np.random.default_rng(0).integers(0, 60000, (40, 50), np.uint16)


@pytest.fixture
def layers(viewer_model):
    """A viewer's layers: two images of 0.325 µm and their labels."""
    where = {"scale": (0.325, 0.325), "units": "um"}
    viewer_model.add_image(DAPI, name="DAPI", **where)
    viewer_model.add_image(DAPI[::-1].astype(np.float32), name="actin", **where)
    viewer_model.add_labels(LABELS.copy(), name="nuclei", **where)
    return viewer_model.layers


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_images_and_labels_become_an_annotated_image(viewer_model, layers, tmp_path):
    written = layers.save(str(tmp_path / "field 1.tif"))
    assert written == [str(tmp_path / name) for name in ("field 1.tif", "field 1_labelled.tif", "field 1.json")]
    (item,) = (pair.read() for pair in AnnotationFolder.open(tmp_path))
    np.testing.assert_array_equal(item.image, np.stack([DAPI, DAPI[::-1]]))
    np.testing.assert_array_equal(item.labels, LABELS)
    assert (item.channels, item.sources) == (("DAPI", "actin"), ("DAPI", "actin", "nuclei"))
    assert item.pixel_size == pytest.approx(0.325)
    viewer_model.layers.clear()
    opened = viewer_model.open(written[1], plugin="napari-seg-trainer")
    np.testing.assert_array_equal(opened[2].data, LABELS)
    assert opened[0].scale == pytest.approx([0.325, 0.325])


def test_channels_are_not_called_after_files(viewer_model, tmp_path):
    layers = viewer_model.layers
    viewer_model.add_image(DAPI, name="field 1.tif")
    viewer_model.add_image(DAPI, name="actin")
    viewer_model.add_image(DAPI, name="Image")
    viewer_model.add_labels(LABELS, name="nuclei")
    layers.selection = set(layers)
    layers.save(str(tmp_path / "a.tif"), selected=True)
    (item,) = (pair.read() for pair in AnnotationFolder.open(tmp_path))
    assert item.channels == ("grey", "actin", "grey 2")


def test_only_the_selected_layers_are_saved(layers, tmp_path):
    layers.selection = {layers["DAPI"], layers["nuclei"]}
    layers.save(str(tmp_path / "a.tif"), selected=True)
    (pair,) = AnnotationFolder.open(tmp_path)
    assert pair.read().channels == ("DAPI",)


def test_a_single_image_is_left_to_napari(layers, tmp_path):
    layers.selection = {layers["DAPI"]}
    layers.save(str(tmp_path / "a.tif"), selected=True)
    layers.selection = {layers["nuclei"]}
    layers.save(str(tmp_path / "b.tif"), selected=True)
    assert names(tmp_path) == ["a.tif", "b.tif"]


def test_the_image_is_replaced_but_never_its_labels_or_sidecar(layers, tmp_path):
    target = tmp_path / "a.tif"
    target.write_bytes(b"old")
    layers.save(str(target))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    layers["nuclei"].data = LABELS * 0 + 1
    with pytest.raises(DataError, match=r"^'a_labelled\.tif' already exists in .* Choose another name, or use Layers"):
        layers.save(str(target))
    (tmp_path / "a_labelled.tif").unlink()
    with pytest.raises(DataError, match=r"^'a\.json' already exists"):
        layers.save(str(target))
    before.pop(tmp_path / "a_labelled.tif")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_several_frames_are_refused(viewer_model, tmp_path):
    viewer_model.add_image(np.zeros((3, 40, 50)), name="movie")
    viewer_model.add_labels(LABELS)
    with pytest.raises(DataError, match=r"^These layers hold 3 frames, and 'a\.tif' can hold one\."):
        viewer_model.layers.save(str(tmp_path / "a.tif"))
    assert names(tmp_path) == []


def test_one_frame_of_a_stack_is_saved(viewer_model, tmp_path):
    viewer_model.add_image(DAPI[np.newaxis])
    viewer_model.add_labels(LABELS)
    assert len(viewer_model.layers.save(str(tmp_path / "a.tif"))) == 3


def test_sizes_that_differ_are_refused(viewer_model, tmp_path):
    viewer_model.add_image(np.zeros((30, 50)), name="DAPI")
    viewer_model.add_labels(LABELS, name="nuclei")
    with pytest.raises(DataError, match=r"^Labels 'nuclei' are 40 × 50 pixels but image 'DAPI' is 30 × 50"):
        viewer_model.layers.save(str(tmp_path / "a.tif"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a.ome.tif", r"^'a\.ome\.tif' would not be found by its labels\. Choose 'a\.tif'\."),
        ("a_masks.tif", "^Image name 'a_masks' cannot be used: such an ending marks masks"),
    ],
)
def test_a_name_under_which_nobody_would_find_the_pair_is_refused(layers, tmp_path, name, reason):
    with pytest.raises(DataError, match=reason):
        layers.save(str(tmp_path / name))
    assert names(tmp_path) == []


@pytest.fixture
def fill_in(qapp, qtbot):
    """Fill in the next file dialog, which blocks: wait for it from within."""
    qapp.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs, True)
    seen = []

    def fill(name):
        def look():
            dialog = qapp.activeModalWidget()
            if not isinstance(dialog, QFileDialog):
                QTimer.singleShot(20, look)
                return
            seen[:] = dialog.nameFilters()
            dialog.findChild(QLineEdit, "fileNameEdit").setText(str(name))
            dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Save).click()

        look()
        return seen

    yield fill
    qapp.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs, False)


def test_the_dialog_of_the_file_menu_offers_it(viewer, layers, tmp_path, fill_in):
    viewer.window.file_menu.aboutToShow.emit()
    save = viewer.window.file_menu.findAction("napari.window.file.save_layers_dialog")
    offered = fill_in(tmp_path / "a")
    save.trigger()
    assert offered[0] == "napari-seg-trainer annotated image (*.tif)"
    # the dialog looked for 'a', and nothing appended an ending
    assert names(tmp_path) == ["a.json", "a.tif", "a_labelled.tif"]
    with pytest.raises(DataError, match=r"^'a\.tif' already exists"):
        write_annotated(str(tmp_path / "a"), [layer.as_layer_data_tuple() for layer in layers])
