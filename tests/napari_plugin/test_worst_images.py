"""Small pictures of the worst images, and what leads on from them."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_seg_trainer import ModelLibrary, train
from napari_seg_trainer.napari_plugin.parts.docks import PLUGIN, SEGMENT
from napari_seg_trainer.napari_plugin.run.view import RunView
from napari_seg_trainer.napari_plugin.run.worst import FALSE, MISSED, SIDE, draw
from napari_seg_trainer.runs.baseline import BASELINE_FILE, read_baseline
from napari_seg_trainer.schema.events import Verdict

LEFT = Qt.MouseButton.LeftButton


def near(picture, colour):
    """Where a picture is more of a colour than of grey."""
    bright = picture.astype(int).max(axis=2) > 0
    return bright & (np.abs(picture.astype(int) - 0.65 * np.array(colour)).max(axis=2) < 30)


def test_what_is_missed_and_what_is_false_is_coloured():
    truth, found = np.zeros((40, 80), np.int32), np.zeros((40, 80), np.int32)
    truth[5:15, 5:15], found[5:15, 5:15] = 1, 7  # found
    truth[20:30, 40:50] = 2  # missed
    found[20:30, 60:70] = 3  # false
    picture = draw(np.zeros((2, 40, 80), np.float32), truth, found, side=80)
    assert (picture.shape, picture.dtype) == ((40, 80, 3), np.uint8)
    missed, false = near(picture, MISSED), near(picture, FALSE)
    assert missed[21:29, 41:49].all() and false[21:29, 61:69].all()
    assert not (missed | false)[:, :35].any()
    truth[:, 55:] = -1  # nobody has drawn there
    assert not near(draw(np.zeros((2, 40, 80), np.float32), truth, found, side=80), FALSE).any()
    assert draw(np.full((1, 3, 500), np.nan, np.float32), *np.zeros((2, 3, 500), np.int32)).shape == (1, SIDE, 3)


@pytest.fixture
def view(docked, viewer):
    return docked(RunView(viewer))


def test_the_worst_are_shown_and_lead_to_their_correction(view, home, toy, annotation_folder, qtbot):
    data = annotation_folder(images=6)
    run = train(data, name="nuclei", engine=toy, wait=False, validation_split=0.5, epochs=2, needs=99)
    view.show_run(run)
    qtbot.waitUntil(lambda: bool(view.outcome.text))
    verdict = next(event for event in run.events() if isinstance(event, Verdict) and event.epoch is None)
    assert len(verdict.worst) == 3
    qtbot.waitUntil(lambda: len(view.worst_images.buttons) == len(verdict.worst))
    corrected = []
    view._correct = corrected.append
    view.worst_images.chosen.disconnect()
    view.worst_images.chosen.connect(corrected.append)
    qtbot.mouseClick(view.worst_images.buttons[0], LEFT)
    assert corrected == [verdict.worst[0]]
    assert verdict.worst[0] in view.worst_images.buttons[0].accessibleName()


def test_where_the_simple_method_is_better_it_is_offered_as_a_model(view, viewer, begin, qtbot):
    run = begin(epochs=2)
    view.show_run(run)
    qtbot.waitUntil(lambda: bool(view.outcome.text))
    assert not view.outcome.simple.isVisible()  # the toy is as good
    finished = run.outcome()
    run.append(Verdict(sentences=("Bad.", "Worse."), is_simple_better=True))
    run.append(finished)
    view.show_run(run)
    qtbot.waitUntil(view.outcome.simple.isVisible)
    assert view.headline == "Bad.\nWorse."
    qtbot.mouseClick(view.outcome.simple, LEFT)
    segment = f"{SEGMENT} ({PLUGIN})"
    qtbot.waitUntil(lambda: segment in viewer.window.dock_widgets)
    dock = viewer.window.dock_widgets[segment]
    qtbot.waitUntil(lambda: dock.model_name == "nuclei-simple")
    model = ModelLibrary().get("nuclei-simple")
    simple = read_baseline(run).simple
    assert model.card.scores == simple.scores.told
    assert (run.folder / BASELINE_FILE).is_file()
    qtbot.mouseClick(view.outcome.simple, LEFT)  # once more adds nothing
    qtbot.waitUntil(lambda: dock.model_name == "nuclei-simple")
    assert sorted(ModelLibrary().names()) == ["nuclei", "nuclei-simple"]
