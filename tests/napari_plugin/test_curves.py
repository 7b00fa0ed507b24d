"""Curves of losses and scores."""

import math
import re
import time

import numpy as np
import pyqtgraph
import pytest
from napari.settings import get_settings
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtWidgets import QLabel

from napari_seg_trainer.napari_plugin.parts.theme import colours
from napari_seg_trainer.napari_plugin.run.curves import Curves
from napari_seg_trainer.schema.events import Baseline, EpochEnded, Evaluated, Log, Started


def epoch(number, loss=1.0, val_loss=1.0, is_best=False, **scores):
    metrics = {"loss": loss, "val_loss": val_loss, "dist_loss": 7.0, **scores}
    return EpochEnded(epoch=number, metrics=metrics, learning_rate=0.1, is_best=is_best, seconds=1)


@pytest.fixture
def curves(docked):
    return docked(Curves())


def items(curves, title):
    """The plot of this title: its lines by the colour of the pen, and its head."""
    plot = {"Loss": curves._losses, "IoU 0.5": curves._scores}[title]
    return plot._curves, plot.head


def test_losses_are_drawn_epoch_by_epoch(curves):
    curves.add([Started(epochs=9, steps_per_epoch=1, training_images=1, validation_images=1), epoch(1, 0.9, 0.8)])
    curves.add([epoch(2, 0.7, 0.6, is_best=True), Log(message="hello"), epoch(3, 0.5, 0.65)])
    assert curves.points() == {
        "loss": [(1, 0.9), (2, 0.7), (3, 0.5)],
        "val_loss": [(1, 0.8), (2, 0.6), (3, 0.65)],
        "dist_loss": [(1, 7.0), (2, 7.0), (3, 7.0)],
    }
    lines, head = items(curves, "Loss")
    x, y = lines["val_loss"].getData()
    np.testing.assert_allclose((x, y), ([1, 2, 3], [0.8, 0.6, 0.65]))
    assert lines["loss"].opts["pen"].widthF() < lines["val_loss"].opts["pen"].widthF()
    assert "best\u00a02" in head.text()


def scored(ap, number=None):
    return Evaluated(dataset="validation", images=2, scores={"ap50": ap, "f1_50": ap}, epoch=number)


def test_scores_of_epochs_are_a_curve_with_the_line_to_beat(curves):
    curves.add([Baseline(name="Otsu and watershed", images=2, scores={"ap50": 0.4}), epoch(1)])
    plot = curves._scores
    assert plot.isHidden()
    curves.add([scored(0.5, 5), epoch(5, is_best=True), scored(0.7, 10), epoch(10)])
    assert curves.points()["ap50"] == [(5, 0.5), (10, 0.7)]
    assert not plot.isHidden()
    assert (plot._level.isVisible(), plot._level.value()) == (True, 0.4)
    assert "baseline" in plot.head.text()
    assert plot.toolTip().endswith("Baseline: Otsu and watershed.")
    curves.add([scored(0.9)])  # of the model, with thresholds that suit the images: no point of this curve
    assert curves.points()["ap50"] == [(5, 0.5), (10, 0.7)]
    curves.clear()
    curves.add([epoch(1, is_best=True), scored(0.8)])
    assert curves.points()["ap50"] == [(1, 0.8)]
    assert not plot._level.isVisible()


def test_the_line_to_beat_is_that_of_the_same_images(curves):
    """A verdict on more images may say something else, so the plot says of how many it is."""
    baseline = Baseline(name="Otsu and watershed", images=5, scores={"ap50": 0.73})
    curves.add([baseline, epoch(1, is_best=True), scored(0.81, 1)])
    plot = curves._scores
    assert (plot._level.value(), "baseline (5 images)" in plot.head.text()) == (0.73, True)
    assert "IoU 0.5, 2 images" in plot.head.text()
    curves.add([epoch(2), scored(0.82, 2).replace(baseline=0.9)])
    assert (plot._level.value(), "baseline (" in plot.head.text()) == (0.9, False)


def test_whatever_else_is_measured_has_a_curve_that_unfolds(curves, qtbot):
    assert curves.more.isHidden()
    curves.add([epoch(number, dist_loss=number, val_dist_loss=2 * number, wobble=0.1) for number in (1, 2)])
    assert curves.more.isVisible()
    assert not curves.more.isExpanded()
    qtbot.mouseClick(curves.more.toggleButton(), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: curves._others.height() == curves._others.sizeHint().height())
    drawn = {name: curves._others._curves[name].getData()[1].tolist() for name in curves._others._looks}
    assert drawn == {"dist_loss": [1, 2], "val_dist_loss": [2, 4], "wobble": [0.1, 0.1]}
    pens = [curves._others._curves[name].opts["pen"] for name in drawn]
    assert pens[0].color() == pens[1].color() != pens[2].color()
    assert pens[0].widthF() < pens[1].widthF()
    lines = [re.sub("<[^>]+>|&nbsp;", "", line) for line in curves._others.head.text().split("<br>")]
    assert [line.strip() for line in lines] == ["Other metrics", "─ dist loss ━ validation", "─ wobble"]
    head, canvas = curves._others.head, curves._others.canvas
    assert head.height() >= head.sizeHint().height()
    assert canvas.geometry().bottom() < curves._others.height() - head.fontMetrics().height()  # room for "epoch"
    curves.clear()
    assert curves.more.isHidden()
    curves.add([EpochEnded(epoch=1, metrics={"loss": 1, "val_loss": 1}, learning_rate=1, is_best=True, seconds=1)])
    assert curves.more.isHidden()


