"""Which channels feed the model, and how their intensities are scaled."""

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_seg_trainer.annotations.channels import as_input, default_inputs, places_of_inputs
from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.parts.form import wrap
from napari_seg_trainer.napari_plugin.parts.widgets import in_column, tab_through
from napari_seg_trainer.napari_plugin.train.channel_row import NONE, ChannelRow, Key
from napari_seg_trainer.schema.job import ChannelInput, Normalization
from napari_seg_trainer.schema.model_card import ModelCard

_LONGEST_SUMMARY = 14
_LOCKED = "Fixed by the pretrained model {!r}, which was trained with this normalization."
_UNKNOWN = "All channels of the images are used. They are listed here once the images are read."


class ChannelInputs(QWidget):
    """Edits the channels of a job; emits ``changed()``.

    Until the user changes something they follow the data and the pretrained model, and the job need not name them.

    Parameters
    ----------
    spec : EngineSpec
        Says how many channels there may be.
    """

    changed = Signal()

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__()
        self._spec = spec
        self._sets: tuple[tuple[str, ...], ...] = ()
        self._card: ModelCard | None = None
        self._named = False
        self.rows: list[ChannelRow] = []
        self._hint = wrap(QLabel(_UNKNOWN))
        self._column = in_column(self, self._hint)
        self._rows = QVBoxLayout()
        self._column.addLayout(self._rows)
        self._end = QWidget()  # a fixed place in the order of the Tab key
        self._column.addWidget(self._end)
        self._follow()

    def value(self) -> tuple[ChannelInput, ...]:
        """Return the inputs; none where all channels of the data, or the pretrained model's, are meant.

        Raises
        ------
        JobError
            If the scaling of one is impossible.
        """
        if not self._named and self._fits(len(self._defaults())):
            return ()
        return tuple(row.value() for row in self._used())

    def set_value(self, inputs: Sequence[ChannelInput]) -> None:
        """Show these inputs; with none, follow the data and the pretrained model."""
        self._named = bool(inputs)
        if inputs:
            self._show(inputs)
        else:
            self._follow()

    def offer(self, sets: Sequence[Sequence[str]]) -> None:
        """Offer the channels of the data: each set that an image has, the first image's first."""
        self._sets = tuple(tuple(names) for names in sets)
        self._follow()

    def set_engine(self, spec: EngineSpec) -> None:
        """Obey another engine's limits."""
        self._spec = spec
        self._follow()

    def start_from(self, card: ModelCard | None, *, adopt: bool) -> None:
        """Lock the scaling of a pretrained model; if `adopt`, take over its channels, or without one the data's."""
        self._card = card
        if adopt:
            self._named = False
        self._follow()

    def normalization_of(self, layer: str) -> Normalization | None:
        """Return how the channel of a layer's name is scaled, else the first one; None where that is impossible."""
        used = self._used()
        row = next((row for row in used if layer in row.names), next(iter(used), None))
        if row is None:
            return Normalization()
        return None if row.reason() else row.normalization()

    def summary(self) -> str:
        """Return the names of the channels, or how many they are where that is shorter."""
        names = ", ".join(row.key[0] for row in self._used())
        return names if len(names) <= _LONGEST_SUMMARY else f"{len(self._used())} channels"

    def reason(self) -> str:
        """Return what is wrong with the choice, as far as the data is known; empty if nothing is."""
        used = self._used()
        own = next(filter(None, (row.reason() for row in used)), "")
        if own or not used:
            return own
        names = [name for row in used for name in row.names]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            return f"Channel {twice!r} is chosen twice. Choose another one, or none."
        return self._wrong_count(len(used)) or next(filter(None, map(self._absent, used)), "")

    def _wrong_count(self, count: int) -> str:
        if self._card is not None and not self._spec.free_channels and count != len(self._card.channels):
            wanted = len(self._card.channels)
            return f"The pretrained model {self._card.name!r} takes {wanted} channel(s), not {count}."
        if self._fits(count):
            return ""
        least, most = self._spec.channels
        allowed = f"{least}" if most == least else f"{least} to {most}" if most else f"at least {least}"
        return f"{self._spec.title} takes {allowed} channel(s), not {count}."

    def _absent(self, row: ChannelRow) -> str:
        name, index = row.key
        given = ChannelInput(name=name, other_names=row.names[1:], index=index)
        for names in self._sets:
            try:
                places_of_inputs(names, [given], "")
            except DataError:
                where = "the images have" if len(self._sets) == 1 else "there are images that have only"
                else_do = "Choose below it what it is called there, or another one" if row.elsewhere else "Choose one"
                return f"Channel {name!r} is not there: {where} {', '.join(names)}. {else_do} that all images have."
        return ""

    def _fits(self, count: int) -> bool:
        least, most = self._spec.channels
        return count == 0 or (least <= count and (most is None or count <= most))

    def _defaults(self) -> tuple[ChannelInput, ...]:
        if self._sets:
            most = self._spec.channels[1] if self._spec.free_channels else None
            return default_inputs(self._sets[0], self._card, most)
        known = self._card.channels if self._card else ()
        return tuple(map(as_input, known))

    def _used(self) -> list[ChannelRow]:
        return [row for row in self.rows if row.key != NONE]

    def _follow(self) -> None:
        """Show what holds while nobody has chosen, or else offer again what there is."""
        if self._named:
            self._arrange()
        else:
            self._show(self._defaults()[: self._spec.channels[1]])

    def _show(self, inputs: Sequence[ChannelInput]) -> None:
        self._resize(len(inputs))
        for row, given in zip(self.rows, inputs, strict=True):
            row.show(given)
        self._arrange()

    def _edited(self) -> None:
        self._named = True
        self._arrange()
        self.changed.emit()

    def _arrange(self) -> None:
        """Drop what is set to none, keep one such row at the end while there may be more, and offer the channels."""
        for row in [row for row in self.rows if row.key == NONE]:
            self._drop(row)
        count, most = len(self.rows), self._spec.channels[1]
        known = list(dict.fromkeys(name for names in self._sets for name in names))
        is_open = self._card is None or self._spec.free_channels
        spare = is_open and 0 < count < len(known) and (most is None or count < most)
        self._resize(count + spare)
        for place, row in enumerate(self.rows):
            may_go = is_open and place >= self._spec.channels[0] and place > 0
            own = [row.key] if row.key != NONE and row.key not in [(name, None) for name in known] else []
            keys: list[Key] = [*([NONE] if may_go else []), *((name, None) for name in known), *own]
            row.offer(keys)
            row.ask_elsewhere(self._sets)
            row.entitle(f"Channel {place + 1}")
            row.lock(_LOCKED.format(self._card.name) if self._card else "")
        self._hint.setVisible(not self.rows)
        tab_through([stop for row in self.rows for stop in row.stops()], before=self._end)

    def _resize(self, count: int) -> None:
        while len(self.rows) > count:
            self._drop(self.rows[-1])
        while len(self.rows) < count:
            row = ChannelRow(self._edited)
            self.rows.append(row)
            self._rows.addWidget(row.form.native)

    def _drop(self, row: ChannelRow) -> None:
        self.rows.remove(row)
        self._rows.removeWidget(row.form.native)
        row.form.native.hide()
        row.form.native.deleteLater()
