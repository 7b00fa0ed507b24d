"""What a training starts from: nothing, or a model that was trained before."""

import os
from functools import partial

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import QComboBox, QLabel, QWidget
from superqt.utils import qdebounced

from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.listed import ListedModel
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.pretrained import builtin_models, resolve_pretrained
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, narrow, shorten
from napari_seg_trainer.napari_plugin.train.start_look import Proposal
from napari_seg_trainer.schema.job import AUTOMATIC
from napari_seg_trainer.schema.model_card import ModelCard

AUTOMATICALLY, SCRATCH, FOLDER, FILE = "automatic", "from scratch", "a folder…", "a weights file…"
PAUSE = 300
"""Milliseconds without a change after which a model is read."""

_TOOLTIP = (
    "Starting from a model trained on similar images needs fewer images and less time than training from scratch."
)
_FOLDER_TOOLTIP = "The folder of a model, as written by this plugin, StarDist or Celldetective."
_FILE_TOOLTIP = "A weights file written by Cellpose."
_PATHS = (FOLDER, FILE)
_MEGABYTE = 1_000_000


class PretrainedField(QWidget):
    """Edits what a job starts from, and reads the model's card in the background.

    Emits ``changed()`` when the user has chosen, ``loaded()`` when the choice has been read or could not be.

    Parameters
    ----------
    spec : EngineSpec
        Only models of this engine are offered.

    Attributes
    ----------
    card : ModelCard, optional
        Of the chosen model, once it is read.
    by_user : bool
        Whether a user chose it, rather than a job.
    """

    changed = Signal()
    loaded = Signal()

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__()
        self._spec = spec
        self.card: ModelCard | None = None
        self.by_user = False
        self._proposed: tuple[str | None, Proposal | None] = None, None
        self._line = ""
        self._problem = ""
        self._reading = 0
        self._is_reading = False
        self._fetched: list[tuple[int, int | None]] = []
        self._names: tuple[str, ...] = ()
        self.box = narrow(QComboBox())
        self.box.setToolTip(_TOOLTIP)
        self.folder = FileEdit(mode=FileDialogMode.EXISTING_DIRECTORY, nullable=True)
        self._note = wrap(QLabel())
        self._read_soon = qdebounced(partial(self._read, True), PAUSE, parent=self)
        self._clock = QTimer(self)
        self._clock.setInterval(PAUSE)
        self._arrange()
        self._offer(self._default())
        self._connect()
        self.list_models()

    def value(self) -> str | None:
        """Return a name in the library, a path, a built-in name, "auto", or None for a start from the beginning."""
        chosen: str = self.box.currentData()
        if chosen in _PATHS:
            return str(self.folder.line_edit.native.text().strip())
        if chosen == self._default():  # without starters, both are the same
            return AUTOMATIC
        return None if chosen == SCRATCH else chosen

    @property
    def is_automatic(self) -> bool:
        """Whether one of the starters may be chosen by itself."""
        return bool(self.box.currentData() == AUTOMATICALLY)

    @property
    def is_looked_at(self) -> bool:
        """Whether a look at some images shows more about the start model."""
        return self.is_automatic or (self.card is not None and self._default() == AUTOMATICALLY)

    @property
    def proposal(self) -> Proposal | None:
        """What the choice comes to, once that is known: which model it is, and what that finds."""
        value, proposal = self._proposed
        return proposal if value == self.value() else None

    def propose(self, proposal: Proposal) -> None:
        """Say what the choice comes to."""
        self._proposed = self.value(), proposal
        self._show_proposal()

    def _show_proposal(self) -> None:
        proposal = self.proposal
        if self.is_automatic:
            name = proposal.card.name if proposal and proposal.card else SCRATCH
            is_known = proposal is not None and proposal.is_known
            self.box.setItemText(0, f"{name} (auto)" if is_known else AUTOMATICALLY)
            self._say(proposal.reason if proposal else "")
        elif self.card is not None:
            found = proposal.reason if proposal and proposal.found is not None else ""
            self._say("\n".join(filter(None, (self._line, found))))

    def set_value(self, pretrained: str | None, *, by_user: bool = False) -> None:
        """Choose what to start from."""
        known = pretrained in builtin_models() or pretrained in ModelLibrary()
        if pretrained is None or pretrained == AUTOMATIC:
            self._offer(self._default() if pretrained else SCRATCH)
        elif known:
            self._offer(pretrained)
        else:
            self._offer(FILE if os.path.isfile(pretrained) and self._spec.single_files else FOLDER)
            with self.folder.line_edit.changed.blocked():
                self.folder.line_edit.value = pretrained
        self._read(by_user)

    def set_engine(self, spec: EngineSpec) -> None:
        """Offer models of another engine, and start as is best for it."""
        self._spec = spec
        self._names = ()
        self._proposed = None, None
        self.set_value(AUTOMATIC)
        self.list_models()

    def list_models(self) -> None:
        """Offer the models that are in the library now."""
        engine = self._spec.id

        def names() -> tuple[str, ...]:
            return tuple(model.name for model in ModelLibrary() if model.card.engine == engine)

        def keep(found: tuple[str, ...]) -> None:
            if engine == self._spec.id:
                chosen = self.box.currentData()
                is_gone = chosen in self._names and chosen not in found
                self._names = found
                self._offer(chosen)
                if is_gone:
                    self._read(by_user=False)

        in_background(self, names, keep)

    def reason(self) -> str:
        """Return why a training cannot start from the choice, as far as is known; empty if it can."""
        if self.value() == "":
            return f"Choose the {self._what()} of the pretrained model."
        return "Reading the pretrained model." if self._is_reading else self._problem

    def _arrange(self) -> None:
        in_column(self, self.box, self.folder.native, self._note)

    def _connect(self) -> None:
        self.box.activated.connect(self._chosen)
        self.folder.line_edit.changed.connect(self._typed)
        self._clock.timeout.connect(self._tell_progress)

    def _chosen(self) -> None:
        self._read(by_user=True)
        self.changed.emit()

    def _typed(self) -> None:
        self._forget()
        self._is_reading = bool(self.value())
        self._read_soon()
        self.changed.emit()

    def _offer(self, chosen: str) -> None:
        """Fill the drop-down, with this choice."""
        builtin = [model for model in self._spec.pretrained if model.name not in self._names]
        self.box.clear()
        if self._default() == AUTOMATICALLY:
            self.box.addItem(AUTOMATICALLY, AUTOMATICALLY)
        self.box.addItem(f"from {self._spec.base}" if self._spec.base else SCRATCH, SCRATCH)
        for name in self._names:
            self.box.addItem(name, name)
        for model in builtin:
            self.box.addItem(f"{model.name} (built in)", model.name)
            self.box.setItemData(self.box.count() - 1, model.title, Qt.ItemDataRole.ToolTipRole)
        if self.box.findData(chosen) < 0 and chosen not in _PATHS:
            self.box.addItem(chosen, chosen)
        for path in _PATHS if self._spec.single_files else _PATHS[:1]:
            self.box.addItem(path, path)
        self.box.setCurrentIndex(self.box.findData(chosen))
        self._show_path()
        self._show_proposal()

    def _default(self) -> str:
        return AUTOMATICALLY if any(model.is_starter for model in self._spec.pretrained) else SCRATCH

    def _what(self) -> str:
        return "file" if self.box.currentData() == FILE else "folder"

    def _show_path(self) -> None:
        """Show the line for a path where there is to be one."""
        is_file = self.box.currentData() == FILE
        self.folder.mode = FileDialogMode.EXISTING_FILE if is_file else FileDialogMode.EXISTING_DIRECTORY
        shorten(self.folder, f"a {self._what()}")  # a change of mode names the button anew
        line = self.folder.line_edit.native
        line.setPlaceholderText("file of weights" if is_file else "folder of a model")
        line.setToolTip(_FILE_TOOLTIP if is_file else _FOLDER_TOOLTIP)
        self.folder.native.setVisible(self.box.currentData() in _PATHS)

    def _forget(self) -> None:
        self._read_soon.cancel()
        self._reading += 1  # what an earlier reading still has to say is too late
        self._is_reading = False
        self._clock.stop()
        self.card, self._problem = None, ""
        self._say("")

    def _read(self, by_user: bool) -> None:
        self._forget()
        self.by_user = by_user
        self._show_path()
        text = self.value()
        if not text or text == AUTOMATIC:
            self._show_proposal()
            self.loaded.emit()
            return
        self._is_reading = True
        self._fetched = []
        self._clock.start()
        number, spec = self._reading, self._spec
        work = partial(resolve_pretrained, text, spec.id, progress=partial(_remember, self._fetched))

        def done(model: LibraryModel) -> None:
            if number == self._reading:
                self._finish(model.card, "", ListedModel(model, spec).line)

        def failed(problem: str) -> None:
            if number == self._reading:
                self._finish(None, problem, "")

        in_background(self, work, done, failed)

    def _finish(self, card: ModelCard | None, problem: str, line: str) -> None:
        self._clock.stop()
        self._is_reading = False
        self.card, self._problem, self._line = card, problem, line
        self._say("")
        self._show_proposal()
        self.loaded.emit()

    def _tell_progress(self) -> None:
        if self._fetched:
            done, total = self._fetched[-1]
            of = "" if total is None else f" of {total / _MEGABYTE:.1f}"
            self._say(f"Downloading: {done / _MEGABYTE:.1f}{of} MB")

    def _say(self, text: str) -> None:
        self._note.setText(text)
        self._note.setVisible(bool(text))


def _remember(fetched: list[tuple[int, int | None]], done: int, total: int | None) -> None:
    fetched.append((done, total))
