"""Texts that come from strangers' files, and what of them people are shown."""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

_LINES = {"Zl", "Zp"}


def is_hidden(character: str) -> bool:
    """Whether a character cannot be seen, and may do something: move a cursor, turn the direction of writing."""
    category = unicodedata.category(character)
    return category[0] == "C" or category in _LINES


def visible(text: str) -> str:
    r"""Return a text with each such character as its code, such as ``\x1b``; ends of lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join(_code(one) if is_hidden(one) and one not in "\n\t" else one for one in text)


def hidden_in(value: Any) -> str:
    """Return a text in nested data (keys too) that has such characters, ends of lines among them; empty if none has."""
    return next((text for text in _texts(value) if any(map(is_hidden, text))), "")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(name)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _code(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
