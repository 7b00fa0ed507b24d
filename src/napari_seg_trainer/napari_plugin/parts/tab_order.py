"""The Tab key through widgets that come and go."""

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget


def tab_through(stops: Sequence[QWidget], *, before: QWidget) -> None:
    """Have the Tab key go through `stops` in their order, and then on to `before`.

    Qt puts a widget that is made late at the end of the whole window's order.
    """
    last = before.previousInFocusChain()
    # Qt passes over a request that names a widget without focus
    while last is not None and (last in stops or last.focusPolicy() == Qt.FocusPolicy.NoFocus):
        last = last.previousInFocusChain()
    for stop in stops:
        QWidget.setTabOrder(last, stop)
        last = stop


def tab_last(stops: Sequence[QWidget], *, of: QWidget) -> None:
    """Have the Tab key come to `stops`, in their order, after all else that is in a widget."""
    last, at = None, stops[0].nextInFocusChain()
    while at is not None and at is not stops[0]:
        # a text that can be selected takes the focus from the mouse only
        if of.isAncestorOf(at) and at not in stops and at.focusPolicy() & Qt.FocusPolicy.TabFocus:
            last = at
        at = at.nextInFocusChain()
    for stop in stops:
        QWidget.setTabOrder(last, stop)
        last = stop
