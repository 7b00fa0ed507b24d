"""A run's report: a page, and its two figures as files."""

import warnings
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure

from napari_seg_trainer.evaluation.figures import Example, plot_curves, plot_examples
from napari_seg_trainer.evaluation.report_page import page
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.files import write_bytes
from napari_seg_trainer.schema.events import Event
from napari_seg_trainer.schema.model_card import ModelCard

__all__ = ["Example", "plot_curves", "plot_examples", "write_report"]

_DOTS_PER_INCH = 150


def write_report(
    folder: Path, card: ModelCard, events: Iterable[Event], examples: Sequence[Example], scores: Scores
) -> Path:
    """Write ``report.html``, ``curves.png`` and ``examples.png`` into a folder; the page needs no other file.

    Parameters
    ----------
    folder : Path
        An existing folder.
    card : ModelCard
        Whose facts are told.
    events : iterable of Event
        The run's events, in order.
    examples : sequence of Example
        Images to show; without any there is no ``examples.png``.
    scores : Scores
        Of the validation images.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    figures = [("Curves", "curves.png", _png(plot_curves(events)))]
    if examples:
        figures.append(("Examples", "examples.png", _png(plot_examples(examples))))
    for _, name, png in figures:
        write_bytes(folder / name, png)
    target = folder / "report.html"
    write_bytes(target, page(card, scores, [(title, png) for title, _, png in figures]).encode("utf-8"))
    return target


def _png(figure: Figure) -> bytes:
    buffer = BytesIO()
    with warnings.catch_warnings():
        # an image's name may be in a script that the figure's font lacks; the page shows it all the same
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()
