"""Which image layers become channels, and what each is called."""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from html import escape

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QLineEdit, QSizePolicy, QWidget

from napari_seg_trainer.annotations.metadata import channel_names
from napari_seg_trainer.napari_plugin.export.defaults import proposed_names
from napari_seg_trainer.napari_plugin.layers.channel_choice import Offer, layer_offers
from napari_seg_trainer.napari_plugin.layers.planes import Source
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.theme import coloured_html, colours
from napari_seg_trainer.napari_plugin.parts.widgets import tab_through

_TICK_TIP = "Select the images that show the labelled objects. Each becomes a channel of the annotated image."
_NAME_TIP = "Name of the channel, such as the stain. Use the same name in all images: models find channels by name."


class ChannelRows(QWidget):
    """One row for each channel that can be chosen: a box to tick, and a name.

    What the user ticked or typed stays while its layer is there; all else follows the layers.
    Emits ``changed()``.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[_Row] = []
        self._labels: Labels | None = None
        self._known: tuple[str, ...] = ()
        self._last: tuple[str, ...] = ()
        self._none = QLabel("no image layer")
        self.hint = wrap(QLabel())
        self.hint.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.hint.linkActivated.connect(lambda _link: self._take_known_names())
        self._end = QWidget()  # a fixed place in the order of the Tab key
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        self._grid.setColumnStretch(1, 1)
        self._grid.addWidget(self._none, 0, 0, 1, 2)
        self._grid.addWidget(self._end, 1, 0)
        self._grid.addWidget(self.hint, 2, 0, 1, 2)
        self.hint.hide()

    def chosen(self) -> tuple[tuple[Source, str], ...]:
        """Return the ticked channels and their names."""
        return tuple((row.source, row.name.text().strip()) for row in self._rows if row.ticked)

    def reason(self) -> str:
        """Return what is wrong with the choice; empty if nothing is."""
        chosen = self.chosen()
        if not self._rows:
            return "Open the image that the labels were drawn on."
        if not chosen:
            misfits = [row.misfit for row in self._rows]
            return misfits[0] if all(misfits) else "Select at least one image."
        for source, name in chosen:
            if not name:
                return f"Give the channel of {source.name!r} a name."
        twice = next((name for name, count in Counter(name for _, name in chosen).items() if count > 1), None)
        return f"Two channels are called {twice!r}. Give each a different name." if twice else ""

    def know(self, names: Sequence[str], last: Sequence[str]) -> None:
        """Propose the names of the channels that the folder's other images have, and those of the last export."""
        self._known, self._last = tuple(names), tuple(last)
        self._propose_names()

    def offer(
        self, labels: Labels, layers: Sequence[Image], belonging: Sequence[Image], misfit: Callable[[Image], str]
    ) -> None:
        """Show the channels of these layers; those are ticked that belong to the labels, unless the user decides.

        Parameters
        ----------
        labels : Labels
            What the user decides holds for these.
        layers, belonging : sequence of Image
        misfit : callable
            Why the channels of a layer cannot be chosen, if so.
        """
        self._labels = labels
        offers = layer_offers(layers)
        kept = {row.key: row for row in self._rows}
        rows = [kept.get(offer.key) or _Row(self._edited) for offer in offers]
        for key in kept.keys() - {offer.key for offer in offers}:
            kept[key].leave()
        misfits = [misfit(offer.source.layer) if offer.source else "" for offer in offers]
        for row, offer, why in zip(rows, offers, misfits, strict=True):
            ticked = offer.source is not None and offer.source.layer in belonging
            row.show_offer(offer, why, labels.unique_id, ticked=ticked)
        if rows != self._rows:
            self._rows = rows
            self._arrange()
        self._propose_names()

    def tick(self, layers: Sequence[Layer]) -> None:
        """Tick the channels of these layers, and no others."""
        for row in self._rows:
            row.decide(row.source.layer in layers)
        self._propose_names()
        self.changed.emit()

    def _differing(self) -> dict[str, str]:
        """Return which of the chosen names the folder's images do not have, and which of theirs may be meant."""
        names = [name for _, name in self.chosen()]
        unused = [name for name in self._known if name not in names]
        return dict(zip([name for name in names if name not in self._known], unused, strict=False))

    def _hint_at_known_names(self) -> None:
        changes = self._differing()
        text = ""
        if changes:
            have = " and ".join(repr(name) for name in self._known)
            way = ", ".join(f"'{old}' → '{new}'" for old, new in changes.items())
            text = (
                f"The folder's images have {escape(have)}, and models find channels by their names. "
                f'<a href="take">Use these: {escape(way)}</a>'
            )
        self.hint.setText(coloured_html(text, colours().warning))
        self.hint.setVisible(bool(text))

    def _take_known_names(self) -> None:
        changes = self._differing()
        for row in self._rows:
            if row.ticked and row.name.text().strip() in changes:
                row.call(changes[row.name.text().strip()])
        self._edited()

    def _edited(self) -> None:
        self._propose_names()
        self.changed.emit()

    def _propose_names(self) -> None:
        ticked = [row for row in self._rows if row.ticked]
        if self._labels is None:
            return
        proposals = proposed_names([row.source for row in ticked], self._labels, self._known, self._last)
        for row, name in zip(ticked, channel_names(proposals, len(ticked)), strict=True):
            row.propose(name)
        self._hint_at_known_names()

    def _arrange(self) -> None:
        self._none.setVisible(not self._rows)
        for place, row in enumerate(self._rows, start=1):
            self._grid.addWidget(row.box, place, 0)
            self._grid.addWidget(row.name, place, 1)
        self._grid.addWidget(self.hint, len(self._rows) + 1, 0, 1, 2)
        tab_through([stop for row in self._rows for stop in (row.box, row.name)], before=self._end)


