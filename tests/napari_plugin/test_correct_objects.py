"""One object at a time: accept, delete, split, join, grow, shrink, and undo."""

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt

from napari_seg_trainer.annotations.folder import AnnotationFolder
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.export.annotated_part import PAINTED
from napari_seg_trainer.napari_plugin.export.correct_objects import DELETE, GROW, JOIN, SPLIT, TOOLS
from napari_seg_trainer.napari_plugin.export.widget import ExportWidget
from napari_seg_trainer.napari_plugin.layers.annotated_part import is_region
from napari_seg_trainer.napari_plugin.layers.object_tools import ObjectTools

LEFT = Qt.MouseButton.LeftButton
PLACED = {"scale": (0.5, 0.5), "units": ("um", "um"), "translate": (10, 20)}


def drawn():
    """Three squares; 5 and 6 touch."""
    labels = np.zeros((60, 80), np.uint8)
    labels[10:20, 10:30] = 4
    labels[40:50, 10:20], labels[40:50, 20:30] = 5, 6
    return labels


def at(y, x):
    """Where a pixel of the layer is in the world."""
    return 10 + 0.5 * y, 20 + 0.5 * x


@pytest.fixture
def layer(viewer_model):
    return viewer_model.add_labels(drawn(), name="nuclei", **PLACED)


@pytest.fixture
def tools(viewer_model, layer):
    return ObjectTools(viewer_model, layer)


def area(layer, label):
    return int((layer.data == label).sum())


# the operations


def test_labels_are_found_where_they_are(tools):
    assert [tools.label_at(at(*place)) for place in ((15, 15), (45, 12), (0, 0), (-5, 3), (500, 3))] == [4, 5, 0, 0, 0]


def test_an_object_is_deleted(tools, layer):
    tools.delete(4)
    assert area(layer, 4) == 0
    assert area(layer, 5) == 100
    tools.undo()
    np.testing.assert_array_equal(layer.data, drawn())
    tools.redo()
    assert area(layer, 4) == 0


def test_two_are_joined(tools, layer):
    tools.join(5, 6)
    assert (area(layer, 5), area(layer, 6)) == (200, 0)
    tools.join(5, 5)
    tools.undo()
    np.testing.assert_array_equal(layer.data, drawn())


def test_an_object_grows_into_the_background_alone(tools, layer):
    tools.grow(5)
    assert area(layer, 6) == 100
    assert area(layer, 5) == 100 + 3 * 10
    tools.shrink(5)
    tools.undo()
    tools.undo()
    np.testing.assert_array_equal(layer.data, drawn())


def test_an_object_shrinks_but_not_away(tools, layer):
    layer.data[0:4, 70:80] = 9  # at the border of the image, where it does not end
    tools.shrink(9)
    assert area(layer, 9) == 3 * 9
    tools.shrink(9), tools.shrink(9)
    with pytest.raises(DataError, match="Object 9 is too thin to shrink"):
        tools.shrink(9)


@pytest.mark.parametrize("line", [[(5, 20), (25, 20)], [(5, 18), (12, 21), (30, 19)], [(9, 20), (20, 20)]])
def test_an_object_is_split_along_a_line(tools, layer, line):
    assert tools.split(np.array(line, float)) == [4, 7]
    assert area(layer, 4) + area(layer, 7) == 200
    assert area(layer, 4) >= area(layer, 7) > 70
    tools.undo()
    np.testing.assert_array_equal(layer.data, drawn())


def test_one_line_splits_several(tools, layer):
    assert tools.split(np.array([(45, 5), (45, 40)], float)) == [5, 7, 6, 8]
    assert sum(area(layer, label) for label in (5, 6, 7, 8)) == 200
    tools.undo()  # in one step
    np.testing.assert_array_equal(layer.data, drawn())


@pytest.mark.parametrize("line", [[(0, 0), (5, 70)], [(15, 5), (15, 20)], [(9, 5), (9, 40)], [(-50, -50), (-9, -9)]])
def test_a_line_that_splits_nothing_is_told(tools, layer, line):
    with pytest.raises(DataError, match="crosses no object from one side to the other"):
        tools.split(np.array(line, float))
    np.testing.assert_array_equal(layer.data, drawn())


def test_numbers_end_where_the_type_of_the_layer_does(tools, layer):
    layer.data[55, 70] = 255
    with pytest.raises(DataError, match="uint8 go no higher"):
        tools.split(np.array([(5, 20), (25, 20)], float))


