"""The pixel size of images: from the images, typed, or left open."""

import math
from collections.abc import Hashable
from typing import NamedTuple

from magicgui.widgets import CheckBox, Container, Label, LineEdit
from magicgui.widgets.bases import Widget

_EXAMPLE = "Enter a number of µm above 0, such as 0.325"


class KnownPixelSize(NamedTuple):
    """A pixel size that is known from images: in µm, from what ("layer"), and which one that is (a sentence)."""

    size: float
    by: str
    which: str


class PixelSizeField(Container[Widget]):
    """A number that follows the images, unless the user types another: that counts for these images.

    Parameters
    ----------
    tooltip : str
    box : str
        Tooltip of a box to tick where nobody knows the pixel size; without one, it may be left open.
    """

    def __init__(self, tooltip: str, box: str = "") -> None:
        self._told: KnownPixelSize | None = None
        self._images: Hashable = None
        self._typed: dict[Hashable, str] = {}
        self._last = self._filled_in = self._said = ""
        self._has_box, self._tooltip = bool(box), tooltip
        self.number = LineEdit(name="number", tooltip=tooltip)
        self.number.native.setPlaceholderText("give it" if box else "not known")
        self.number.min_width = 40
        self.unit = Label(name="unit", value="µm")
        self.unknown = CheckBox(name="unknown", text="not known", tooltip=box, visible=False)
        super().__init__(
            widgets=[self.number, self.unit, self.unknown],
            layout="horizontal",
            labels=False,
            name="pixel_size",
            label="Pixel size",
            tooltip=tooltip,
        )
        self.margins = (0, 0, 0, 0)
        self.native.layout().setSpacing(4)
        self.number.changed.connect(self._edited)

    def follow(self, told: KnownPixelSize | None, images: Hashable, problem: str = "") -> None:
        """Take note of the images' pixel size, None if unknown or there is a `problem`, and of which images these are.

        Where it is unknown, what was typed last for others is proposed.
        """
        self._said = problem
        self._remember()  # a form may ask before this field has heard of it
        if (told, images) != (self._told, self._images):
            self._told, self._images = told, images
            self._filled_in = self._last if told is None else self._told_text
            text = self._typed.get(images, self._filled_in)
            if self.number.value != text:  # else the cursor would jump
                with self.number.changed.blocked():
                    self.number.value = text
        self._show_state()

    def value(self) -> float | None:
        """Return µm per pixel; None if there is no usable number."""
        if self._told is not None and self.number.value == self._told_text:
            return self._told.size
        try:
            number = float(self.number.value.replace(",", "."))
        except ValueError:
            return None
        return number if math.isfinite(number) and number > 0 else None

    def typed(self) -> float | None:
        """Return the µm per pixel that the user has typed for these images; None where it was filled in, or none is."""
        self._remember()
        return self.value() if self._images in self._typed else None

    def reason(self) -> str:
        """Return what the user must do first; empty if nothing."""
        text = self.number.value.strip()
        if not text:
            open_ = not self._has_box or self.unknown.value
            missing = self._said or "The layers have no pixel size. Enter it, or tick 'not known'."
            return "" if open_ else missing
        if self.value():
            return ""
        return f"{text!r} is not a pixel size. {_EXAMPLE}{'' if self._has_box else ', or leave it open'}."

    @property
    def _told_text(self) -> str:
        return "" if self._told is None else f"{self._told.size:.6g}"

    def _edited(self, _text: str) -> None:
        self._remember()
        self._show_state()

    def _remember(self) -> None:
        text = self.number.value
        if text != self._filled_in:
            self._typed[self._images] = self._last = text
        elif text == self._told_text:
            self._typed.pop(self._images, None)

    def _show_state(self) -> None:
        known = bool(self.number.value.strip())
        told = self._told if self.number.value == self._told_text else None
        self.unit.value = f"µm from {told.by}" if told else "µm"
        self.unit.tooltip = told.which if told else self._tooltip
        self.unknown.visible = self._has_box and not known
