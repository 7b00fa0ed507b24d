"""The pixel size of the image to be segmented: known, typed, or left open."""

import math

from magicgui.widgets import Container, Label, LineEdit
from magicgui.widgets.bases import Widget

from napari_seg_trainer.schema.model_card import ModelCard
from napari_seg_trainer.segmentation.segment import size_warning

_TIP = (
    "How large a pixel of the image is in the sample, in µm. The image is scaled to the pixel size that the model was "
    "trained at, so that objects have the size that it knows."
)


class ImagePixelSize(Container[Widget]):
    """A number that the image tells, or that the user can type where it does not."""

    def __init__(self) -> None:
        self._known: float | None = None
        self._typed = ""
        self.number = LineEdit(name="number", tooltip=_TIP)
        self._unit = Label(name="unit", value="µm")
        super().__init__(
            widgets=[self.number, self._unit],
            layout="horizontal",
            labels=False,
            name="pixel_size",
            label="Pixel size",
            tooltip=_TIP,
        )
        self.margins = (0, 0, 0, 0)
        self.number.native.setPlaceholderText("not known")

    def show_known(self, size: float | None) -> None:
        """Show the size in µm that the image tells; without one, let the user type."""
        if self._known is None:
            self._typed = self.number.value
        self._known = size
        text = self._typed if size is None else f"{size:.4g}"
        if self.number.value != text:  # else the cursor would jump
            with self.number.changed.blocked():
                self.number.value = text
        self.number.enabled = size is None
        self._unit.value = "µm" if size is None else "µm, from the image"

    def value(self) -> float | None:
        """Return µm per pixel; None if that is not known."""
        if self._known is not None:
            return self._known
        try:
            number = float(self.number.value.replace(",", "."))
        except ValueError:
            return None
        return number if math.isfinite(number) and number > 0 else None

    def reason(self) -> str:
        """Return what is wrong with what was typed; empty if nothing is."""
        text = self.number.value.strip()
        if not text or self.value() is not None:
            return ""
        return f"{text!r} is no pixel size. Give a number of µm above 0, such as 0.325, or leave it open."

    def hint(self, card: ModelCard) -> str:
        """Return what to look at before this model is used; empty if nothing needs a look."""
        return "" if self.reason() else size_warning(card, self.value())
