"""Figures of a run, in colours that colour-blind people can distinguish (Okabe and Ito 2008)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seg_trainer.annotations.findings import counted
from napari_seg_trainer.annotations.region import counted_only
from napari_seg_trainer.evaluation.matching import match, match_pairs
from napari_seg_trainer.schema.events import Baseline, EpochEnded, Evaluated, Event

# matplotlib takes most of a second to import: only what draws does so
if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, SKY, GREEN, ORANGE, VERMILLION, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
GREY = "#666666"
MAX_EXAMPLES = 12
_SCORE_LINES = (
    ("f1_50", "F1 at IoU 0.5", BLUE, "--"),
    ("ap50", "AP at IoU 0.5", GREEN, "-"),
    ("ap70", "AP at IoU 0.7", SKY, "-"),
    ("ap90", "AP at IoU 0.9", PURPLE, "-"),
)
_PANEL_INCHES, _PANEL_PIXELS, _OUTLINE_PIXELS = 3.2, 480, 2
_LOG_FROM = 30  # a loss that falls by more than this factor is drawn on a logarithmic axis


@dataclass(frozen=True, eq=False)
class Example:
    """One image with what is there and what the model says.

    Attributes
    ----------
    name : str
        The image's name.
    image : NDArray, axes YX
        One channel, any numbers.
    truth, prediction : NDArray of int, axes YX
        Labels; 0 is background, negative pixels of the truth do not count.
    """

    name: str
    image: NDArray[Any]
    truth: NDArray[Any]
    prediction: NDArray[Any]


def plot_curves(events: Iterable[Event]) -> "Figure":
    """Return the curves of a run: training loss thin, validation loss bold, the best epoch marked.

    Scores are beside, and so is whatever else an engine measures in each epoch.

    Parameters
    ----------
    events : iterable of Event
        The run's events in order. Of an epoch that was done twice, after a resume, the second one counts.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    events = list(events)
    epochs, scores = _histories(events)
    baseline = next((event for event in events if isinstance(event, Baseline)), None)
    others = _others(epochs)
    count = 1 + bool(scores) + bool(others)
    figure = Figure(figsize=(1.0 + 4.1 * count, 5.0), layout="constrained")
    panels = figure.subplots(1, count, squeeze=False)[0]
    _plot_losses(panels[0], epochs)
    if scores:
        _plot_scores(panels[1], scores, _level(baseline, events))
    if others:
        _plot_others(panels[-1], others)
    for axes in panels:
        _mark_best(axes, epochs)
        axes.set_xlabel("Epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.16), fontsize="small")
    return figure


def plot_examples(examples: Sequence[Example]) -> "Figure":
    """Return a figure with a row for each example: the image, the true outlines, the predicted outlines.

    Objects that match at IoU 0.5 are outlined in one colour, those missed or made up in another. No more than
    `MAX_EXAMPLES` are shown.

    Parameters
    ----------
    examples : sequence of Example
        What to show.

    Raises
    ------
    DataError
        If an example's labels differ in shape.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    examples = examples[:MAX_EXAMPLES]
    heights = [min(1.6, max(0.4, example.image.shape[0] / example.image.shape[1])) for example in examples]
    size = 3 * _PANEL_INCHES, max(1.0, sum(heights) * _PANEL_INCHES + 0.35 * len(examples) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    if not examples:
        figure.text(0.5, 0.5, "No examples.", ha="center", va="center", color=GREY)
        return figure
    rows = figure.subplots(len(examples), 3, squeeze=False, height_ratios=heights)
    for panels, example in zip(rows, examples, strict=True):
        _plot_example(panels, example)
    handles = [Patch(color=SKY, label="found"), Patch(color=ORANGE, label="missed (middle) or false positive (right)")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def plot_text(title: str, paragraphs: Iterable[str]) -> "Figure":
    """Return a page of text, 8.3 × 11.7 inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.3, 11.7))
    figure.text(0.1, 0.93, title, fontsize="x-large", weight="bold", parse_math=False)
    lines = [line for paragraph in paragraphs for line in (wrap(paragraph, 88) or [""])]
    figure.text(0.1, 0.9, "\n".join(lines), va="top", linespacing=1.5, parse_math=False)
    return figure


