"""Exports of images of which only a part is annotated, from the form to the files and back."""

import json

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Labels
from qtpy.QtCore import Qt

from napari_seg_trainer.annotations.annotated_image import AnnotatedImage
from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.napari_plugin.export.annotated_part import INSIDE, NEAR, PAINTED, WHOLE
from napari_seg_trainer.napari_plugin.export.plan import Item
from napari_seg_trainer.napari_plugin.export.widget import ExportWidget
from napari_seg_trainer.napari_plugin.layers.annotated_part import InsideShapes, is_region
from napari_seg_trainer.napari_plugin.layers.crops import crops
from napari_seg_trainer.napari_plugin.layers.opening import add_layers, read_folder, read_mask
from napari_seg_trainer.napari_plugin.run.preview_layers import UNKNOWN_COLOUR, Picture, PreviewLayers
from napari_seg_trainer.runs.previews import PreviewIndex

LEFT = Qt.MouseButton.LeftButton
PLACED = {"scale": (0.5, 0.5), "units": ("um", "um"), "translate": (10, 20)}


def objects(shape=(60, 80)):
    """Two squares of 10 pixels, and a third that shows but has no label."""
    labels = np.zeros(shape, np.int32)
    labels[10:20, 10:20], labels[10:20, 40:50] = 1, 2
    image = np.where(labels > 0, 500, 100).astype(np.uint16)
    image[40:50, 60:70] = 500
    return labels, image


@pytest.fixture
def widget(viewer, docked, tmp_path):
    labels, image = objects()
    viewer.add_image(image, name="dapi", **PLACED)
    viewer.add_labels(labels, name="nuclei", **PLACED)
    widget = docked(ExportWidget(viewer))
    widget.form.folder.line_edit.value = str(tmp_path)
    widget.form.population.value = "nuclei"
    widget.form.annotated.expand()
    return widget


@pytest.fixture
def export(widget, qtbot, tmp_path):
    def click():
        qtbot.mouseClick(widget.button, LEFT)
        qtbot.waitUntil(widget.result.isVisible)
        (pair,) = AnnotationFolder.open(tmp_path / "annotations_nuclei")
        return pair.read().labels

    return click


def reason(widget, field):
    return widget.form.annotated.form.reasons.get(field, "")


def test_all_of_it_is_annotated_unless_somebody_says_otherwise(widget, export):
    assert widget.form.annotated.which.value == WHOLE
    assert "whole image" in widget.form.annotated.toggleButton().text()
    assert export().min() == 0


def test_what_is_near_the_objects(widget, export):
    part = widget.form.annotated
    part.which.value = NEAR
    assert part.margin.visible
    assert part.margin.value == 6  # half the diameter of a circle of 100 pixels
    part.margin.value = 4
    labels = export()
    assert labels[15, 6] == 0
    assert labels[15, 5] == -1
    assert labels[45, 65] == -1
    assert set(np.unique(labels)) == {-1, 0, 1, 2}


def test_what_is_inside_shapes(viewer, widget, export, qtbot):
    part = widget.form.annotated
    part.which.value = INSIDE
    assert reason(widget, "shapes") == "Add a Shapes layer, and draw around the annotated part."
    assert not widget.button.isEnabled()
    shapes = viewer.add_shapes(name="looked at", **PLACED)
    assert "no rectangle" in reason(widget, "shapes")
    shapes.add_rectangles(np.array([[5, 5], [25, 55]]))
    viewer.layers.selection.active = viewer.layers["nuclei"]
    part.shapes.value = shapes
    qtbot.waitUntil(lambda: not reason(widget, "shapes"))
    labels = export()
    assert (labels[6:25, 6:55] >= 0).all()
    assert (labels[26:] == -1).all() and (labels[:, 56:] == -1).all()


def test_shapes_of_every_kind_at_any_place(viewer, widget):
    labels = viewer.layers["nuclei"]
    shapes = viewer.add_shapes(name="shapes", scale=(1, 1), units=("um", "um"))
    # in µm, of which two pixels are one
    shapes.add_ellipses(np.array([[15, 25], [15, 45], [25, 45], [25, 25]]))
    shapes.add_polygons(np.array([[30, 20], [40, 20], [40, 30]]))
    shapes.add_lines(np.array([[10, 20], [40, 60]]))
    part = InsideShapes.of(shapes, labels, labels)
    inside = part.mask(labels.data, 0, 1, None)
    assert len(part.polygons) == 2
    assert inside[20, 30] and not inside[11, 11]  # the ellipse, and a corner of its box
    assert inside[:40].sum() == pytest.approx(np.pi * 10 * 20, rel=0.05)
    assert inside[58, 2] and not inside[42, 18]
    crop = crops(viewer.add_shapes(np.array([[10, 20], [35, 35]]), scale=(1, 1), units=("um", "um")), labels, (60, 80))
    np.testing.assert_array_equal(part.mask(labels.data[crop[0].slices], 0, 1, crop[0]), inside[crop[0].slices])


def test_where_somebody_has_painted(viewer, widget, export, qtbot):
    part = widget.form.annotated
    part.which.value = PAINTED
    assert "Add a layer" in reason(widget, "painted")
    qtbot.mouseClick(part.add_layer.native, LEFT)
    layer = part.painted.value
    assert is_region(layer)
    assert layer.mode == "paint"
    assert "Nothing is painted" in reason(widget, "painted")
    assert widget.form.labels.value is viewer.layers["nuclei"]
    assert layer not in widget.form.labels.choices
    layer.paint((15, 30), 1)
    qtbot.waitUntil(lambda: not reason(widget, "painted"))
    layer.data[5:25, 5:55] = 1
    labels = export()
    assert (labels[5:25, 5:55] >= 0).all()
    assert (labels[26:] == -1).all()


