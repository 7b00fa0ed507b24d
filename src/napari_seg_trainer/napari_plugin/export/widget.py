"""The dock that exports annotations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from napari import Viewer
from napari.layers import Layer
from qtpy.QtWidgets import QLabel
from superqt.utils import qthrottled

from napari_seg_trainer.annotations.findings import Finding
from napari_seg_trainer.annotations.replaced import Replaced, There
from napari_seg_trainer.napari_plugin.export.defaults import FolderContent, free_name
from napari_seg_trainer.napari_plugin.export.form import ExportForm
from napari_seg_trainer.napari_plugin.export.last_used import LastUsed
from napari_seg_trainer.napari_plugin.export.no_labels import NoLabels
from napari_seg_trainer.napari_plugin.export.plan import Examined, ExportPlan, ExportStep, Item
from napari_seg_trainer.napari_plugin.export.result import ExportProgress, ExportResult
from napari_seg_trainer.napari_plugin.export.texts import existing, outcome, preview, question, undone
from napari_seg_trainer.napari_plugin.layers.annotated_part import is_region
from napari_seg_trainer.napari_plugin.layers.finding_list import show_finding
from napari_seg_trainer.napari_plugin.layers.look_at import look_at
from napari_seg_trainer.napari_plugin.layers.planes import PREFIX, model_of
from napari_seg_trainer.napari_plugin.parts.background import in_background, step_by_step
from napari_seg_trainer.napari_plugin.parts.docks import TRAIN, is_alive, open_dock
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.panel import Panel
from napari_seg_trainer.napari_plugin.parts.widgets import ask_which, follow, push_button
from napari_seg_trainer.napari_plugin.run.active import ActiveLine

_AT_ONCE = {"scale", "translate", "rotate", "shear", "affine", "units"}
_SOON = {"data"}
"""Events of layers that can change what is exported; data change with each movement of the mouse that draws shapes.