def _histories(events: Iterable[Event]) -> tuple[list[EpochEnded], dict[int, Mapping[str, float]]]:
    """Return the epochs in order, and the scores by epoch."""
    epochs: dict[int, EpochEnded] = {}
    evaluated: dict[str, dict[int, Mapping[str, float]]] = {}
    for event in events:
        if isinstance(event, EpochEnded):
            epochs[event.epoch] = event
        elif isinstance(event, Evaluated) and event.dataset == "validation" and epochs:
            evaluated.setdefault(event.dataset, {})[event.epoch or _best(epochs.values()) or max(epochs)] = event.scores
    keys = {key for key, *_ in _SCORE_LINES}
    scores: dict[int, Mapping[str, float]] = {
        epoch: event.metrics for epoch, event in sorted(epochs.items()) if keys & set(event.metrics)
    }
    # one evaluation alone, at the end of a run, is not a curve
    fullest = max(evaluated.values(), key=len, default={})
    return [epochs[epoch] for epoch in sorted(epochs)], scores or (fullest if len(fullest) > 1 else {})


def _plot_losses(axes: "Axes", epochs: Sequence[EpochEnded]) -> None:
    axes.set_title("Loss (lower is better)", fontsize="medium")
    if not epochs:
        axes.text(0.5, 0.5, "No epoch has ended.", ha="center", va="center", transform=axes.transAxes, color=GREY)
        return
    drawn: list[float] = []
    for key, label, colour, width in (("loss", "training", BLUE, 1.2), ("val_loss", "validation", VERMILLION, 2.6)):
        values = {event.epoch: event.metrics[key] for event in epochs if key in event.metrics}
        _plot_line(axes, values, label, colour, width)
        drawn += [value for value in values.values() if np.isfinite(value)]
    if drawn and 0 < min(drawn) * _LOG_FROM < max(drawn):
        axes.set_yscale("log")


def _others(epochs: Sequence[EpochEnded]) -> dict[str, dict[int, float]]:
    """Return what else the epochs measure, by name and epoch."""
    known = {"loss", "val_loss", *(key for key, *_ in _SCORE_LINES)}
    found: dict[str, dict[int, float]] = {}
    for event in epochs:
        for name in event.metrics.keys() - known:
            found.setdefault(name, {})[event.epoch] = event.metrics[name]
    return found


def _plot_others(axes: "Axes", others: Mapping[str, Mapping[int, float]]) -> None:
    """Draw an engine's own measures; that of the validation is bold, in the colour of the training's."""
    axes.set_title("Other metrics", fontsize="medium")
    looks = cycle(product(("-", "--", ":", "-."), (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION)))
    for stem, (style, colour) in zip(sorted({name.removeprefix("val_") for name in others}), looks, strict=False):
        label = stem.replace("_", " ")
        for name, told, width in ((stem, label, 1.2), (f"val_{stem}", f"validation {label}", 2.6)):
            if name in others:
                _plot_line(axes, others[name], told, colour, width, style)


def _best(epochs: Iterable[EpochEnded]) -> int | None:
    return max((event.epoch for event in epochs if event.is_best), default=None)


def _level(baseline: Baseline | None, events: Sequence[Event]) -> tuple[float, str] | None:
    """Return where the line to beat is, on the images of the curves where that is known, and what it is called."""
    if baseline is None or "ap50" not in baseline.scores:
        return None
    name = f"AP at IoU 0.5 of {baseline.name}"
    scored = [event for event in events if isinstance(event, Evaluated) and event.epoch is not None]
    if not scored or scored[-1].images == baseline.images:
        return baseline.scores["ap50"], name
    if scored[-1].baseline is not None:
        return scored[-1].baseline, name
    return baseline.scores["ap50"], f"{name}, {counted(baseline.images, 'image')}"