class _Row:
    def __init__(self, edited: Callable[[], None]) -> None:
        self.box, self.name = _Box(), QLineEdit()
        self.name.setToolTip(_NAME_TIP)
        self.name.setMinimumWidth(60)
        self._decided: dict[Hashable, bool] = {}
        self._labels: Hashable = None
        self._named = False
        self._edited = edited
        self.box.clicked.connect(self._clicked)
        self.name.textEdited.connect(self._typed)

    @property
    def key(self) -> Hashable:
        return self.offer.key

    @property
    def source(self) -> Source:
        assert self.offer.source is not None, "layers offer it"
        return self.offer.source

    @property
    def ticked(self) -> bool:
        return self.box.isChecked()

    def show_offer(self, offer: Offer, misfit: str, labels: Hashable, *, ticked: bool) -> None:
        self.offer = offer
        self._labels = labels
        self.misfit = misfit
        self.box.set_text(offer.name)
        self.box.setToolTip(f"{offer.name}: {misfit or _TICK_TIP}")
        self.box.setEnabled(not misfit)
        self._tick(self._decided.get(labels, ticked) and not misfit)

    def decide(self, ticked: bool) -> None:
        if not self.misfit:
            self._decided[self._labels] = ticked
            self._tick(ticked)

    def propose(self, name: str) -> None:
        if not self._named and self.name.text() != name:
            self.name.setText(name)
            self.name.setCursorPosition(0)

    def call(self, name: str) -> None:
        """Give the channel a name, as if the user had typed it."""
        self.name.setText(name)
        self._named = True

    def leave(self) -> None:
        for widget in (self.box, self.name):
            widget.hide()
            widget.deleteLater()

    def _tick(self, ticked: bool) -> None:
        self.box.setChecked(ticked)
        self.name.setEnabled(ticked)
        if not ticked and not self._named:
            self.name.clear()

    def _clicked(self, ticked: bool) -> None:
        self._decided[self._labels] = ticked
        self._tick(ticked)
        self._edited()

    def _typed(self, _text: str) -> None:
        self._named = True
        self._edited()


class _Box(QCheckBox):
    """A check box whose text is shortened to the room that there is."""

    def __init__(self) -> None:
        super().__init__()
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def set_text(self, text: str) -> None:
        self._whole = text
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        room = self.width() - 28  # of the box and its margins
        self.setText(self.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideMiddle, room))