def test_an_epoch_that_is_trained_again_replaces_the_former(curves):
    curves.add([epoch(1), epoch(2, 0.5, 0.5)])
    curves.add([epoch(2, 0.4, 0.4)])
    assert curves.points()["loss"] == [(1, 1.0), (2, 0.4)]


@pytest.mark.parametrize("logarithmic", [False, True])
def test_what_is_no_number_leaves_a_gap(curves, qtbot, logarithmic):
    curves.logarithmic.setChecked(logarithmic)
    values = [1.0, math.nan, math.inf, 0.0, -1.0, 0.5]
    curves.add([epoch(number, value, math.nan) for number, value in enumerate(values, 1)])
    qtbot.wait(50)
    curves.grab()
    low, high = curves._losses.canvas.view.viewRange()[1]
    assert math.isfinite(low) and math.isfinite(high)
    assert len(curves.points()["loss"]) == 6


def test_scores_have_a_plot_of_their_own_once_there_are_some(curves, qtbot):
    curves.add([epoch(1, is_best=True), epoch(2)])
    assert not curves._scores.isVisible()
    curves.add([Evaluated(dataset="validation", images=2, scores={"ap50": 0.8, "f1_50": 0.9, "pq50": 0.7})])
    qtbot.waitUntil(curves._scores.isVisible)
    assert curves.points()["f1_50"] == [(1, 0.9)]  # the best epoch's model was scored
    assert "pq50" not in curves.points()
    curves.add([epoch(3, f1_50=0.5)])
    assert curves.points()["f1_50"] == [(1, 0.9), (3, 0.5)]
    curves.clear()
    assert curves.points() == {}
    assert not curves._scores.isVisible()


def test_the_mouse_tells_the_numbers(curves, qtbot):
    curves.add([epoch(number, 1 / number, 2 / number) for number in range(1, 11)])
    plot, head = curves._losses.canvas, curves._losses.head

    def point_at_it():
        place = plot.mapFromScene(plot.view.mapViewToScene(QPointF(3.9, 1.0)))
        qtbot.mouseMove(plot.viewport(), QPoint(place.x() - 5, place.y()))
        qtbot.mouseMove(plot.viewport(), place)
        return "epoch 4" in head.text()

    qtbot.waitUntil(point_at_it)
    assert "training 0.25" in head.text()
    assert "validation 0.5" in head.text()
    qtbot.mouseMove(curves.logarithmic)
    curves._losses.leaveEvent(None)
    assert "Loss" in head.text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_are_the_themes(curves, qtbot, theme):
    curves.add([epoch(1), epoch(2)])
    get_settings().appearance.theme = {"light": "dark", "dark": "light"}[theme]
    get_settings().appearance.theme = theme
    lines, head = items(curves, "Loss")
    assert lines["val_loss"].opts["pen"].color().name() == colours().validation
    assert colours().training in head.text()

    def corner():
        return curves._losses.canvas.grab().toImage().pixelColor(1, 1).name()

    qtbot.waitUntil(lambda: corner() == colours().background)


def test_other_plugins_plots_stay_as_they_are(curves):
    before = dict(pyqtgraph.CONFIG_OPTIONS)
    curves.add([epoch(1), epoch(2)])
    curves.logarithmic.setChecked(True)
    assert pyqtgraph.CONFIG_OPTIONS == before
    assert pyqtgraph.getConfigOption("antialias") is False
    assert pyqtgraph.getConfigOption("background") == "k"


def test_the_wheel_is_left_to_the_dock(curves, qtbot):
    curves.add([epoch(1), epoch(2)])
    before = curves._losses.canvas.view.viewRange()
    qtbot.mouseClick(curves._losses.canvas.viewport(), Qt.MouseButton.RightButton)
    assert curves._losses.canvas.view.state["mouseEnabled"] == [False, False]
    assert curves._losses.canvas.view.viewRange() == before


def test_a_thousand_epochs_are_updated_in_place(curves, qtbot):
    curves.add([epoch(number, 1 / number, 1.1 / number) for number in range(1, 1001)])
    lines, _ = items(curves, "Loss")
    before = dict(lines)
    seconds = []
    for number in range(1001, 1021):
        begin = time.perf_counter()
        curves.add([epoch(number)])
        seconds.append(time.perf_counter() - begin)
        qtbot.wait(1)
    print(f"an update with 1,000 epochs: {1000 * np.median(seconds):.1f} ms")
    assert lines == before
    assert len(curves.points()["loss"]) == 1020


def test_the_head_fits_a_narrow_dock(curves, qtbot):
    curves.resize(320, 400)
    curves.add([epoch(1000, 0.12345, 0.23456, is_best=True)])
    for label in curves.findChildren(QLabel):
        if "Loss" in label.text():
            assert label.sizeHint().width() <= 320
    curves._losses._hovered = 1000
    curves._losses._tell()
    assert curves._losses.head.sizeHint().width() <= 320
