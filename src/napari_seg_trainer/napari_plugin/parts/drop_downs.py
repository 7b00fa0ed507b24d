"""Drop-downs and sliders that behave in a narrow dock that scrolls."""

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget


def tame(box: QComboBox) -> QComboBox:
    """Let a drop-down be narrower than its longest choice, and the wheel scroll the dock rather than choose."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(4)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    pass_wheel(box)
    return box


def pass_wheel(widget: QWidget) -> None:
    """Let the wheel scroll the dock rather than change a value."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # not by the wheel
    widget.installEventFilter(_WheelPasser(widget))


class _WheelPasser(QObject):
    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        event.ignore()  # it goes to the parent
        return True
