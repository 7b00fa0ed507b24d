"""The models of the library as a table, in which they can be renamed."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QValidator
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QStyledItemDelegate,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.listed import ListedModel, day
from napari_seg_trainer.napari_plugin.parts.theme import colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import required
from napari_seg_trainer.schema.names import check_model_name

HEADINGS = {
    "name": "The model's name. Press F2 to change it.",
    "kind": "The type of network.",
    "AP50": "Average precision on the model's own validation images: of all objects, drawn or found, the share that "
    "matches with half of its area or more. 1 is perfect.",
    "when": "When the model was trained.",
}
NAME, KIND, AP50, WHEN = range(4)
_SORTED_BY = Qt.ItemDataRole.UserRole
_FEWEST_ROWS, _MOST_ROWS = 3, 8


class LibraryTable(QTableWidget):
    """One row for each model, also for those that are broken; sorted by a click on a heading.

    Emits ``chosen_changed()``, ``renamed(str, str)`` with the old and the new name once the user has typed one that can
    be had, and ``name_judged(str)`` with what is wrong with a name while it is typed; empty if nothing is.
    """

    chosen_changed = Signal()
    renamed = Signal(str, str)
    name_judged = Signal(str)

    def __init__(self) -> None:
        super().__init__(0, len(HEADINGS))
        self._postponed: Callable[[], None] | None = None
        self._editor: QWidget | None = None
        for column, (title, tooltip) in enumerate(HEADINGS.items()):
            heading = QTableWidgetItem(title)
            heading.setToolTip(tooltip)
            self.setHorizontalHeaderItem(column, heading)
        self.setToolTip("The models in your library. Hold Ctrl or Shift to choose several.")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setTabKeyNavigation(False)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._arrange_headers()
        self._delegate = _Names(self)
        self.setItemDelegateForColumn(NAME, self._delegate)
        self.itemSelectionChanged.connect(self.chosen_changed)
        on_theme_change(self, self._paint)

    def chosen(self) -> list[str]:
        """Return the names of the chosen models, from top to bottom."""
        rows = sorted({index.row() for index in self.selectedIndexes()})
        return [self._name(row) for row in rows]

    def show_models(self, models: Sequence[ListedModel], broken: Mapping[str, str], choose: Sequence[str] = ()) -> None:
        """Show these models and what is wrong with the broken ones; waits until a name that is being typed is done.

        Parameters
        ----------
        models : sequence of ListedModel
        broken : mapping of str to str
        choose : sequence of str
            Names to choose; without any, the choice stays.
        """
        if self._editor is not None:
            self._postponed = lambda: self.show_models(models, broken, choose)
            return
        wanted = set(choose or self.chosen())
        with signals_blocked(self):
            self.setSortingEnabled(False)
            self.setRowCount(0)
            self.setRowCount(len(models) + len(broken))
            for row, listed in enumerate(models):
                self._fill(row, _model_cells(listed))
            for row, (name, problem) in enumerate(broken.items(), start=len(models)):
                self._fill(row, _broken_cells(name, problem))
            self.setSortingEnabled(True)
            self._paint()
            self.setFixedHeight(self._height())
            self._choose(wanted)
        self.chosen_changed.emit()

    def rename_chosen(self) -> None:
        """Let the user type another name for the chosen model."""
        (name,) = self.chosen()
        row = next(row for row in range(self.rowCount()) if self._name(row) == name)
        self.editItem(self.item(row, NAME))

    def editing(self, editor: QWidget | None) -> None:
        """Take note that a name is being typed, or no longer."""
        self._editor = editor
        if editor is None and self._postponed is not None:
            postponed, self._postponed = self._postponed, None
            postponed()

    def _arrange_headers(self) -> None:
        required(self.verticalHeader()).hide()
        header = required(self.horizontalHeader())
        header.setHighlightSections(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(44)
        header.setSortIndicator(WHEN, Qt.SortOrder.DescendingOrder)

    def _fill(self, row: int, cells: Sequence["_Cell"]) -> None:
        for column, cell in enumerate(cells):
            self.setItem(row, column, cell)

    def _name(self, row: int) -> str:
        return required(self.item(row, NAME)).text()

    def _choose(self, names: set[str]) -> None:
        rows = [row for row in range(self.rowCount()) if self._name(row) in names] or ([0] if self.rowCount() else [])
        self.clearSelection()
        model = required(self.selectionModel())
        flags = model.SelectionFlag.Select | model.SelectionFlag.Rows
        for row in rows:
            model.setCurrentIndex(required(self.model()).index(row, NAME), flags)

    def _height(self) -> int:
        rows = min(max(self.rowCount(), _FEWEST_ROWS), _MOST_ROWS)
        each = required(self.verticalHeader()).defaultSectionSize()
        return required(self.horizontalHeader()).sizeHint().height() + rows * each + 2 * self.frameWidth()

    def _paint(self) -> None:
        for row in range(self.rowCount()):
            cell = required(self.item(row, KIND))
            if cell.text() == _BROKEN:
                cell.setForeground(QColor(colours().error))


_BROKEN = "broken"


class _Cell(QTableWidgetItem):
    """Text that is sorted by something else."""

    def __init__(self, text: str, sorted_by: Any, tooltip: str) -> None:
        super().__init__(text)
        self.setData(_SORTED_BY, sorted_by)
        self.setToolTip(tooltip)
        self.setFlags(Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return bool(self.data(_SORTED_BY) < other.data(_SORTED_BY))


def _model_cells(listed: ListedModel) -> list[_Cell]:
    made = listed.card.created
    score = "–" if listed.ap50 is None else f"{listed.ap50:.2f}"
    name = _Cell(listed.name, listed.name.lower(), f"{listed.name}: {listed.line}")
    name.setFlags(name.flags() | Qt.ItemFlag.ItemIsEditable)
    return [
        name,
        _Cell(listed.kind, listed.kind.lower(), listed.kind),
        _Cell(score, -1.0 if listed.ap50 is None else listed.ap50, HEADINGS["AP50"]),
        _Cell(day(made, datetime.now(UTC)), made.timestamp(), f"{made.astimezone():%Y-%m-%d %H:%M}"),
    ]


def _broken_cells(name: str, problem: str) -> list[_Cell]:
    return [
        _Cell(name, name.lower(), problem),
        _Cell(_BROKEN, "", problem),
        _Cell("–", -1.0, problem),
        _Cell("–", 0.0, problem),
    ]


class _Names(QStyledItemDelegate):
    """Edits a name in its cell; Enter has no effect as long as no model can have that name."""

    def __init__(self, table: LibraryTable) -> None:
        super().__init__(table)
        self._table = table

    def createEditor(self, parent: QWidget | None, _option: object, index: QModelIndex) -> QWidget:
        editor = QLineEdit(parent)
        editor.setToolTip("Type the new name and press Enter, or Escape to keep the old one.")
        rule = _NameRule(editor, index.data())
        editor.setValidator(rule)
        editor.textChanged.connect(lambda text: self._table.name_judged.emit(rule.reason(text)))
        self._table.editing(editor)
        return editor

    def setModelData(self, editor: QWidget | None, _model: object, index: QModelIndex) -> None:
        assert isinstance(editor, QLineEdit)
        if editor.text() != index.data():
            self._table.renamed.emit(index.data(), editor.text())

    def destroyEditor(self, editor: QWidget | None, index: QModelIndex) -> None:
        super().destroyEditor(editor, index)
        self._table.name_judged.emit("")
        self._table.editing(None)


class _NameRule(QValidator):
    def __init__(self, editor: QLineEdit, old: str) -> None:
        super().__init__(editor)
        self._old = old

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        state = QValidator.State.Intermediate if self.reason(text or "") else QValidator.State.Acceptable
        return state, text or "", position

    def reason(self, name: str) -> str:
        """Return what is wrong with a new name; empty if nothing is."""
        try:
            check_model_name(name)
            if name.lower() != self._old.lower():
                ModelLibrary().check_new_name(name)
        except (ValueError, LibraryError) as error:
            return str(error)
        return ""
