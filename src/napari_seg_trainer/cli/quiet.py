"""What the learning frameworks print goes to a log, so that a command says only what it has to say."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from io import UnsupportedOperation
from typing import IO

from napari_seg_trainer.cli.console import err, out
from napari_seg_trainer.paths import home


@contextmanager
def frameworks_logged() -> Iterator[None]:
    """Send file descriptors 1 and 2 to ``log.txt``; the consoles still print where they did.

    TensorFlow writes to the descriptors from C++, where nothing in Python can catch it.
    """
    with ExitStack() as stack:
        try:
            home().mkdir(parents=True, exist_ok=True)
            log = stack.enter_context((home() / "log.txt").open("ab"))
        except OSError:  # no place for a log: the words stay on the screen
            yield
            return
        for console, descriptor in ((out, 1), (err, 2)):
            console.file = _kept(console.file, stack)
            stack.callback(setattr, console, "file", None)
            stack.callback(_restore, descriptor, os.dup(descriptor))
            os.dup2(log.fileno(), descriptor)
        yield


def _kept(stream: IO[str], stack: ExitStack) -> IO[str]:
    """Return a stream that goes on writing where this one does now."""
    stream.flush()
    with suppress(OSError, UnsupportedOperation):  # a stream without descriptor is not affected
        copy = os.fdopen(
            os.dup(stream.fileno()), "w", encoding=getattr(stream, "encoding", None) or "utf-8", buffering=1
        )
        return stack.enter_context(copy)
    return stream


def _restore(descriptor: int, saved: int) -> None:
    (sys.stdout if descriptor == 1 else sys.stderr).flush()
    os.dup2(saved, descriptor)
    os.close(saved)
