"""Exporting what people have: several images open at once, grey PNGs, names that come twice."""

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QMessageBox

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.annotations.sidecar import read_sidecar
from napari_seg_trainer.napari_plugin.layers.planes import PROVENANCE, sources
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
    qtbot.waitUntil(lambda: "Brought back 1 image" in widget.result.line.text())
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


def test_the_population_is_the_one_of_the_last_export(viewer, widget, tmp_path, export):
    open_with_labels(viewer, tmp_path / "a.png", 1)
    assert widget.form.population.value == "cells"
    widget.form.population.value = "bacteria"
    export()
    viewer.layers.clear()
    open_with_labels(viewer, tmp_path / "b.png", 2)
    viewer.window.remove_dock_widget(widget)
    assert open_dock(viewer, EXPORT).form.population.value == "bacteria"


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
