from itertools import pairwise

import numpy as np
import pytest

from napari_seg_trainer.evaluation.figures import (
    MAX_EXAMPLES,
    ORANGE,
    SKY,
    VERMILLION,
    Example,
    outlines,
    plot_curves,
    plot_examples,
    stretch,
)
from napari_seg_trainer.schema.events import Baseline, EpochEnded, Evaluated, Started


def epoch(number, *, is_best=False, **metrics):
    return EpochEnded(epoch=number, metrics=metrics, learning_rate=1e-3, is_best=is_best, seconds=1)


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_validation_is_bolder_than_training():
    figure = plot_curves([epoch(1, loss=2, val_loss=3), epoch(2, loss=1, val_loss=2.5, is_best=True)])
    drawn = lines(figure.axes[0])
    assert drawn["validation"].get_linewidth() > 2 * drawn["training"].get_linewidth()
    assert drawn["validation"].get_color() == VERMILLION
    assert list(drawn["validation"].get_ydata()) == [3, 2.5]
    assert "best epoch: 2" in drawn


def test_an_epoch_done_again_after_a_resume_counts_once():
    events = [epoch(1, loss=3), epoch(2, loss=2, is_best=True), epoch(2, loss=1.5), epoch(3, loss=1)]
    drawn = lines(plot_curves(events).axes[0])
    assert list(drawn["training"].get_xdata()) == [1, 2, 3]
    assert list(drawn["training"].get_ydata()) == [3, 1.5, 1]


def test_scores_in_the_metrics_get_a_panel():
    figure = plot_curves([epoch(i, loss=1, val_loss=1, ap50=i / 10) for i in (1, 2, 3)])
    assert list(lines(figure.axes[1])["AP at IoU 0.5"].get_ydata()) == [0.1, 0.2, 0.3]


def test_repeated_evaluations_get_a_panel_and_one_at_the_end_none():
    def evaluated(ap50):
        return Evaluated(dataset="validation", images=3, scores={"ap50": ap50})

    events = [epoch(1, loss=1), evaluated(0.4), epoch(2, loss=1), evaluated(0.6)]
    drawn = lines(plot_curves(events).axes[1])
    assert list(drawn["AP at IoU 0.5"].get_xdata()) == [1, 2]
    assert len(plot_curves(events[:3]).axes) == 1


def test_legends_leave_the_panels_their_room():
    """With all that StarDist tells of 240 epochs; matplotlib's layout gives up where they are too wide."""
    events = [Baseline(name="Otsu and watershed", images=3, scores={"ap50": 0.7})]
    for i in range(1, 241):
        measured = {"loss": 1, "probability_loss": 1, "distance_loss": i}
        events.append(epoch(i, is_best=i == 240, **measured, **{f"val_{name}": 1 for name in measured}))
        events.append(Evaluated(dataset="validation", images=3, scores={"ap50": 0.5, "ap70": 0.3, "f1_50": 0.6}))
    figure = plot_curves(events)
    figure.draw_without_rendering()
    panels = [axes.get_window_extent() for axes in figure.axes]
    assert all(panel.width > 0.2 * figure.bbox.width for panel in panels)
    legends = [axes.get_legend().get_window_extent() for axes in figure.axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(legends))


def test_whatever_an_engine_measures_gets_a_panel():
    events = [epoch(i, loss=1, val_loss=1, dist_loss=i, val_dist_loss=2 * i, ap50=0.5) for i in (1, 2, 3)]
    figure = plot_curves(events)
    assert [axes.get_title() for axes in figure.axes][2] == "Other metrics"
    drawn = lines(figure.axes[2])
    assert list(drawn["dist loss"].get_ydata()) == [1, 2, 3]
    assert list(drawn["validation dist loss"].get_ydata()) == [2, 4, 6]
    assert drawn["dist loss"].get_color() == drawn["validation dist loss"].get_color()
    many = plot_curves([epoch(i, loss=1, **{f"m{k}": k * i for k in range(40)}) for i in (1, 2)])
    assert len(lines(many.axes[1])) == 40
    assert len(plot_curves([epoch(1, loss=1, val_loss=1, ap50=0.5)]).axes) == 2