def test_in_a_stack_the_plane_that_is_shown_is_corrected(viewer_model):
    layer = viewer_model.add_labels(np.stack([drawn(), drawn(), drawn()]))
    tools = ObjectTools(viewer_model, layer)
    viewer_model.dims.set_point(0, 1)
    tools.delete(4)
    assert [int((plane == 4).sum()) for plane in layer.data] == [200, 0, 200]
    assert tools.split(np.array([(35, 15), (55, 15)], float)) == [5, 7]
    tools.undo(), tools.undo()
    assert (layer.data == drawn()).all()


# what counts as annotated


def test_what_is_accepted_counts_with_what_surrounds_it(tools, layer, viewer_model):
    assert tools.region is None
    tools.accept(5)
    region = tools.region
    assert is_region(region)
    assert viewer_model.layers.selection.active is layer
    assert viewer_model.layers.index(region) < viewer_model.layers.index(layer)
    assert region.data[40:50, 10:20].all()  # the object
    assert region.data[37, 15] == 1  # what surrounds it
    assert region.data[30, 15] == 0
    assert not region.data[40:50, 20:30].any()  # but not its neighbour
    tools.undo()
    assert not region.data.any()
    assert area(layer, 5) == 100
    tools.redo()
    assert region.data[45, 15] == 1


def test_a_correction_and_what_it_marks_are_undone_together(tools, layer):
    region = tools.begin_marking()
    tools.delete(4)
    assert region.data[10:20, 10:30].all()
    tools.undo()
    assert not region.data.any()
    np.testing.assert_array_equal(layer.data, drawn())
    tools.redo()
    assert region.data[15, 15] == 1
    assert area(layer, 4) == 0


def test_what_is_drawn_with_napari_counts_too(tools, layer):
    region = tools.begin_marking()
    layer.n_edit_dimensions, layer.brush_size, layer.selected_label = 2, 6, 30
    layer.paint((20, 60), 30)
    assert region.data[20, 60] == 1
    assert region.data[20, 65] == 1
    layer.fill((45, 15), 31)
    assert region.data[45, 12] == 1
    tools.undo(), tools.undo()
    assert not region.data.any()
    np.testing.assert_array_equal(layer.data, drawn())
    layer.paint((15, 15), 0)  # with the eraser
    assert region.data[15, 15] == 1


def test_labels_with_new_data_get_a_new_layer(tools, layer, viewer_model):
    first = tools.begin_marking()
    layer.data = np.pad(drawn(), 5)
    tools.delete(4)
    assert tools.region is None
    tools.accept(5)
    assert tools.region is not first
    assert tools.region.data.shape == (70, 90)
    assert tools.region.data[50, 20] == 1


def test_nothing_is_marked_unless_wanted(tools, layer):
    tools.grow(4)
    layer.paint((20, 60), 30)
    assert tools.region is None


# in the dock


@pytest.fixture
def widget(viewer, docked, tmp_path):
    viewer.add_image(drawn() > 0, name="dapi", **PLACED)
    viewer.add_labels(drawn(), name="nuclei", **PLACED)
    widget = docked(ExportWidget(viewer))
    widget.form.folder.line_edit.value = str(tmp_path)
    widget.form.population.value = "nuclei"
    return widget


@pytest.fixture
def press(viewer, widget):
    """Press a key with the cursor over a pixel."""

    def act(key, *place):
        viewer.cursor.position = at(*place)
        layer = viewer.layers["nuclei"]
        next(call for binding, call in layer.keymap.items() if str(binding) == key)(layer)

    return act


@pytest.fixture
def drag(viewer, widget):
    """Drag the mouse from pixel to pixel; a click is a single one."""

    def act(*places):
        layer = viewer.layers["nuclei"]
        event = SimpleNamespace(type="mouse_press", button=1, position=at(*places[0]), pos=np.array(places[0]) * 4.0)
        running = widget.form.correct._dragged(layer, event)
        next(running, None)
        for place in places[1:]:
            event.type, event.position, event.pos = "mouse_move", at(*place), np.array(place) * 4.0
            next(running, None)
        event.type = "mouse_release"
        next(running, None)

    return act


