"""A list of annotation folders to edit, and of built-in images."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QLabel, QVBoxLayout, QWidget

from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import (
    in_row,
    narrow,
    push_button,
    shorten,
    small_button,
    tab_through,
)

_OFFER = "Built-in images"


class FolderList(QWidget):
    """One line for each folder, to type or to choose, with a button that removes it; emits ``changed()``.

    Parameters
    ----------
    hint : str
        Stands in a line that is empty.
    tooltip : str
        Of each line.
    builtin : sequence of str
        Built-in datasets that can be added.
    """

    changed = Signal()

    def __init__(self, hint: str, tooltip: str, builtin: Sequence[str] = ()) -> None:
        super().__init__()
        self._texts = hint, tooltip
        self._rows: list[_Row] = []
        self.add_button = push_button("Add a folder", "Add the images of another folder.", self._add_line)
        self.builtin_box = narrow(QComboBox())
        self.builtin_box.addItems([_OFFER, *builtin])
        self.builtin_box.setToolTip("Use images that are included with this plugin, to try it or to train with more.")
        if not builtin:
            self.builtin_box.hide()
        self.builtin_box.activated.connect(self._add_builtin)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._fill()  # before the buttons, for the order of the Tab key
        buttons = in_row(None, self.add_button, self.builtin_box)
        self._column.addLayout(buttons)

    def folders(self) -> tuple[Path, ...]:
        """Return the folders, empty lines left out."""
        return tuple(path for row in self._rows if isinstance(row, _FolderRow) and (path := row.path()) is not None)

    def builtin(self) -> tuple[str, ...]:
        """Return the names of the built-in datasets."""
        return tuple(row.dataset for row in self._rows if isinstance(row, _BuiltinRow))

    def set_value(self, folders: Sequence[Path], builtin: Sequence[str] = ()) -> None:
        """Show these, and no others."""
        for row in self._rows:
            self._column.removeWidget(row)
            row.leave()
        self._rows = [self._line(folder) for folder in folders]
        self._rows += [_BuiltinRow(name, self._remove) for name in builtin]
        self._arrange()

    def add(self, folder: Path) -> None:
        """Add a folder, unless it is there."""
        if folder not in self.folders():
            self._set([*self.folders(), folder], self.builtin())

    def _offer_removal(self) -> None:
        single = len(self._rows) == 1 and not self.folders() and not self.builtin()
        for row in self._rows:
            row.remove_button.setHidden(single)

    def _typed(self) -> None:
        self._offer_removal()
        self.changed.emit()

    def _add_line(self) -> None:
        place = sum(isinstance(row, _FolderRow) for row in self._rows)
        self._rows.insert(place, self._line(None))
        self._arrange()
        self._rows[place].setFocus()

    def add_builtin(self, name: str) -> None:
        """Add a built-in dataset, unless it is there."""
        if name not in self.builtin():
            self._set(self.folders(), [*self.builtin(), name])

    def _add_builtin(self, place: int) -> None:
        name = self.builtin_box.itemText(place)
        self.builtin_box.setCurrentIndex(0)
        if place:
            self.add_builtin(name)

    def _remove(self, row: "_Row") -> None:
        self._rows.remove(row)
        self._column.removeWidget(row)
        row.leave()
        self._arrange()
        self.changed.emit()

    def _set(self, folders: Sequence[Path], builtin: Sequence[str]) -> None:
        self.set_value(folders, builtin)
        self.changed.emit()

    def _line(self, folder: Path | None) -> "_FolderRow":
        return _FolderRow(folder, self._texts, self._typed, self._remove)

    def _fill(self) -> None:
        if not self._rows:
            self._rows = [self._line(None)]
        for place, row in enumerate(self._rows):
            self._column.insertWidget(place, row)
        self._offer_removal()

    def _arrange(self) -> None:
        self._fill()
        tab_through([stop for row in self._rows for stop in row.stops()], before=self.add_button)


class _Row(QWidget):
    """Something on the left, a button that removes it on the right."""

    def __init__(self, content: QWidget, removed: "Callable[[_Row], None]") -> None:
        super().__init__()
        self.remove_button = small_button(
            "✕", "Remove", "Remove it from the training. Its files are not deleted.", lambda: removed(self)
        )
        in_row(self, (content, 1), self.remove_button, spacing=2)

    def stops(self) -> list[QWidget]:
        """Return what the Tab key stops at."""
        return [self.remove_button]

    def leave(self) -> None:
        self.hide()
        self.deleteLater()


class _FolderRow(_Row):
    def __init__(
        self,
        folder: Path | None,
        texts: tuple[str, str],
        changed: Callable[[], None],
        removed: Callable[[_Row], None],
    ) -> None:
        hint, self._tooltip = texts
        self.edit = FileEdit(mode=FileDialogMode.EXISTING_DIRECTORY, nullable=True)
        shorten(self.edit, "a folder")
        self.line = self.edit.line_edit.native
        self.line.setPlaceholderText(hint)
        super().__init__(self.edit.native, removed)
        self.setFocusProxy(self.line)
        self.line.setText("" if folder is None else str(folder))  # the field would make it absolute
        self._explain()
        self.line.textChanged.connect(self._explain)
        self.line.textChanged.connect(lambda: changed())

    def path(self) -> Path | None:
        text = self.line.text()
        return Path(os.path.expanduser(text)) if text.strip() else None

    def stops(self) -> list[QWidget]:
        return [self.line, self.edit.choose_btn.native, self.remove_button]

    def _explain(self) -> None:
        self.line.setToolTip(f"{self._tooltip} {self.line.text()}".strip())


class _BuiltinRow(_Row):
    def __init__(self, dataset: str, removed: Callable[[_Row], None]) -> None:
        self.dataset = dataset
        label = wrap(QLabel(f"{dataset} (built in)"))
        label.setToolTip("Images that are included with this plugin.")
        super().__init__(label, removed)
