"""What can go wrong in a way that a user can mend.

Every error below carries one line that names the value, what is wrong with it and the way out. The command line prints
that line and exits with status 1; the widgets show it beside the field. Anything else that is raised is a defect of
the program and goes to the log with its traceback.
"""


class SegTrainerError(Exception):
    """Base of the errors whose message is meant for the user."""


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
