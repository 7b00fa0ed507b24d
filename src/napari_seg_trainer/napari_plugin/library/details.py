"""What is known of the chosen models: of one in detail, of several side by side."""

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLabel,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_seg_trainer.library.listed import (
    PLAIN_WORDS,
    Facts,
    ListedModel,
    facts,
    hyperparameters,
    side_by_side,
    validation_note,
)
from napari_seg_trainer.napari_plugin.library.scoring import FolderScores
from napari_seg_trainer.napari_plugin.parts.form import page_link, wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import Section, in_column, required
from napari_seg_trainer.pages import VERDICT

_MOST_HEIGHT, _SCROLL_BAR = 420, 20
_DIFFERENT = "≠ "


class ModelDetails(QWidget):
    """The card of one model, or what is wrong with a broken one."""

    def __init__(self) -> None:
        super().__init__()
        self._problem = ""
        self.title, self.problem, self.verdict, self.card = (wrap(QLabel()) for _ in range(4))
        self._training = wrap(QLabel())
        self.meaning = page_link("What this means, and what to do", VERDICT)
        self._section = Section("Hyperparameters", self._training)
        in_column(self, self.title, self.problem, self.verdict, self.meaning, self.card, self._section)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.clear()
        on_theme_change(self, self._paint)

    def clear(self) -> None:
        """Show nothing."""
        self.hide()

    def show_model(self, listed: ListedModel) -> None:
        """Show a model's card."""
        training = hyperparameters(listed)
        self._show(listed.name, "")
        told = facts(listed)
        self.verdict.setText("<br>".join(map(escape, told.pop(PLAIN_WORDS, "").splitlines())))
        self.verdict.setVisible(bool(self.verdict.text()))
        self.meaning.setVisible(bool(self.verdict.text()))
        self.card.setText(_as_table(told))
        self.card.show()
        self._training.setText(_as_table(training))
        self._section.setVisible(bool(training))

    def show_broken(self, name: str, problem: str) -> None:
        """Show why a model cannot be used."""
        self._show(name, problem)
        for widget in (self.verdict, self.meaning, self.card, self._section):
            widget.hide()

    def _show(self, title: str, problem: str) -> None:
        self.title.setText(f"<b>{escape(title)}</b>")
        self._problem = problem
        self._paint()
        self.show()

    def _paint(self) -> None:
        self.problem.setText(coloured(self._problem, colours().error))
        self.problem.setVisible(bool(self._problem))


class ComparisonTable(QWidget):
    """Models side by side; the facts in which they differ are bold and marked."""

    def __init__(self) -> None:
        super().__init__()
        self.note = wrap(QLabel())
        self.table = QTableWidget()
        self.table.setToolTip("The selected models side by side. Differences are bold.")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setTabKeyNavigation(False)
        self.table.setShowGrid(False)
        rows, self._headings = required(self.table.verticalHeader()), required(self.table.horizontalHeader())
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self._headings.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self._headings.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._headings.setMinimumSectionSize(86)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        self._models: list[ListedModel] = []
        self.folder_scores = FolderScores()
        for part in (self.note, self.table, self.folder_scores):
            column.addWidget(part)
        self.hide()

    def shows(self, models: Sequence[ListedModel]) -> bool:
        """Return whether it shows just these models."""
        return not self.isHidden() and self._models == list(models)

    def leave(self) -> None:
        """Show nothing, and score nothing any more."""
        self._models = []
        self.folder_scores.leave()
        self.hide()

    def show_models(self, models: Sequence[ListedModel]) -> None:
        """Show these models."""
        compared = side_by_side(models)
        self._models = list(models)
        self.folder_scores.show_models([listed.model for listed in models])
        self.note.setText(validation_note([listed.model for listed in models]))
        self.table.setColumnCount(1 + len(models))
        self.table.setRowCount(len(compared))
        for column, name in enumerate(["", *(listed.name for listed in models)]):
            self.table.setHorizontalHeaderItem(column, _cell(name))
        for row, fact in enumerate(compared):
            cells = [_DIFFERENT + fact.title if fact.differs else fact.title, *(value or "–" for value in fact.values)]
            for column, text in enumerate(cells):
                self.table.setItem(row, column, _cell(text, bold=fact.differs and column == 0))
        self.show()
        height = self._headings.sizeHint().height() + required(self.table.verticalHeader()).length()
        self.table.setFixedHeight(min(height + _SCROLL_BAR, _MOST_HEIGHT))


def _cell(text: str, *, bold: bool = False) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setToolTip(text)
    font = item.font()
    font.setBold(bold)
    item.setFont(font)
    return item


def _as_table(told: Facts) -> str:
    rows = (
        f"<tr><td style='padding-right:8px'>{escape(title)}</td><td>{escape(text).replace(chr(10), '<br>')}</td></tr>"
        for title, text in told.items()
    )
    return f"<table>{''.join(rows)}</table>"
