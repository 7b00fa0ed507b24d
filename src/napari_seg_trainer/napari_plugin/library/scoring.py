"""Models side by side on the same annotated images, scored now."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from threading import Event

from qtpy.QtWidgets import QFileDialog, QLabel, QPushButton, QWidget

from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.napari_plugin.models.warm import WarmService
from napari_seg_trainer.napari_plugin.parts.background import in_background, lent_thread, step_by_step
from napari_seg_trainer.napari_plugin.parts.docks import at_the_end
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, in_row, push_button

_COLUMNS = {"F1": "f1_50", "AP50": "ap50", "AP70": "ap70", "AP90": "ap90"}


@dataclass(frozen=True)
class Scored:
    """How far the scoring is: a model looks at an image."""

    model: str
    image: int
    images: int


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes
    ----------
    folder : str
        The name of the folder of images.
    images : int
        How many all models could be scored on.
    scores : dict of str to dict of str to float
        By the model's name; pooled over the images.
    sentences : tuple of str
        How each other model compares with the first.
    problems : tuple of str
        Why images are left out.
    """

    folder: str
    images: int
    scores: dict[str, dict[str, float]]
    sentences: tuple[str, ...]
    problems: tuple[str, ...] = ()


def score_models(
    warm: WarmService, models: Sequence[LibraryModel], folder: Path, stop: Event
) -> Generator[Scored, None, Outcome | None]:
    """Segment the images of an annotation folder with each model, and score what it finds.

    Returns None once `stop` is set.

    Raises
    ------
    SegTrainerError
        If the folder, an image or a model cannot be used.
    """
    from napari_seg_trainer.annotations.folder import open_folders
    from napari_seg_trainer.api import SideBySide, score_pairs
    from napari_seg_trainer.evaluation.comparison import compare_scores, tell_difference
    from napari_seg_trainer.segmentation.service import CancelledError

    pairs = open_folders([folder])
    found = SideBySide([model.name for model in models], pairs)
    service = warm.get()
    try:
        for model in models:
            yield Scored(model.name, 1, len(pairs))
            for place, done in enumerate(score_pairs(partial(service.segment, model), pairs), 2):
                if stop.is_set():
                    return None
                found.add(model.name, done)
                yield Scored(model.name, min(place, len(pairs)), len(pairs))
    except CancelledError:
        return None
    (first, reference), *others = found.scores().items()
    sentences = [
        f"{name}: {tell_difference(compare_scores(scores.images, reference.images), repr(first))}"
        for name, scores in others
    ]
    told = {name: scores.told for name, scores in found.scores().items()}
    return Outcome(folder.name, len(reference.images), told, tuple(sentences), tuple(found.problems()))


class FolderScores(QWidget):
    """A button that scores some models on a folder, how far that is, and what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self._models: tuple[LibraryModel, ...] = ()
        self._warm, self._stop = WarmService(), Event()
        self.button = push_button(
            "Score on a folder…",
            "Evaluate these models on an annotation folder and compare them.",
            self._ask,
        )
        self.stop_button = QPushButton("Stop")
        self.line = wrap(QLabel())
        row = in_row(None, self.button, self.stop_button, 0)
        in_column(self, row, self.line)
        self.stop_button.clicked.connect(self.leave)
        at_the_end(self, self._warm.close)
        self.leave()

    def show_models(self, models: Sequence[LibraryModel]) -> None:
        """Offer to score these models."""
        self.leave()
        self._models = tuple(models)

    def leave(self) -> None:
        """Stop what runs, and show nothing."""
        if not self._stop.is_set():
            in_background(self, self._warm.stop)
        self._stop.set()
        self._say("")
        self._show_running(False)

    def score_on(self, folder: Path) -> None:
        """Score the models on an annotation folder."""
        stop = self._stop = self._warm.begin()
        self._say("Loading the model…")
        self._show_running(True)

        def step(scored: Scored) -> None:
            if not stop.is_set():
                self._say(f"{scored.model}: image {scored.image} of {scored.images}…")

        def end(text: str) -> None:
            if not stop.is_set():
                stop.set()
                self._show_running(False)
                self._say(text)

        def done(outcome: Outcome | None) -> None:
            end(_text(outcome) if outcome else "")

        def failed(problem: str) -> None:
            end(coloured(problem, colours().error))

        step_by_step(self, partial(_steps, self._warm, self._models, folder, stop), step, done, failed)

    def _ask(self) -> None:
        dialog = QFileDialog(self, "Score on an annotation folder", str(Path.home()))
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly)
        dialog.fileSelected.connect(lambda name: self.score_on(Path(name)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _show_running(self, running: bool) -> None:
        self.button.setVisible(not running)
        self.stop_button.setVisible(running)

    def _say(self, text: str) -> None:
        self.line.setText(text)
        self.line.setVisible(bool(text))


def _steps(
    warm: WarmService, models: Sequence[LibraryModel], folder: Path, stop: Event
) -> Generator[Scored, None, Outcome | None]:
    with lent_thread():
        return (yield from score_models(warm, models, folder, stop))


def _text(outcome: Outcome) -> str:
    """Return a table of the scores, and how the models compare."""
    heads = "".join(f"<th align='right' style='padding-left:8px'>{title}</th>" for title in _COLUMNS)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td align='right' style='padding-left:8px'>{told[key]:.2f}</td>" for key in _COLUMNS.values())
        + "</tr>"
        for name, told in outcome.scores.items()
    )
    images = "1 image" if outcome.images == 1 else f"{outcome.images} images"
    head = f"<tr><th align='left'>{escape(outcome.folder)}, {images}</th>{heads}</tr>"
    sentences = "".join(f"<p>{escape(sentence)}</p>" for sentence in outcome.sentences)
    left = "".join(f"<p>{coloured(f'Skipped: {problem}', colours().error)}</p>" for problem in outcome.problems)
    return f"<table>{head}{rows}</table>{sentences}{left}"
