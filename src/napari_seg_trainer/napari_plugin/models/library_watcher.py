"""Reports when a model comes, goes or changes, whoever did it."""

import os
from pathlib import Path

from qtpy.QtCore import QFileSystemWatcher, QObject, QTimer, Signal
from superqt.utils import qthrottled

from napari_seg_trainer.library.library import ModelLibrary

COALESCE_MS = 200
"""Changes within this many milliseconds are reported as one."""
LOOK_MS = 5000
"""A shared disk does not report what another computer does, such as a cluster's: so the folder is looked at, too."""


class LibraryWatcher(QObject):
    """Watches the folder of a model library, which need not exist yet.

    Emits ``changed()`` after a model was added, renamed, deleted or completed, by this process or another.

    Parameters
    ----------
    parent : QObject
        The watching ends with it.
    library : ModelLibrary, optional
        The user's library if not given.
    """

    changed = Signal()

    def __init__(self, parent: QObject, library: ModelLibrary | None = None) -> None:
        super().__init__(parent)
        self._folder = (library or ModelLibrary()).folder
        self._system = QFileSystemWatcher(self)
        self._system.directoryChanged.connect(self._notice)
        self._tell_soon = qthrottled(self._tell, COALESCE_MS, leading=False)
        self._watch()
        self._seen = _state(self._folder)
        clock = QTimer(self)
        clock.timeout.connect(self._look)
        clock.start(LOOK_MS)

    def _notice(self, _folder: str = "") -> None:
        self._tell_soon()

    def _look(self) -> None:
        if _state(self._folder) != self._seen:
            self._notice()

    def _tell(self) -> None:
        self._watch()
        before, self._seen = self._seen, _state(self._folder)
        if self._seen is not None or before is not None:  # else it was some other folder on the way to the library
            self.changed.emit()

    def _watch(self) -> None:
        watched, wanted = set(self._system.directories()), _to_watch(self._folder)
        if watched - wanted:
            self._system.removePaths(sorted(watched - wanted))
        if wanted - watched:
            self._system.addPaths(sorted(wanted - watched))


def _to_watch(library: Path) -> set[str]:
    """Return the library, the models in it, whose cards may come late, and the folder above it, where it may be moved.

    Of a library that is not there yet, what there is of the way to it.
    """
    if not os.path.isdir(library):
        return {str(next(folder for folder in library.parents if os.path.isdir(folder)))}
    try:
        models = [entry.path for entry in os.scandir(library) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:  # what cannot be read is reported by those who read it
        models = []
    return {str(library.parent), str(library), *models}


def _state(folder: Path) -> int | None:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return None
