"""What the network finds in a validation image, shown in the viewer while it learns, and looked through by epoch."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from napari import Viewer
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QSlider, QWidget
from superqt.utils import signals_blocked

from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.canvas import canvas_of
from napari_seg_trainer.napari_plugin.parts.docks import at_the_end
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import follow, in_column, in_row, narrow, pass_wheel
from napari_seg_trainer.napari_plugin.run.preview_layers import Picture, PreviewLayers
from napari_seg_trainer.runs.previews import MODEL, PreviewIndex, Previews, Round
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.schema.events import TERMINAL_EVENTS, Evaluated, Event, Started

_TIP = "Adds the image to the viewer with contours: blue for your annotation, orange for the model's prediction."
_NOT_YET = "Nothing to show yet: the first preview appears after the first evaluation."
_NONE = "This training has no saved predictions."


@dataclass(frozen=True, eq=False)
class _Wish:
    """What is to be read.

    Attributes
    ----------
    image : str, optional
        None for the first.
    found_by : int or 'model', optional
        None for the latest.
    known : Picture, optional
        That of `image`, where it is read already.
    is_seen : bool
        Whether pixels are needed at all.
    """

    image: str | None
    found_by: Round | None
    known: Picture | None
    is_seen: bool


@dataclass(frozen=True, eq=False)
class _Read:
    """What was read; without pixels where none were wished for."""

    index: PreviewIndex
    rounds: Mapping[str, tuple[Round, ...]]
    image: str
    found_by: Round
    picture: Picture | None = None
    found: NDArray[np.int32] | None = None


class RunPreview(QWidget):
    """A box to tick, the image to see, and a slider over the rounds that there are.

    While the slider stands at its end it stays there, and the viewer shows each new round.

    Parameters
    ----------
    viewer : napari.Viewer

    Attributes
    ----------
    box : QCheckBox
    images : QComboBox
    slider : QSlider
    when : QLabel
        After which epoch that was found which the slider points at.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self.box, self.images = QCheckBox("show prediction on"), narrow(QComboBox())
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self._epoch, self.when, self._problem_line = QLabel("Epoch"), QLabel(), wrap(QLabel())
        self._layers = PreviewLayers(viewer)
        self._problem = ""
        self._asked = 0
        self._run: Run | None = None
        self._last: _Read | None = None
        self._chosen: Round | None = None
        self._is_over = False
        self._arrange()
        self.leave()
        self.box.toggled.connect(self._toggle)
        self.images.currentIndexChanged.connect(self._choose_image)
        self.slider.valueChanged.connect(self._choose_round)
        on_theme_change(self, self._paint)
        follow(self, viewer.layers.events.removed, self._lose_layer)
        at_the_end(self, self._layers.remove)

    @property
    def problem(self) -> str:
        """Why something cannot be shown; empty where it can."""
        return self._problem

    def show_run(self, run: Run) -> None:
        """Offer what this run has kept, and nothing of another any more."""
        self.leave()
        self._run = run
        self._refresh()

    def leave(self) -> None:
        """Take the layers out of the viewer, and forget the run."""
        self.untick()
        self._asked += 1
        self._run = self._last = self._chosen = None
        self._is_over = False
        self._tell("")
        self._offer()

    def untick(self) -> None:
        """Take the layers out of the viewer."""
        self.box.setChecked(False)

    def add(self, events: Iterable[Event]) -> None:
        """Look for what is new, where these events say that something is."""
        is_news = False
        for event in events:
            self._is_over = isinstance(event, TERMINAL_EVENTS) or (self._is_over and not isinstance(event, Started))
            is_news |= isinstance(event, (Evaluated, *TERMINAL_EVENTS))
        if is_news:
            self._refresh()

    def _toggle(self, yes: bool) -> None:
        self._offer()
        if yes:
            self._layers.before_removal = canvas_of(self)
            self._refresh()
        else:
            self._layers.remove()
            self._tell("")

    def _choose_image(self, _place: int) -> None:
        self._refresh()

    def _choose_round(self, place: int) -> None:
        if self._last is not None:
            found_by = self._last.rounds[self._last.image][place]
            self._chosen = None if place == self.slider.maximum() else found_by
            self._say(found_by)
            self._refresh()

    def _refresh(self) -> None:
        """Read all that is to be seen now; what was asked for earlier is of no use any more."""
        run, last = self._run, self._last
        if run is None:
            return
        self._asked += 1
        asked, image = self._asked, self.images.currentData()
        known = last.picture if last is not None and last.image == image else None
        wish = _Wish(image, self._chosen, known, self.box.isChecked())

        def read() -> _Read | None:
            return _read(run, wish) if asked == self._asked else None

        def done(found: _Read | None) -> None:
            if asked == self._asked:
                self._take(found)

        def failed(problem: str) -> None:
            if asked == self._asked:
                self._tell(problem)

        in_background(self, read, done, failed)

    def _take(self, found: _Read | None) -> None:
        self._last = found
        self._tell("")
        if found is None:
            self.untick()
        self._offer()
        is_seen = self.box.isChecked()
        if is_seen and found is not None and found.picture is not None and found.found is not None:
            self._layers.show(found.index, found.picture, found.found)

    def _offer(self) -> None:
        """Let be chosen what there is."""
        last = self._last
        self.box.setEnabled(last is not None)
        self.images.setEnabled(last is not None)
        self.box.setToolTip(_TIP if last is not None else _NONE if self._is_over else _NOT_YET)
        self._scrubber.setVisible(last is not None and self.box.isChecked())
        with signals_blocked(self.images), signals_blocked(self.slider):
            self._fill(last)

    def _fill(self, last: "_Read | None") -> None:
        names = () if last is None else tuple(last.rounds)
        if names != tuple(self.images.itemData(place) for place in range(self.images.count())):
            self.images.clear()
            for name, short in zip(names, _shortened(names), strict=True):
                self.images.addItem(short, name)
                self.images.setItemData(self.images.count() - 1, name, Qt.ItemDataRole.ToolTipRole)
        if last is not None:
            self.images.setCurrentIndex(names.index(last.image))
            rounds = last.rounds[last.image]
            self.slider.setRange(0, len(rounds) - 1)
            self.slider.setValue(rounds.index(last.found_by))
            self._epoch.setVisible(len(rounds) > 1)
            self.slider.setVisible(len(rounds) > 1)
            self._say(last.found_by)

    def _lose_layer(self, _event: object) -> None:
        if self._layers.are_gone:  # the user has deleted them all
            self.untick()

    def _say(self, found_by: Round) -> None:
        self.when.setText("the model" if found_by == MODEL else f"after epoch {found_by}")

    def _tell(self, problem: str) -> None:
        self._problem = problem
        self._paint()

    def _paint(self) -> None:
        self._problem_line.setText(coloured(self._problem, colours().error) if self._problem else "")
        self._problem_line.setVisible(bool(self._problem))

    def _arrange(self) -> None:
        self.images.setToolTip("One of the validation images.")
        self.slider.setToolTip("Drag to see predictions of earlier epochs; at the right end it follows the training.")
        self.slider.setPageStep(1)
        pass_wheel(self.slider)
        self.when.setMinimumWidth(self.when.fontMetrics().horizontalAdvance("after epoch 0000"))
        first = in_row(None, self.box, (self.images, 1))
        self._scrubber = QWidget()
        in_row(self._scrubber, self._epoch, (self.slider, 1), self.when, 0)
        in_column(self, first, self._scrubber, self._problem_line)


def _read(run: Run, wish: _Wish) -> _Read | None:
    """Return what there is of a wish; None as long as nothing was found in an image."""
    kept = Previews(run)
    index, rounds = kept.index(), kept.rounds()
    if index is None or not rounds:
        return None
    image = wish.image if wish.image in rounds else next(iter(rounds))
    found_by = wish.found_by if wish.found_by in rounds[image] else rounds[image][-1]
    if not wish.is_seen:
        return _Read(index, rounds, image, found_by)
    picture = wish.known if wish.known is not None and wish.image == image else Picture.of(*kept.image(image))
    return _Read(index, rounds, image, found_by, picture, kept.prediction(image, found_by))


def _shortened(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the images' names without their folder's, where that distinguishes them."""
    short = tuple(name.rpartition("/")[2] for name in names)
    return short if len(set(short)) == len(short) else names
