"""What the data doctor has to say, as a list to click on."""

from collections.abc import Callable, Sequence
from functools import partial
from html import escape
from pathlib import Path

from napari import Viewer
from napari.layers import Labels, Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QFocusEvent, QKeyEvent
from qtpy.QtWidgets import QLabel, QWidget

from napari_seg_trainer.annotations.findings import Finding, Severity
from napari_seg_trainer.annotations.folder import AnnotatedPair, AnnotationFolder
from napari_seg_trainer.annotations.image_file import read_image
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.adding import add_in_turns
from napari_seg_trainer.napari_plugin.layers.annotated_part import is_region
from napari_seg_trainer.napari_plugin.layers.look_at import look_at
from napari_seg_trainer.napari_plugin.layers.names import ORIGINS
from napari_seg_trainer.napari_plugin.layers.planes import FOLDER, source_folder
from napari_seg_trainer.napari_plugin.layers.stacks import LayerTuple, open_pairs
from napari_seg_trainer.napari_plugin.parts.background import in_background
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured, colours, on_theme_change
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, in_row, push_button, tab_through

FIRST = 5
MORE = 20
"""`FIRST` findings are shown at first, and `MORE` more with each click."""

_SIGNS = {Severity.ERROR: "✖", Severity.WARNING: "⚠", Severity.INFO: "•"}
_FOLLOW = {Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space}
_MEANINGS = {
    Severity.ERROR: "Error: training cannot start.",
    Severity.WARNING: "Warning: please check, but training is possible.",
    Severity.INFO: "Note.",
}


def show_finding(
    viewer: Viewer,
    finding: Finding,
    folder: Path | None = None,
    failed: Callable[[str], None] = show_error,
) -> None:
    """Move the viewer to what a finding is about; if need be, open the annotated image first, in the background.

    Parameters
    ----------
    viewer : Viewer
    finding : Finding
        One that concerns no file shows nothing.
    folder : Path, optional
        The annotation folder; that of the finding's file if not given.
    failed : callable
        Called with one line that says why it cannot be shown.
    """
    if finding.file is not None:
        window = viewer.window.main_menu.window()
        find = partial(_pair_of, finding.file, folder or finding.file.parent)
        in_background(window, find, partial(_show_pair, viewer, finding, failed), failed)


class FindingList(QWidget):
    """Findings under one another, of which those that concern a file can be clicked on.

    Only the first few are shown until the user asks for more. Emits ``chosen(Finding)``.
    """

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._findings: tuple[Finding, ...] = ()
        self._rows: list[_Row] = []
        self._more = push_button("", "Show more results of the data check.", self._show_more)
        self._column = in_column(self, (self._more, Qt.AlignmentFlag.AlignLeft))
        self.set_findings([])
        on_theme_change(self, self._paint)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, also those that are folded away."""
        return self._findings

    def set_findings(self, findings: Sequence[Finding]) -> None:
        """Show these findings, in their order, in place of those before."""
        for row in self._rows:
            self._column.removeWidget(row)
            row.hide()  # it is deleted a little later
            row.deleteLater()
        self._rows.clear()
        self._findings = tuple(findings)
        self._unfold(FIRST)
        self.setVisible(bool(findings))

    def _show_more(self) -> None:
        self._unfold(MORE)

    def _unfold(self, count: int) -> None:
        several = len({finding.file for finding in self._findings if finding.file}) > 1
        shown = len(self._rows)
        for finding in self._findings[shown : shown + count]:
            row = _Row(finding, named=several)
            row.clicked.connect(self.chosen)
            self._column.insertWidget(len(self._rows), row)
            self._rows.append(row)
        rest = len(self._findings) - len(self._rows)
        self._more.setText(f"Show {min(rest, MORE)} of {rest} more" if rest > MORE else f"Show {rest} more")
        self._more.setVisible(rest > 0)
        tab_through([row.message for row in self._rows], before=self._more)

    def _paint(self) -> None:
        for row in self._rows:
            row.restyle()


class _Row(QWidget):
    """A sign, and a message that is a link wherever there is something to be seen."""

    clicked = Signal(object)

    def __init__(self, finding: Finding, *, named: bool) -> None:
        super().__init__()
        self._finding = finding
        self._sign = QLabel()
        self._sign.setToolTip(_MEANINGS[finding.severity])
        self.message = _Message(_named(finding) if named else finding.message)
        if finding.file is not None:
            self.message.make_link(f"Click to show it in the viewer ({finding.file.name}).")
            self.message.linkActivated.connect(self._click)
        in_row(self, (self._sign, Qt.AlignmentFlag.AlignTop), (self.message, 1), spacing=4)
        self.restyle()

    def restyle(self) -> None:
        theme = colours()
        hues = {Severity.ERROR: theme.error, Severity.WARNING: theme.warning, Severity.INFO: theme.text}
        self._sign.setText(coloured(_SIGNS[self._finding.severity], hues[self._finding.severity]))
        self.message.restyle()

    def _click(self, _link: str) -> None:
        self.clicked.emit(self._finding)


class _Message(QLabel):
    """Text that may be one link, which the mouse and the keyboard can follow; underlined where the keyboard is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words = text
        self._is_link = False
        wrap(self)

    def make_link(self, tooltip: str) -> None:
        self._is_link = True
        self.setToolTip(tooltip)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.LinksAccessibleByMouse)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def restyle(self) -> None:
        text = escape(self.words)
        if self._is_link:
            style = f"color:{colours().text}; text-decoration:{'underline' if self.hasFocus() else 'none'}"
            text = f'<a href="show" style="{style}">{text} <u>Show</u></a>'
        self.setText(text)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        if self._is_link and event is not None and event.key() in _FOLLOW:
            self.linkActivated.emit("show")
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent | None) -> None:
        super().focusInEvent(event)
        self.restyle()

    def focusOutEvent(self, event: QFocusEvent | None) -> None:
        super().focusOutEvent(event)
        self.restyle()


