"""Errors that a user can do something about.

Every error below carries one line that names the value, what is wrong with it and the way out. The command line prints
that line and exits with status 1; the widgets show it beside the field. Anything else that is raised is a defect of
the program and goes to the log with its traceback.
"""

import re

# what would end the line, colour a terminal, or cannot be encoded; names of files and channels may hold all of it
_UNSHOWABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(text: str) -> str:
    """Return a text with its line breaks and whatever else cannot be shown escaped, as Python writes them."""
    return _UNSHOWABLE.sub(lambda found: repr(found[0])[1:-1], text)


class SegTrainerError(Exception):
    """Base of the errors whose message is meant for the user."""

    def __str__(self) -> str:
        """Return the message, in one line whatever the names in it."""
        return one_line(super().__str__())


class DataError(SegTrainerError):
    """An image, a mask or an annotation folder cannot be used."""


class JobError(SegTrainerError):
    """A training job asks for something impossible."""


class LibraryError(SegTrainerError):
    """A model cannot be found, read, named or stored."""


class RunError(SegTrainerError):
    """A run cannot be found, read, started or stopped."""


class EngineError(SegTrainerError):
    """An engine is unknown, what it needs is not installed, or its process ended."""


class DownloadError(SegTrainerError):
    """A file could not be fetched, or is not what was expected."""