@pytest.mark.parametrize(
    "events",
    [
        [],
        [Started(epochs=3, steps_per_epoch=1, training_images=1, validation_images=1)],
        [epoch(1, loss=float("nan"), val_loss=float("inf"))],
        [epoch(1, loss=0.0)],
        [epoch(1, accuracy=1)],
    ],
)
def test_runs_with_little_to_show_can_be_drawn(tmp_path, events):
    plot_curves(events).savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_a_loss_that_falls_far_is_drawn_on_a_logarithmic_axis():
    assert plot_curves([epoch(1, loss=100), epoch(2, loss=0.5)]).axes[0].get_yscale() == "log"
    assert plot_curves([epoch(1, loss=2), epoch(2, loss=0.5)]).axes[0].get_yscale() == "linear"


def rgb(colour):
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def test_found_and_missed_objects_have_their_colours():
    labels = np.zeros((20, 40), int)
    labels[5:15, 5:15], labels[5:15, 25:35] = 1, 2
    picture = outlines(labels, np.array([2]), size=80)
    assert picture.shape == (40, 80, 4)
    left, right = picture[:, :40], picture[:, 40:]
    assert np.allclose(left[left[..., 3] > 0][:, :3], rgb(ORANGE))
    assert np.allclose(right[right[..., 3] > 0][:, :3], rgb(SKY))
    assert picture[20, 20, 3] == 0, "the inside stays clear"


def test_touching_objects_are_outlined_apart():
    labels = np.repeat([[1, 2]], 10, axis=1).repeat(20, axis=0)
    assert outlines(labels, np.array([1, 2]), size=40)[20, [19, 20], 3].tolist() == [1, 1]


def test_what_is_found_where_nobody_has_drawn_is_no_mistake():
    truth, found = np.zeros((40, 40), int), np.zeros((40, 40), int)
    truth[5:15, 5:15] = found[5:15, 5:15] = 1
    truth[:, 20:], found[5:15, 25:35] = -1, 2
    drawn, predicted = plot_examples([Example("a", np.eye(40), truth, found)]).axes[1:3]
    assert drawn.get_title() == "truth: 1 object"
    assert predicted.get_title() == "prediction: 1 object, AP at IoU 0.5: 1.00"
    for axes in (drawn, predicted):
        assert not axes.images[1].get_array()[:, axes.images[1].get_array().shape[1] // 2 + 4 :, 3].any()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 6), np.uint8),
        np.full((4, 6), np.nan),
        np.array([[0, np.inf], [1, np.nan]]),
        np.array([[True, False]]),
        np.array([[-(2**31), 2**31]]),
    ],
)
def test_any_image_can_be_shown(image):
    shown = stretch(image)
    assert shown.shape == image.shape
    assert np.isfinite(shown).all() and shown.min() >= 0 and shown.max() <= 1


def example(name="a", shape=(30, 40)):
    labels = np.zeros(shape, int)
    labels[2:9, 2:9] = 3
    return Example(name, np.arange(labels.size).reshape(shape), labels, labels)


def test_titles_tell_the_counts_and_the_score():
    panels = plot_examples([example("well 3")]).axes
    assert [axes.get_title() for axes in panels] == [
        "well 3",
        "truth: 1 object",
        "prediction: 1 object, AP at IoU 0.5: 1.00",
    ]


def test_examples_are_limited():
    assert len(plot_examples([example()] * (MAX_EXAMPLES + 5)).axes) == 3 * MAX_EXAMPLES


def test_no_examples_give_a_figure_that_says_so():
    assert plot_examples([]).texts[0].get_text() == "No examples."
