"""A run's report: a page, and its two figures as files."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from napari_seg_trainer.evaluation.comparison import LearningCurve
from napari_seg_trainer.evaluation.figures import Example, plot_curves, plot_examples, plot_text
from napari_seg_trainer.evaluation.report_page import methods, page
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.files import write_bytes
from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.events import Baseline, EpochEnded, Evaluated, Event, Verdict
from napari_seg_trainer.schema.model_card import ModelCard

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Example", "plot_curves", "plot_examples", "write_report"]

PAGE_FILE, DATA_FILE, CURVES_FILE, EXAMPLES_FILE = "report.html", "report.json", "curves.png", "examples.png"

_DOTS_PER_INCH = 150
_Told = Annotated[EpochEnded | Evaluated | Baseline, Field(discriminator="type")]


class ReportData(FrozenModel):
    """The numbers of a report.

    Attributes
    ----------
    events : tuple of EpochEnded, Evaluated and Baseline
        Those of the run that the curves show, in order.
    scores : Scores
        Of the validation images.
    curve : LearningCurve, optional
        How models of some of the training images do.
    """

    events: tuple[_Told, ...] = ()
    scores: Scores
    curve: LearningCurve | None = None


def write_report(
    folder: Path,
    card: ModelCard,
    events: Iterable[Event],
    examples: Sequence[Example],
    scores: Scores,
    curve: LearningCurve | None = None,
    citations: Sequence[str] = (),
) -> Path:
    """Write ``report.html``, ``report.pdf``, ``report.json``, ``curves.png`` and ``examples.png`` into a folder.

    The page needs no other file; the PDF holds the verdict, the methods and the figures; the JSON file holds the
    numbers, of which `page_anew` makes the page again.

    Parameters
    ----------
    folder : Path
        An existing folder.
    card : ModelCard
        Whose facts are shown.
    events : iterable of Event
        The run's events, in order.
    examples : sequence of Example
        Images to show; without any there is no ``examples.png``.
    scores : Scores
        Of the validation images.
    curve : LearningCurve, optional
        How models of some of the training images do on them.
    citations : sequence of str
        What is to be cited where the model is used.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    events = list(events)
    verdict = next(
        (event.sentences for event in reversed(events) if isinstance(event, Verdict) and event.epoch is None), ()
    )
    figures = [("Curves", CURVES_FILE, plot_curves(events))]
    if examples:
        figures.append(("Examples", EXAMPLES_FILE, plot_examples(examples)))
    drawn = [(title, name, _png(figure)) for title, name, figure in figures]
    for _, name, png in drawn:
        write_bytes(folder / name, png)
    text = plot_text(card.name, [*verdict, "", methods(card)])
    write_bytes(folder / "report.pdf", _pdf([text, *(figure for _, _, figure in figures)]))
    told = tuple(event for event in events if isinstance(event, EpochEnded | Evaluated | Baseline))
    data = ReportData(events=told, scores=scores, curve=curve)
    write_bytes(folder / DATA_FILE, data.model_dump_json().encode("utf-8"))
    target = folder / PAGE_FILE
    shown = [(title, png) for title, _, png in drawn]
    write_bytes(target, page(card, scores, shown, verdict, curve, citations).encode("utf-8"))
    return target


def page_anew(
    card: ModelCard, data: ReportData | None, examples: bytes | None = None, citations: Sequence[str] = ()
) -> bytes:
    """Return the page of a model as `write_report` writes it, as far as its numbers are known.

    Parameters
    ----------
    card : ModelCard
    data : ReportData, optional
        What `write_report` kept.
    examples : bytes, optional
        A PNG.
    citations : sequence of str
        What is to be cited where the model is used.
    """
    figures = []
    if data is not None and any(isinstance(event, EpochEnded) for event in data.events):
        figures.append(("Curves", _png(plot_curves(data.events))))
    if examples is not None:
        figures.append(("Examples", examples))
    scores = data.scores if data is not None else Scores.of(())
    return page(card, scores, figures, card.verdict, data.curve if data else None, citations).encode("utf-8")


def _pdf(figures: "Iterable[Figure]") -> bytes:
    from matplotlib.backends.backend_pdf import PdfPages

    buffer = BytesIO()
    with _without_glyph_warnings(), PdfPages(buffer, metadata={"CreationDate": None}) as pages:
        for figure in figures:
            pages.savefig(figure)
    return buffer.getvalue()


def _png(figure: "Figure") -> bytes:
    buffer = BytesIO()
    with _without_glyph_warnings():
        figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return buffer.getvalue()


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Be silent where an image's name is in a script that the figure's font lacks; the page shows it all the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
