"""A small process, without a learning framework and with one thread, whose copies do some work and may die of it.

A copy of the process of the tests would copy gigabytes of frameworks, and the locks of threads that are not copied.

    python -m testkit.zygote [MODULE:FUNCTION...]

First it calls these functions, so that its copies need neither import nor look up anything. Pickled messages come in:
(function, arguments, environment) with a function as "module:name". A copy of this process
calls it in that environment; its process id goes out. An id comes in: the exit status as of `os.waitpid` goes out.
"""

import gc
import importlib
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from testkit.processes import Copied

FAILED = 70


class Zygote(Copied):
    """The process, for the tests.

    Parameters
    ----------
    *warm_up : str
        Functions that are called before it is copied, as "module:name".
    places : sequence of Path
        Folders from which it may import as well.
    """

    def __init__(self, *warm_up: str, places: Sequence[Path] = ()) -> None:
        super().__init__(["testkit.zygote", *warm_up], places)

    def begin(self, function: str, *arguments: Any) -> int:
        """Let a copy call a function, in the environment that this process has now; return its process id."""
        return int(self._ask((function, arguments, dict(os.environ))))

    def end(self, pid: int) -> int:
        """Wait until a copy has ended, and return its status."""
        return int(self._ask(pid))

    def _ask(self, message: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)


def main(*warm_up: str) -> None:
    for function in warm_up:
        _function(function)()
    heavy = {"tensorflow", "torch"} & sys.modules.keys()
    assert not heavy, heavy
    gc.collect()
    gc.freeze()  # a copy that looked for garbage among it would make it its own
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while (message := _next(sys.stdin.buffer)) is not None:
        answer = os.waitpid(message, 0)[1] if isinstance(message, int) else _copy(*message)
        pickle.dump(answer, answers)
        answers.flush()


def _next(source: BinaryIO) -> Any:
    try:
        return pickle.load(source)
    except EOFError:
        return None


def _copy(function: str, arguments: Sequence[Any], environment: dict[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = FAILED
    try:
        os.environ.clear()
        os.environ.update(environment)
        _function(function)(*arguments)
        status = 0
    except Exception:  # noqa: BLE001 - the one that waits sees the status
        traceback.print_exc()
    finally:
        os._exit(status)


def _function(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