def test_a_crop_takes_its_own_part(viewer, widget, export):
    part = widget.form.annotated
    part.which.value = NEAR
    part.margin.value = 3
    widget.form.parts.shapes.value = viewer.add_shapes(np.array([[0, 0], [30, 30]]), name="crop", **PLACED)
    labels = export()
    assert labels.shape == (30, 30)
    assert labels[15, 8] == 0
    assert labels[25, 25] == -1


def test_each_labels_layer_has_its_own_choice(viewer, widget):
    part = widget.form.annotated
    part.which.value = NEAR
    other = viewer.add_labels(objects()[0], name="others", **PLACED)
    widget.form.labels.value = other
    assert part.which.value == WHOLE
    widget.form.labels.value = viewer.layers["nuclei"]
    assert part.which.value == NEAR


def test_frames_have_parts_of_their_own(viewer, docked, tmp_path, qtbot):
    labels, image = objects()
    stack = np.stack([labels, labels])
    viewer.add_image(np.stack([image, image + 1]), name="dapi")
    viewer.add_labels(stack, name="nuclei")
    widget = docked(ExportWidget(viewer))
    widget.form.folder.line_edit.value, widget.form.population.value = str(tmp_path), "nuclei"
    part = widget.form.annotated
    part.which.value = PAINTED
    part._add()
    part.painted.value.data[0, 5:25] = 1
    part.painted.value.data[1, 8:22, 8:22] = 1
    widget.form.follow()
    plan = widget.form.plan()
    for frame, count in ((0, 20 * 80), (1, 14 * 14)):
        assert (plan._annotated(Item(f"f{frame}", frame, None), None).labels >= 0).sum() == count


# and back


@pytest.fixture
def partial(annotation_folder):
    folder = annotation_folder("exp/annotations_nuclei", 3)
    for pair in AnnotationFolder.open(folder).pairs[:2]:
        image = pair.read()
        labels = image.labels.copy()
        labels[:, 60:] = np.where(labels[:, 60:] == 0, -1, labels[:, 60:])
        fields = {"image": image.image, "channels": image.channels, "stem": image.stem, "pixel_size": image.pixel_size}
        AnnotatedImage(labels=labels, **fields).write(folder, overwrite=True)
    return folder


def test_a_folder_that_is_opened_shows_which_part_it_is_and_keeps_it(viewer, docked, partial, qtbot):
    layers = add_layers(viewer, read_folder(partial))
    qtbot.waitUntil(lambda: len(viewer.layers) == len(layers))
    (region,) = (layer for layer in layers if is_region(layer))
    labels = layers[-1]
    assert isinstance(labels, Labels) and not is_region(labels)
    assert viewer.layers.selection.active is labels
    assert labels.data.min() == 0
    assert region.data.shape == labels.data.shape
    assert region.data[2].all() and not region.data[0].all()
    images = [layer for layer in layers if isinstance(layer, Image)]
    for layer in [*images, labels]:
        layer.visible = False
    viewer.dims.set_point(0, 0)
    viewer.reset_view()
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].max(axis=2)
    middle = picture[picture.shape[0] // 2]
    assert middle[picture.shape[1] // 2 - 20] < 20  # annotated
    assert middle[picture.shape[1] // 2 + 80] > 60  # veiled
    for layer in [*images, labels]:
        layer.visible = True
    widget = docked(ExportWidget(viewer))
    assert widget.form.labels.value is labels
    assert widget.form.annotated.which.value == PAINTED
    assert widget.form.annotated.painted.value is region
    plan = widget.form.plan()
    for item, pair in zip(plan.items(), AnnotationFolder.open(partial), strict=False):
        np.testing.assert_array_equal(plan._annotated(item, None).labels, pair.read().labels)


def test_a_mask_alone_shows_it_too(tmp_path):
    tifffile.imwrite(tmp_path / "mask.tif", np.array([[-1, 0, 3]], np.int16))
    region, labels = read_mask(tmp_path / "mask.tif").layers
    assert region[0].tolist() == [[0, 1, 1]]
    assert labels[0].tolist() == [[0, 0, 3]]


def test_a_region_of_another_size_is_told(partial):
    content = json.loads((partial / "cell_00.json").read_text())
    content["annotated_region"] = {"size": [1, 1], "counts": [1]}
    (partial / "cell_00.json").write_text(json.dumps(content))
    found = read_folder(partial)
    assert "annotated_region" in found.warnings[0]
    assert [layer[2] for layer in found.layers] == ["image", "labels", "labels"]


def test_a_preview_draws_a_line_around_what_is_annotated(viewer, qtbot):
    truth = np.full((40, 40), -1, np.int32)
    truth[:, :20], truth[5:15, 5:15] = 0, 1
    image = np.zeros((1, 40, 40), np.float32)
    preview = PreviewLayers(viewer)
    preview.show(PreviewIndex(images=("a",), channels=("dapi",)), Picture.of(image, truth), np.maximum(truth, 0))
    qtbot.waitUntil(lambda: len(viewer.layers) == 3)
    shown = viewer.layers[1]
    grey = tuple(int(UNKNOWN_COLOUR[at : at + 2], 16) / 255 for at in (1, 3, 5))
    assert shown.get_color(-1)[:3] == pytest.approx(grey, abs=0.01)
    viewer.screenshot(canvas_only=True, flash=False)
    preview.remove()


def test_only_images_are_channels(viewer, docked, partial, qtbot):
    layers = add_layers(viewer, read_folder(partial))
    qtbot.waitUntil(lambda: len(viewer.layers) == len(layers))
    widget = docked(ExportWidget(viewer))
    assert [source.layer for source, _ in widget.form.channels.chosen()] == [
        layer for layer in layers if isinstance(layer, Image)
    ]
