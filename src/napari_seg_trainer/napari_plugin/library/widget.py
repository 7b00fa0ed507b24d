"""The dock with all trained models."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari import Viewer
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QLabel, QWidget

from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.listed import ListedModel, list_models
from napari_seg_trainer.library.reports import has_report, report_of
from napari_seg_trainer.napari_plugin.library.details import ComparisonTable, ModelDetails
from napari_seg_trainer.napari_plugin.library.share import ShareButton
from napari_seg_trainer.napari_plugin.library.table import LibraryTable
from napari_seg_trainer.napari_plugin.models.library_watcher import LibraryWatcher
from napari_seg_trainer.napari_plugin.models.no_model import NoModel
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.docks import SEGMENT, TRAIN, open_dock
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.panel import Panel
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours
from napari_seg_trainer.napari_plugin.parts.widgets import ask, in_row, push_button
from napari_seg_trainer.napari_plugin.run.active import ActiveLine

_EMPTY = "No models yet. Train one on your own images, or import one with 'Share'."


class LibraryWidget(Panel):
    """Lists all models, shows what is known of them, and leads to what can be done with them.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    tab_title = "Library"

    def __init__(self, viewer: Viewer) -> None:
        super().__init__("Segment", "Open the Segment dock with the selected model.")
        self._viewer = viewer
        self._models: dict[str, ListedModel] = {}
        self._broken: dict[str, str] = {}
        self._choose_next: tuple[str, ...] = ()
        self._make_pieces()
        self.add_above(ActiveLine(lambda run: open_dock(self._viewer, TRAIN).open_run(run)))
        for piece in (self.no_model, self.table, self._row, self.status, self.details, self.comparison):
            self.add(piece)
        self.add_beside(self.train_button)
        self.add_beside(self.share)
        self._connect()
        self._say("")
        self._follow_choice()
        self.refresh()

    def refresh(self, choose: Sequence[str] = ()) -> None:
        """Read the library again, in the background, and choose the models of these names, if any are given."""
        self._choose_next = tuple(choose) or self._choose_next
        in_background(self, _read, self._show, self._say_problem)

    def _make_pieces(self) -> None:
        self.no_model = NoModel(self._viewer, _EMPTY)
        self.table = LibraryTable()
        self.status = wrap(QLabel())
        self.details, self.comparison = ModelDetails(), ComparisonTable()
        self.report_button = push_button(
            "Report", "Open the report of the selected model in the browser.", self._open_report
        )
        self.rename_button = push_button("Rename", "Rename the selected model.")
        self.compare_button = push_button(
            "Compare", "Compare the selected models. Hold Ctrl to select several.", self._compare
        )
        self.delete_button = push_button("Delete", "Permanently delete the selected models.", self._ask_to_delete)
        self.train_button = push_button(
            "Train from this",
            "Open the training form to train further from the selected model.",
            lambda: open_dock(self._viewer, TRAIN).start_from(self._one().name),
        )
        self.share = ShareButton()
        self._row = QWidget()
        in_row(self._row, self.report_button, self.rename_button, self.compare_button, self.delete_button)

    def _connect(self) -> None:
        self.table.chosen_changed.connect(self._follow_choice)
        self.table.renamed.connect(self._rename)
        self.table.name_judged.connect(self._say_problem)
        self.button.clicked.connect(lambda: open_dock(self._viewer, SEGMENT).select_model(self._one().name))
        self.rename_button.clicked.connect(self.table.rename_chosen)
        self.share.said.connect(self._say)
        self.share.failed.connect(self._say_problem)
        self.share.imported.connect(lambda name: self.refresh([name]))
        LibraryWatcher(self).changed.connect(lambda: self.refresh())

    def _show(self, found: tuple[Sequence[ListedModel], dict[str, str]]) -> None:
        models, self._broken = found
        self._models = {listed.name: listed for listed in models}
        empty = not self._models and not self._broken
        self.no_model.setVisible(empty)
        for piece in (self.table, self._row):
            piece.setVisible(not empty)
        choose, self._choose_next = self._choose_next, ()
        self.table.show_models(models, self._broken, choose)

    def _chosen(self) -> list[ListedModel]:
        return [self._models[name] for name in self.table.chosen() if name in self._models]

    def _one(self) -> ListedModel:
        (listed,) = self._chosen()
        return listed

    def _follow_choice(self) -> None:
        names, models = self.table.chosen(), self._chosen()
        single = models[0] if len(names) == len(models) == 1 else None
        broken = names[0] if len(names) == 1 and not models else None
        if not self.comparison.shows(models):  # it stays where the library changes elsewhere
            self.comparison.leave()
        if single is not None:
            self.details.show_model(single)
        elif broken is not None:
            self.details.show_broken(broken, self._broken.get(broken, ""))
        else:
            self.details.clear()
        for button in (self.rename_button, self.button):
            button.setEnabled(single is not None)
        trains = single is not None and (single.spec is None or single.spec.trains)
        self.train_button.setEnabled(trains)
        self.report_button.setEnabled(single is not None and has_report(single.model))
        self.compare_button.setEnabled(len(names) == len(models) > 1)
        self.delete_button.setEnabled(bool(names))
        self.share.set_model(single.model if single else None)

    def _compare(self) -> None:
        self.details.clear()
        self.comparison.show_models(self._chosen())
        self.scroll_to(self.comparison)

    def _open_report(self) -> None:
        model = self._one().model

        def show(page: Path) -> None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(page)))

        in_background(self, lambda: report_of(model), show, self._say_problem)

    def _rename(self, old: str, new: str) -> None:
        def done(_model: Any) -> None:
            self._say(f"'{old}' is now called '{new}'.")
            self.refresh([new])

        in_background(self, lambda: ModelLibrary().rename(old, new), done, self._say_problem)

    def _ask_to_delete(self) -> None:
        names = self.table.chosen()
        what = f"model '{names[0]}'" if len(names) == 1 else f"{len(names)} models ({', '.join(names)})"
        ask(self, f"Delete {what} permanently? This cannot be undone.", "Delete", lambda: self._delete(names))

    def _delete(self, names: Sequence[str]) -> None:
        def delete() -> None:
            for name in names:
                ModelLibrary().delete(name)

        def done(_nothing: None) -> None:
            self._say(f"Deleted {', '.join(names)}.")
            self.refresh()

        in_background(self, delete, done, self._say_problem)

    def _say(self, text: str) -> None:
        self.status.setText(text)
        self.status.setVisible(bool(text))

    def _say_problem(self, problem: str) -> None:
        self._say(coloured(problem, colours().error) if problem else "")


def _read() -> tuple[list[ListedModel], dict[str, str]]:
    library = ModelLibrary()
    return list_models(library), library.broken()