def _plot_scores(axes: "Axes", scores: Mapping[int, Mapping[str, float]], level: tuple[float, str] | None) -> None:
    if level is not None:
        axes.axhline(level[0], color=VERMILLION, lw=1.4, ls="--", label=level[1])
    axes.set_title("Scores on validation images (higher is better)", fontsize="medium")
    axes.set_ylim(0, 1)
    for key, label, colour, style in _SCORE_LINES:
        values = {epoch: own[key] for epoch, own in scores.items() if key in own}
        if values:
            _plot_line(axes, values, label, colour, 2.0, style)


def _plot_line(
    axes: "Axes", values: Mapping[int, float], label: str, colour: str, width: float, style: str = "-"
) -> None:
    marker = "o" if len(values) == 1 else ""  # a single point has no line
    axes.plot(list(values), list(values.values()), style, marker=marker, color=colour, lw=width, label=label)


def _mark_best(axes: "Axes", epochs: Sequence[EpochEnded]) -> None:
    best = _best(epochs)
    if best is not None:
        axes.axvline(best, color=GREY, lw=1.2, ls=":", label=f"best epoch: {best}")


def _plot_example(panels: "Sequence[Axes]", example: Example) -> None:
    truth, prediction = counted_only(example.truth, example.prediction)
    matched = match_pairs(truth, prediction)
    at_half = match(truth, prediction, (0.5,))[0]
    score = f", AP at IoU 0.5: {at_half.ap:.2f}" if at_half.true_objects + at_half.predicted_objects else ""
    image = stretch(example.image)
    titles = (
        _shortened(example.name),
        f"truth: {_objects(truth)}",
        f"prediction: {_objects(prediction)}{score}",
    )
    for axes, title in zip(panels, titles, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, extent=(0, 1, 1, 0), aspect="auto")
        axes.set_title(title, fontsize="small", parse_math=False)
        axes.set_box_aspect(image.shape[0] / image.shape[1])
        axes.set_axis_off()
    for axes, labels, found in zip(panels[1:], (truth, prediction), matched.T, strict=True):
        axes.imshow(outlines(labels, found), extent=(0, 1, 1, 0), aspect="auto", interpolation="nearest")


def stretch(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return an image (YX) as numbers from 0 to 1 that show well: percentiles 0.5 to 99.8, what is not finite as 0."""
    values = np.asarray(image, np.float32)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.float32)
    low, high = np.percentile(values[finite], (0.5, 99.8))
    stretched = np.clip((np.where(finite, values, low) - low) / max(float(high - low), 1e-12), 0, 1)
    return np.asarray(stretched, np.float32)


def outlines(labels: NDArray[Any], found: NDArray[np.int64], size: int = _PANEL_PIXELS) -> NDArray[np.float32]:
    """Return the outlines of labels (YX) as a transparent picture (YX, RGBA), `found` in blue."""
    factor = size / max(labels.shape)
    rows, columns = (
        np.minimum((np.arange(max(1, round(length * factor))) + 0.5) / factor, length - 1).astype(int)
        for length in labels.shape
    )
    shown = labels[np.ix_(rows, columns)]
    edge = np.zeros(shown.shape, bool)
    for step in range(1, _OUTLINE_PIXELS + 1):
        for ahead, behind in ((np.s_[step:, :], np.s_[:-step, :]), (np.s_[:, step:], np.s_[:, :-step])):
            differs = shown[ahead] != shown[behind]
            edge[ahead] |= differs
            edge[behind] |= differs
    edge &= shown > 0
    picture = np.zeros((*shown.shape, 4), np.float32)
    for colour, inside in ((ORANGE, edge), (SKY, edge & np.isin(shown, found))):
        picture[inside] = (*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1)
    return picture


def _objects(labels: NDArray[Any]) -> str:
    count = len(np.unique(labels[labels > 0]))
    return f"{count:,} object" if count == 1 else f"{count:,} objects"


def _shortened(name: str, limit: int = 40) -> str:
    return name if len(name) <= limit else f"{name[: limit // 2]}…{name[-limit // 2 :]}"
