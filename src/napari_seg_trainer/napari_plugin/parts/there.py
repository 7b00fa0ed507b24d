"""What Qt's type hints doubt."""

from typing import TypeVar

_T = TypeVar("_T")


def there(value: _T | None) -> _T:
    """Return what by Qt's type hints may be None, and is not where this is called."""
    assert value is not None
    return value
