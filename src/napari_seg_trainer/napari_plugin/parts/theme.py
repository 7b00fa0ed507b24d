"""Colours of napari's present theme, and those of curves."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from napari.settings import get_settings
from napari.utils.theme import get_theme
from qtpy.QtWidgets import QWidget


@dataclass(frozen=True)
class Colours:
    """Colours as ``#rrggbb``.

    Attributes
    ----------
    background, text : str
        Of the dock widgets.
    error, warning : str
        For reasons why something cannot be, and for what deserves a look.
    training, validation, best : str
        For curves and their marks; distinguishable for colour-blind people (Okabe and Ito 2008).
    others : tuple of str
        For further curves.
    """

    background: str
    text: str
    error: str
    warning: str
    training: str
    validation: str
    best: str
    others: tuple[str, ...]


def colours() -> Colours:
    """Return the colours of napari's present theme; those of text have at least a contrast of 4.5 to the background."""
    theme = get_theme(get_settings().appearance.theme)
    dark = theme.type == "dark"
    return Colours(
        background=theme.background.as_hex("long"),
        text=theme.text.as_hex("long"),
        error="#ff8a80" if dark else "#b3001b",
        warning="#e6b000" if dark else "#8a5a00",
        training="#56b4e9" if dark else "#0072b2",
        validation="#e69f00" if dark else "#b85c00",
        best="#009e73" if dark else "#00704f",
        others=("#56b4e9", "#e69f00", "#cc79a7", "#f0e442") if dark else ("#0072b2", "#b85c00", "#a3417c", "#6b6b00"),
    )


def coloured(text: str, colour: str) -> str:
    """Return `text` as rich text in a colour; what looks like markup in it is shown as it stands."""
    return coloured_html(escape(text), colour)


def coloured_html(html: str, colour: str) -> str:
    """Return rich text in a colour, its links as well."""
    return f'<span style="color:{colour}">{html}</span>'.replace("<a ", f'<a style="color:{colour}" ')


def on_theme_change(widget: QWidget, callback: Callable[[], None]) -> None:
    """Call `callback` after each change of napari's theme, while `widget` lives."""
    changed = get_settings().appearance.events.theme

    def tell(_event: object = None) -> None:
        callback()

    def leave(_gone: object = None) -> None:
        changed.disconnect(tell)

    changed.connect(tell)
    widget.destroyed.connect(leave)