def test_keys_work_while_the_section_is_unfolded(viewer, widget, press):
    layer, correct = viewer.layers["nuclei"], widget.form.correct
    before, callbacks = len(layer.keymap), len(layer.mouse_drag_callbacks)
    correct.expand()
    assert len(layer.keymap) == before + len(TOOLS) + 2
    press("D", 15, 15)
    assert area(layer, 4) == 0
    assert correct.line.text() == "Deleted object 4."
    press("G", 45, 12)
    assert area(layer, 5) == 130
    press("D", 0, 0)
    assert correct.line.text() == "There is no object here."
    press("Ctrl+Z", 0, 0), press("Ctrl+Z", 0, 0)
    np.testing.assert_array_equal(layer.data, drawn())
    correct.collapse()
    assert len(layer.keymap) == before
    assert len(layer.mouse_drag_callbacks) == callbacks


def test_clicks_use_the_tool_that_is_chosen(viewer, widget, drag, qtbot):
    layer, correct = viewer.layers["nuclei"], widget.form.correct
    correct.expand()
    layer.mode = "paint"
    qtbot.mouseClick(correct.buttons[DELETE], LEFT)
    assert layer.mode == "pan_zoom"
    drag((15, 15))
    assert area(layer, 4) == 0
    drag((45, 12), (45, 40))  # the camera is moved
    assert area(layer, 5) == 100
    qtbot.mouseClick(correct.buttons[JOIN], LEFT)
    assert not correct.buttons[DELETE].isChecked()
    drag((45, 12))
    assert "Now click the other part of object 5" in correct.line.text()
    drag((45, 25))
    assert area(layer, 5) == 200
    layer.mode = "erase"  # a tool of napari's own
    assert correct.tool == ""
    drag((45, 25))
    assert area(layer, 5) == 200


def test_a_line_is_seen_while_it_is_drawn(viewer, widget, drag, qtbot):
    layer, correct = viewer.layers["nuclei"], widget.form.correct
    correct.expand()
    qtbot.mouseClick(correct.buttons[SPLIT], LEFT)
    assert not layer.mouse_pan
    seen = []
    viewer.layers.events.inserted.connect(lambda event: seen.append(event.value.name))
    drag((5, 20), (12, 20), (25, 20))
    assert seen == ["split line"]
    assert [one.name for one in viewer.layers] == ["dapi", "nuclei"]
    assert viewer.layers.selection.active is layer
    assert sorted(np.unique(layer.data).tolist()) == [0, 4, 5, 6, 7]
    drag((0, 0), (0, 40))
    assert "crosses no object" in correct.line.text()
    qtbot.mouseClick(correct.buttons[SPLIT], LEFT)
    assert layer.mouse_pan


def test_only_what_was_looked_at_is_exported_as_annotated(viewer, widget, press, qtbot, tmp_path):
    correct = widget.form.correct
    correct.expand()
    press("A", 15, 15)
    assert correct.only_seen.isChecked()
    assert widget.form.annotated.which.value == PAINTED
    assert is_region(widget.form.annotated.painted.value)
    assert widget.button.isEnabled()
    qtbot.mouseClick(widget.button, LEFT)
    qtbot.waitUntil(widget.result.isVisible)
    (pair,) = AnnotationFolder.open(tmp_path / "annotations_nuclei")
    labels = pair.read().labels
    assert labels[15, 15] == 4
    assert labels[8, 15] == 0
    assert labels[30, 40] == -1
    assert labels[45, 12] == -1  # nobody has looked at this one


def test_labels_that_cannot_be_corrected_say_so(viewer, docked):
    import dask.array

    viewer.add_image(np.zeros((60, 80)), name="dapi")
    viewer.add_labels(dask.array.from_array(drawn()), name="lazy")
    widget = docked(ExportWidget(viewer))
    widget.form.correct.expand()
    assert "not a NumPy array" in widget.form.correct.line.text()
    assert not any(button.isEnabled() for button in widget.form.correct.buttons.values())
    layer = viewer.add_labels(drawn(), name="array")
    widget.form.labels.value = layer
    assert widget.form.correct.buttons[GROW].isEnabled()
    viewer.dims.ndisplay = 3
    assert not widget.form.correct.buttons[GROW].isEnabled()
    viewer.dims.ndisplay = 2


def test_the_layer_is_left_as_it_was(viewer, widget, qtbot):
    layer, correct = viewer.layers["nuclei"], widget.form.correct
    ours = correct._dragged
    correct.expand()
    assert ours in layer.mouse_drag_callbacks
    other = viewer.add_labels(drawn(), name="others", **PLACED)
    widget.form.labels.value = other
    assert ours not in layer.mouse_drag_callbacks
    assert not any(str(key) == "D" for key in layer.keymap)
    assert isinstance(other, Labels) and ours in other.mouse_drag_callbacks
    viewer.layers.remove(other)
    assert ours not in other.mouse_drag_callbacks