That layers come, go or are renamed is reported by napari.
"""

PAUSE = 50
"""Milliseconds after which changed data are looked at."""


class ExportWidget(Panel):
    """Writes a Labels layer and its images into an annotation folder.

    Parameters
    ----------
    viewer : Viewer
    """

    tab_title = "Export"

    def __init__(self, viewer: Viewer) -> None:
        super().__init__("Export", "Save the images and their labels in the annotation folder.")
        self._viewer = viewer
        self._export: _Export | None = None
        self._exported: _Export | None = None
        self._stop = Event()
        self.form = ExportForm(viewer)
        self._follow_soon = qthrottled(self.form.follow, PAUSE, leading=False)
        self.no_labels, self.preview = NoLabels(viewer), wrap(QLabel())
        self.progress, self.result = ExportProgress(), ExportResult()
        self.stop_button = push_button(
            "Stop", "Stop after the current image. Images already written are kept.", self._stop_soon
        )
        self._lay_out()
        self._connect()
        self._describe()

    def _lay_out(self) -> None:
        self.add_above(ActiveLine(lambda run: open_dock(self._viewer, TRAIN).open_run(run)))
        for part in (self.no_labels, self.form, self.result):
            self.add(part)
        for line in (self.preview, self.progress):
            self.add_in_sight(line)
        self.add_beside(self.stop_button)
        self.stop_button.hide()

    def _connect(self) -> None:
        self.button.clicked.connect(self._export_or_ask)
        self.form.changed.connect(self._describe)
        self.no_labels.failed.connect(self._refuse)
        self.result.undo_wanted.connect(self._undo)
        self.result.train_wanted.connect(self._train)
        self.result.train_again_wanted.connect(self._train_again)
        self.result.chosen.connect(self._look)
        follow(self, self._viewer.dims.events.point, self._frame_moved)
        for turn in (self._viewer.dims.events.order, self._viewer.dims.events.ndisplay):
            follow(self, turn, lambda _event: self.form.follow())
        follow(self, self._viewer.layers.events, self._layer_changed)
        follow(self, self._viewer.layers.selection.events.active, self._active_changed)
        follow(self, self._viewer.layers.events.removed, self._layer_removed)

    def select_layers(self, layers: Sequence[Layer]) -> None:
        """Choose the labels layer and tick the image layers among `layers`."""
        self.form.select_layers(layers)

    def reset_choices(self, _event: object = None) -> None:
        """Follow the viewer's layers; napari calls this."""
        if is_alive(self):
            self.form.reset_choices()
            self.no_labels.follow()

    def _frame_moved(self, _event: object) -> None:
        self.form.follow_frame()

    def _active_changed(self, _event: object) -> None:
        if self._export is None:
            self.form.follow_active()

    def _layer_removed(self, event: Any) -> None:
        # what is said of a layer goes with it; what was replaced can still be brought back
        exported = self._exported
        if exported is not None and event.value is exported.plan.labels and not self.result.undo.isVisibleTo(self):
            self._exported = None
            self.result.hide()

    def _layer_changed(self, event: Any) -> None:
        if event.type in _AT_ONCE:
            self.form.follow()
        elif event.type in _SOON or (event.type == "paint" and self._is_region(event)):
            self._follow_soon()

    def _is_region(self, event: Any) -> bool:
        place = getattr(event, "index", None)
        return place is not None and place < len(self._viewer.layers) and is_region(self._viewer.layers[place])

    def _describe(self) -> None:
        labels = self.form.has_labels
        ready = labels and not self.form.problem
        self.no_labels.setVisible(not labels)
        self.no_labels.follow()
        self.form.setVisible(labels)
        self.preview.setVisible(ready and self._export is None)
        if not ready:
            self.refuse(self.form.problem if labels else "There are no labels to export yet.")
            return
        self.allow()
        plan = self.form.plan()
        self.preview.setText(preview(plan.items(), plan.folder, self.form.content))
        self.preview.setToolTip(str(plan.folder))

    def _refuse(self, problem: str) -> None:
        self.refuse(problem, urgent=True)

    def _export_or_ask(self) -> None:
        self.form.follow()
        if not self.button.isEnabled():
            return
        plan = self.form.plan()
        items = plan.items()
        taken = existing(items, FolderContent.of(plan.folder))
        if not taken:
            self._start(plan, items)
            return
        self.button.setEnabled(False)
        in_background(self, lambda: plan.there(taken), partial(self._ask, plan, items, taken), self._cannot_compare)

    def _cannot_compare(self, problem: str) -> None:
        self.result.show_outcome("", None, problem)
        self._describe()

    def _ask(self, plan: ExportPlan, items: Sequence[Item], taken: Sequence[Item], there: Sequence[There]) -> None:
        """Ask what is to happen with what is there; another image is never replaced, but this one gets a new name."""
        self._describe()
        answers: dict[str, Callable[[], None]] = {}
        if all(one.same for one in there):
            name, verb = "", "Replace them" if len(taken) > 1 else "Replace it"
            answers[verb] = partial(self._start, plan, items, overwrite=Replaced.beside(plan.folder, datetime.now()))
        else:
            name = free_name(plan.labelled, plan.base_name, plan.folder, plan.stems)
            other = replace(plan, name=name)
            answers[f"Write as '{name}'"] = partial(self._start, other, other.items())
        new = [item for item in items if item not in taken]
        if new:
            answers["Write only new ones"] = partial(self._start, plan, new)
        ask_which(self, question(there, plan, name), answers)

    def _start(self, plan: ExportPlan, items: Sequence[Item], *, overwrite: Replaced | None = None) -> None:
        self._export = _Export(plan, tuple(items), overwrite)
        self._stop.clear()
        self._show_running()
        self.progress.start(len(items))
        self.result.hide()
        write = plan.start(items, self._stop.is_set, overwrite=overwrite)
        step_by_step(self, write, self._step, self._done, self._finish)

    def _step(self, step: ExportStep) -> None:
        export = self._export
        if export is None:
            return
        if isinstance(step, Examined):
            export.findings.extend(step.findings)
            return
        export.written[step.file] = step.item
        self.progress.advance(len(export.written))
        if len(export.written) == len(export.items):
            self._tell(export)

    def _stop_soon(self) -> None:
        self._stop.set()
        self.stop_button.setEnabled(False)

    def _done(self, _nothing: None) -> None:
        self._finish()

    def _finish(self, problem: str = "") -> None:
        export, self._export = self._export, None
        if export is not None:
            self._exported = export
            self._tell(export, problem)
            self.result.show_findings(export.findings, done=not problem and bool(export.written))
            if export.written:
                population = export.plan.folder.name.removeprefix(PREFIX)
                names = tuple(name for _, name in export.plan.channels)
                LastUsed(population, names, str(export.plan.folder.parent)).write()
        self._show_running()
        self._describe()
        self.scroll_to(self.result)

    def _tell(self, export: "_Export", problem: str = "") -> None:
        done, items, folder = len(export.written), len(export.items), export.plan.folder
        text = outcome(done, items, folder) if done or not problem else ""
        self.result.show_outcome(
            text, folder if done else None, problem, model_of(export.plan.labels), replaced=export.has_replaced
        )

    def _undo(self) -> None:
        export = self._exported
        if export is None or export.replaced is None:
            return
        self.result.undo.setEnabled(False)
        in_background(self, export.replaced.swap, partial(self._undone, export.replaced), self._not_undone)

    def _undone(self, replaced: Replaced, images: int) -> None:
        self.result.undo.setEnabled(True)
        self.result.show_outcome(undone(images, replaced), replaced.folder)
        self._describe()

    def _not_undone(self, problem: str) -> None:
        self.result.undo.setEnabled(True)
        self.result.show_problem(problem)

    def _train(self, folder: Path) -> None:
        open_dock(self._viewer, TRAIN).add_data(folder)

    def _train_again(self, model: str, folder: Path) -> None:
        open_dock(self._viewer, TRAIN).train_again(model, folder)

    def _look(self, finding: Finding) -> None:
        export = self._exported
        item = export.written.get(finding.file) if export and finding.file else None
        if export is None or item is None or export.plan.labels not in self._viewer.layers:
            show_finding(self._viewer, finding, failed=self.result.show_problem)
            return
        plan = export.plan
        frames = plan.deepest if plan.deepest in self._viewer.layers else plan.labels
        offset = (item.crop.y0, item.crop.x0) if item.crop else (0, 0)
        look_at(self._viewer, plan.labels, finding, frame=item.frame, frames=frames, offset=offset)

    def _show_running(self) -> None:
        running = self._export is not None
        self.button.setVisible(not running)
        self.stop_button.setVisible(running)
        self.stop_button.setEnabled(running)
        self.progress.setVisible(running)
        self.preview.setVisible(not running)


@dataclass(eq=False)
class _Export:
    """An export that runs, or the last one that ran."""

    plan: ExportPlan
    items: tuple[Item, ...]
    replaced: Replaced | None = None
    written: dict[Path, Item] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def has_replaced(self) -> bool:
        """Whether something can be brought back."""
        return self.replaced is not None and self.replaced.aside.is_dir()