def _named(finding: Finding) -> str:
    """Say of which image the finding is, where the message does not."""
    if finding.file is None or finding.file.name in finding.message:
        return finding.message
    return f"{Path(finding.file.name).stem}: {finding.message}"


def _pair_of(file: Path, folder: Path) -> AnnotatedPair | None:
    """Return the annotated image that a file belongs to, None if it has no partner."""
    # images and masks may be in folders of their own
    for place in (folder, folder.parent):
        try:
            pairs = AnnotationFolder.open(place).pairs
        except DataError:
            continue
        found = next((pair for pair in pairs if file in {pair.image, pair.labels, pair.sidecar}), None)
        if found is not None:
            return found
    return None


def _show_pair(viewer: Viewer, finding: Finding, failed: Callable[[str], None], pair: AnnotatedPair | None) -> None:
    for layer in reversed(viewer.layers):
        has_objects = isinstance(layer, Labels) and not is_region(layer)
        frame = _frame_of(pair, layer) if pair is not None and has_objects else None
        if frame is not None:
            look_at(viewer, layer, finding, frame=frame)
            return
    if finding.file is not None:
        window = viewer.window.main_menu.window()
        in_background(window, partial(_read, finding.file, pair), partial(_open, viewer, finding), failed)


def _frame_of(pair: AnnotatedPair, layer: Labels) -> int | None:
    """Return in which frame of a layer an annotated image is, None if it is in none."""
    if layer.source.path == str(pair.labels):
        return 0
    stems = [origin.stem for origin in layer.metadata.get(ORIGINS, ())]
    here = source_folder(layer) in {pair.labels.parent, pair.labels.parent.parent}
    return stems.index(pair.stem) if here and pair.stem in stems else None


def _read(file: Path, pair: AnnotatedPair | None) -> list[LayerTuple]:
    opened = open_pairs([] if pair is None else [pair], "" if pair is None else pair.stem)
    if not opened.layers:
        # what has no usable mask may still be looked at
        image = read_image(file if pair is None else pair.image)
        names = [f"{file.name} {channel}" for channel in image.channels]
        return [(plane, {"name": name}, "image") for plane, name in zip(image.data, names, strict=True)]
    for _, attributes, _ in opened.layers:
        attributes["metadata"] = {**attributes["metadata"], FOLDER: str(file.parent)}
    return opened.layers


def _open(viewer: Viewer, finding: Finding, layers: list[LayerTuple]) -> None:
    added = [Layer.create(*layer) for layer in layers]

    def look() -> None:
        if added[-1] in viewer.layers:  # the user may have removed it meanwhile
            viewer.reset_view()
            look_at(viewer, added[-1], finding)

    add_in_turns(viewer, added, look)
