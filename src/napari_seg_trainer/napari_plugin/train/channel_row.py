"""One input of the model: its channel, and how its intensities are scaled."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from magicgui.widgets import CheckBox, ComboBox, Container, Label, LineEdit
from pydantic import JsonValue
from qtpy.QtWidgets import QWidget

from napari_seg_trainer.errors import JobError
from napari_seg_trainer.napari_plugin.layers.channel_choice import ChannelChoice, Offer
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
_CHANNEL = "The channel of your images that the model looks at."
_MODE = (
    "What dark and bright mean. Percentiles suit each image by itself; intensities are the same for all images, "
    "as they stand in the files."
)
_LOW = "What counts as dark: this percentile of the image's pixels, or this intensity."
_HIGH = "What counts as bright: this percentile of the image's pixels, or this intensity."
_CLIP = "Cut off what is darker or brighter than that, such as a few specks."


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
    """

    def __init__(self, edited: Callable[[], None]) -> None:
        self.channel = ChannelChoice("channel", edited, label="Channel", tooltip=_CHANNEL)
        self.mode = ComboBox(name="mode", label="Scale by", choices=_MODES, tooltip=_MODE)
        narrow(self.mode.native)
        self.low = LineEdit(name="low", tooltip=_LOW)
        self.high = LineEdit(name="high", tooltip=_HIGH)
        self.clip = CheckBox(name="clip", text="clip", tooltip=_CLIP)
        self.limits: Container[Widget] = Container(
            widgets=[self.low, Label(value="to"), self.high, self.clip],
            layout="horizontal",
            labels=False,
            name="limits",
            label="From",
        )
        self.limits.margins = (0, 0, 0, 0)
        self.form = Form(self.channel, self.mode, self.limits)
        self._name = ""
        self.show(ChannelInput(name="none"), NONE)
        for field in (self.mode, self.low, self.high, self.clip):
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
        return ChannelInput(name=name, index=index, normalization=Normalization.model_validate(self._scaling()))

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
        ]
        self.channel.show_only(_offer(key))
        for field, value in fields:
            with field.changed.blocked():
                field.value = value

    def offer(self, keys: Sequence[Key]) -> None:
        """Offer these channels; what is chosen stays."""
        self.channel.offer([_offer(key) for key in keys])

    def entitle(self, title: str) -> None:
        """Show what the input is called."""
        self.channel.label = title
        for field in (self.mode, self.limits):
            field.visible = self.key != NONE

    def lock(self, why: str) -> None:
        """Lock the scaling and say why; "" unlocks it."""
        for field, tooltip in ((self.mode, _MODE), (self.low, _LOW), (self.high, _HIGH), (self.clip, _CLIP)):
            field.enabled = not why
            field.tooltip = why or tooltip

    def stops(self) -> list[QWidget]:
        """Return what the Tab key stops at."""
        return [field.native for field in (self.channel, self.mode, self.low, self.high, self.clip)]

    def _scaling(self) -> dict[str, JsonValue]:
        low, high = (field.value.strip().replace(",", ".") for field in (self.low, self.high))
        return {"mode": self.mode.value, "low": low, "high": high, "clip": self.clip.value}


def _offer(key: Key) -> Offer:
    name, index = key
    if key == NONE:
        return Offer("none", NONE)
    return Offer(name if index is None else f"{name} (always channel number {index + 1})", key)
