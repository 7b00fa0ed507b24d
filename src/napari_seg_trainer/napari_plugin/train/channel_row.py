"""One input of the model: its channel, and how its intensities are scaled."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from magicgui.widgets import CheckBox, ComboBox, Container, Label, LineEdit
from pydantic import JsonValue
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.annotations.channels import known_as, match
from napari_seg_trainer.errors import JobError
from napari_seg_trainer.napari_plugin.layers.channel_choice import ChannelChoice, Offer, file_offers, match_offers
from napari_seg_trainer.napari_plugin.parts.form import Form
from napari_seg_trainer.napari_plugin.parts.widgets import narrow
from napari_seg_trainer.schema.job import ChannelInput, Normalization
from napari_seg_trainer.schema.parameters import plain, problems

if TYPE_CHECKING:
    from magicgui.widgets.bases import Widget

Key = tuple[str, int | None]
"""A channel by its name, or (with a number from 0) by its place in every image."""

NONE: Key = ("", None)
_MODES = [("percentiles", "percentile"), ("intensities", "values")]
_CHANNEL = "The channel of your images that the model uses."
_MODE = (
    "How intensities are scaled. Percentiles are computed for each image; intensities are the same for all "
    "images, as stored in the files."
)
_LOW = "Black level: this percentile of the image's pixels, or this intensity."
_HIGH = "White level: this percentile of the image's pixels, or this intensity."
_ZEROS = "Pixels of value 0 are ignored when percentiles are computed, and stay 0, as in Celldetective."
_ELSEWHERE = "Name of {!r} in the images that have {}."
_CLIP = "Clip intensities outside this range, such as a few bright specks."


class ChannelRow:
    """Edits a `ChannelInput`; without a channel it stands for an input that the model does not have.

    Parameters
    ----------
    edited : callable
        Called after the user has changed something.

    Attributes
    ----------
    form : Form
        What is shown.
    elsewhere : dict of tuple of str to ChannelChoice
        What the channel is called in images that have these channels, and none of its name.
    """

    def __init__(self, edited: Callable[[], None]) -> None:
        self._edited = edited
        self._other_names: tuple[str, ...] = ()
        self.elsewhere: dict[tuple[str, ...], ChannelChoice] = {}
        self.channel = ChannelChoice("channel", self._chosen, label="Channel", tooltip=_CHANNEL)
        self.mode = ComboBox(name="mode", label="Scale by", choices=_MODES, tooltip=_MODE)
        narrow(self.mode.native)
        self.low = LineEdit(name="low", tooltip=_LOW)
        self.high = LineEdit(name="high", tooltip=_HIGH)
        self.clip = CheckBox(name="clip", text="clip", tooltip=_CLIP)
        self.skip_zeros = CheckBox(name="skip_zeros", text="without pixels that are 0", tooltip=_ZEROS, visible=False)
        self.limits: Container[Widget] = Container(
            widgets=[self.low, Label(value="to"), self.high, self.clip],
            layout="horizontal",
            labels=False,
            name="limits",
            label="From",
        )
        self.limits.margins = (0, 0, 0, 0)
        self.form = Form(self.channel, self.mode, self.limits, self.skip_zeros)
        self._name = ""
        self.show(ChannelInput(name="none"), NONE)
        for field in (self.mode, self.low, self.high, self.clip, self.skip_zeros):
            field.changed.connect(lambda _value: edited())

    @property
    def key(self) -> Key:
        """The channel, or `NONE`."""
        return cast("Key", self.channel.key)

    def value(self) -> ChannelInput:
        """Return the input.

        Raises
        ------
        JobError
            If its scaling is impossible.
        """
        reason = self.reason()
        if reason:
            raise JobError(reason)
        name, index = self.key
        return ChannelInput(name=name, other_names=self.names[1:], index=index, normalization=self.normalization())

    def normalization(self) -> Normalization:
        """Return the scaling, where there is no `reason` against it."""
        return Normalization.model_validate(self._scaling())

    @property
    def names(self) -> tuple[str, ...]:
        """The channel's name, and what else it is called."""
        name, index = self.key
        return name, *(self._other_names if index is None else ())

    def reason(self) -> str:
        """Return what is wrong with the scaling; empty if nothing is."""
        return next(iter(problems(Normalization, self._scaling()).values()), "")

    def show(self, given: ChannelInput, key: Key | None = None) -> None:
        """Show an input."""
        key = (given.name, given.index) if key is None else key
        how = given.normalization
        fields: list[tuple[Any, Any]] = [
            (self.mode, how.mode),
            (self.low, plain(how.low)),
            (self.high, plain(how.high)),
            (self.clip, how.clip),
            (self.skip_zeros, how.skip_zeros),
        ]
        self._other_names = given.other_names
        self.channel.show_only(_offer(key))
        for field, value in fields:
            with field.changed.blocked():
                field.value = value

    def offer(self, keys: Sequence[Key]) -> None:
        """Offer these channels; what is chosen stays."""
        self.channel.offer([_offer(key) for key in keys])

    def ask_elsewhere(self, sets: Sequence[Sequence[str]]) -> None:
        """Ask what the channel is called in images that have these channels, where another set has its name."""
        name, index = self.key
        lacking = [tuple(names) for names in sets if match([[name]], known_as(names)) == [None]]
        if index is not None or self.key == NONE or len(lacking) == len(sets):
            lacking = []
        for names in [names for names in self.elsewhere if names not in lacking]:
            self.form.drop(self.elsewhere.pop(names).name)
        for names in lacking:
            field = self.elsewhere.get(names) or self._add_elsewhere(names)
            field.tooltip = _ELSEWHERE.format(name, ", ".join(names))
            offers = file_offers(names)
            field.offer(offers, *match_offers([self._other_names], offers) if self._other_names else ())
        self.form.align_labels()

    def _add_elsewhere(self, names: tuple[str, ...]) -> ChannelChoice:
        number = next(number for number in count() if f"elsewhere_{number}" not in {field.name for field in self.form})

        def chosen() -> None:
            given = field.value.name if field.value else None
            self._other_names = tuple(name for name in self._other_names if name not in names)
            if given is not None:
                self._other_names += (given,)
            self._edited()

        field = ChannelChoice(f"elsewhere_{number}", chosen, label="Also called", tooltip="", none="choose…")
        self.form.add(field, after="channel")
        self.elsewhere[names] = field
        return field

    def _chosen(self) -> None:
        self._other_names = ()
        self._edited()

    def entitle(self, title: str) -> None:
        """Show what the input is called."""
        self.channel.label = title
        for field in (self.mode, self.limits):
            field.visible = self.key != NONE
        self.skip_zeros.visible = self.key != NONE and bool(self.skip_zeros.value)  # only such models have it

    def lock(self, why: str) -> None:
        """Lock the scaling and say why; "" unlocks it."""
        tips = {self.mode: _MODE, self.low: _LOW, self.high: _HIGH, self.clip: _CLIP, self.skip_zeros: _ZEROS}
        for field, tooltip in tips.items():
            field.enabled = not why
            field.tooltip = why or tooltip

    def stops(self) -> list[QWidget]:
        """Return what the Tab key stops at."""
        return [
            field.native
            for field in (
                self.channel,
                *self.elsewhere.values(),
                self.mode,
                self.low,
                self.high,
                self.clip,
                self.skip_zeros,
            )
        ]

    def _scaling(self) -> dict[str, JsonValue]:
        low, high = (field.value.strip().replace(",", ".") for field in (self.low, self.high))
        return {
            "mode": self.mode.value,
            "low": low,
            "high": high,
            "clip": self.clip.value,
            "skip_zeros": self.skip_zeros.value,
        }


def _offer(key: Key) -> Offer:
    name, index = key
    if key == NONE:
        return Offer("none", NONE)
    return Offer(name if index is None else f"{name} (always channel number {index + 1})", key)
