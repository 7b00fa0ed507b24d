"""The pixel size: from a layer, typed, or said to be unknown."""

import math

from magicgui.widgets import CheckBox, Container, Label, LineEdit
from magicgui.widgets.bases import Widget

_TIP = (
    "How large a pixel is in your sample, in µm. Models trained on images of one pixel size work on images of another "
    "only if both are known."
)


class PixelSizeEdit(Container[Widget]):
    """A number that follows the layers until the user types another, and a box to tick where nobody knows it."""

    def __init__(self) -> None:
        self._number = LineEdit(name="number", tooltip=_TIP)
        self._number.native.setPlaceholderText("give it")
        self._unit = Label(name="unit", value="µm")
        self._unknown = CheckBox(
            name="unknown",
            text="not known",
            tooltip="Tick to export without a pixel size. Models then take these images at the size they have.",
            visible=False,
        )
        self._proposed: tuple[float, str] | None = None
        super().__init__(
            widgets=[self._number, self._unit, self._unknown],
            layout="horizontal",
            labels=False,
            name="pixel_size",
            label="Pixel size",
            tooltip=_TIP,
        )
        self.margins = (0, 0, 0, 0)
        self._number.min_width = 60
        self.changed.connect(self._show_state)

    def propose(self, found: tuple[float, str] | None) -> None:
        """Fill in the pixel size in µm of the layer of this name, unless the user typed another; None if not known."""
        untouched = self._number.value == self._proposed_text
        self._proposed = found
        if untouched:
            self._number.value = self._proposed_text
        self._show_state()

    def value(self) -> float | None:
        """Return µm per pixel; None if there is no usable number."""
        if self._proposed is not None and self._number.value == self._proposed_text:
            return self._proposed[0]
        try:
            number = float(self._number.value.replace(",", "."))
        except ValueError:
            return None
        return number if math.isfinite(number) and number > 0 else None

    def reason(self) -> str:
        """Return what the user must do first; empty if nothing."""
        text = self._number.value.strip()
        if not text:
            return "" if self._unknown.value else "The layers do not tell it. Give it, or tick 'not known'."
        return "" if self.value() else f"{text!r} is no pixel size. Give a number of µm above 0, such as 0.325."

    @property
    def _proposed_text(self) -> str:
        return "" if self._proposed is None else f"{self._proposed[0]:.6g}"

    def _show_state(self) -> None:
        known = bool(self._number.value.strip())
        from_layer = known and self._number.value == self._proposed_text
        self._unit.value = "µm from layer" if from_layer else "µm"
        self._unit.tooltip = (
            f"From the scale of layer {self._proposed[1]!r}." if from_layer and self._proposed else _TIP
        )
        self._unknown.visible = not known
