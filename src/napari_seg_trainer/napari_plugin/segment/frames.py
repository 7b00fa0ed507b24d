"""How much is segmented: a frame, all of them, or a folder of images."""

from magicgui.widgets import Container, RadioButton
from magicgui.widgets.bases import Widget

SHOWN, ALL, FOLDER = "shown", "all", "folder"

_TIPS = {
    SHOWN: "Segment the displayed frame or slice.",
    ALL: "Segment all frames of the image.",
    FOLDER: "Segment all images in a folder and save the labels as files.",
}


class FramesChoice(Container[Widget]):
    """A radio button for each."""

    def __init__(self) -> None:
        self.buttons = {name: RadioButton(name=name, text=name, tooltip=tip) for name, tip in _TIPS.items()}
        self.buttons[SHOWN].value = True
        super().__init__(
            widgets=list(self.buttons.values()), layout="horizontal", labels=False, name="frames", label="Frames"
        )
        self.margins = (0, 0, 0, 0)

    def value(self) -> str:
        """Return which one is chosen."""
        return next(name for name, button in self.buttons.items() if button.value)

    def choose(self, name: str) -> None:
        """Choose one."""
        self.buttons[name].value = True
