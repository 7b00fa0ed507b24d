"""What ends a training, as a biologist says it."""

from collections.abc import Mapping
from typing import get_args

from magicgui.widgets import ComboBox
from pydantic import JsonValue

from napari_seg_trainer.napari_plugin.parts.widgets import narrow
from napari_seg_trainer.schema.job import Length, length_of

MINUTES, EPOCHS = 10, 100
"""What stands in the field that is chosen, where nothing better is known."""
_TEXTS: Mapping[Length, str] = {
    "improving": "until best",
    "minutes": "minutes",
    "epochs": "epochs",
}
_TOOLTIP = (
    "Length of the training: until the model no longer improves, a number of minutes, or a number of epochs. You can "
    "stop it at any time and keep the best model so far."
)


class LengthChoice(ComboBox):
    """A drop-down that says which of the fields for epochs and minutes counts."""

    def __init__(self) -> None:
        choices = [(_TEXTS[length], length) for length in get_args(Length)]
        super().__init__(choices=choices, name="length", label="How long", tooltip=_TOOLTIP)
        narrow(self.native)

    def follow(self, epochs: JsonValue, minutes: JsonValue) -> None:
        """Show what these values mean, as a job has them."""
        with self.changed.blocked():
            self.value = length_of(epochs, minutes)

    def chosen(self, values: Mapping[str, JsonValue], automatic: JsonValue) -> dict[str, JsonValue]:
        """Return hyperparameters with what the choice needs, and without what it leaves out.

        Parameters
        ----------
        values : mapping
            The hyperparameters so far.
        automatic : JsonValue
            The number of epochs that there are by themselves, where it is known.
        """
        rest = {name: value for name, value in values.items() if name not in ("epochs", "minutes")}
        if self.value == "minutes":
            return rest | {"minutes": values.get("minutes") or MINUTES}
        return rest | ({"epochs": automatic or EPOCHS} if self.value == "epochs" else {})

    def words(self, epochs: JsonValue) -> dict[str, str]:
        """Return what stands in the field for epochs where it is empty, and would be `epochs` by itself."""
        if self.value == "minutes":
            return {"epochs": "measured"}
        return {} if epochs is None or self.value == "epochs" else {"epochs": f"≤ {epochs} (auto)"}

    def summary(self, epochs: JsonValue, minutes: JsonValue, automatic: JsonValue) -> str:
        """Return in a few words how long it takes."""
        if self.value == "minutes":
            return f"about {minutes} minutes"
        if self.value == "epochs":
            return f"{epochs} epochs"
        return f"≤ {automatic} epochs" if automatic else "until it no longer improves"
