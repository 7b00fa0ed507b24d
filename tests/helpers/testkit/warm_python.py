"""A Python that has imported what a training and a prediction need; the processes of tests become copies of it.

Such a process takes a second to import all that, again in each test. Those that are not about how a process begins can
do without. A copy has the arguments, the variables, the folder and the pipes that it would have, and becomes a child of
the process of the tests. Linux only.

    python -m testkit.warm_python DESCRIPTOR

Pickled `Wanted` come in through the socket of that number, with standard input, output and error; process ids go out.
"""

import atexit
import ctypes
import gc
import importlib
import logging
import os
import pickle
import runpy
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testkit.processes import of_all_tests, unmeasured

MODULES = ("napari_seg_trainer.runs.__main__", "napari_seg_trainer.segmentation.worker", "toy_engine")
_TRAINING = ["-m", "napari_seg_trainer.runs"]
_PREDICTION = "from napari_seg_trainer.segmentation.worker import main; main()"
_ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1")
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl
_MOST_BYTES = 2**18


@dataclass(frozen=True)
class Wanted:
    """What a process shall be: its words behind ``python``, its variables, its folder, whether it leads a session."""

    words: list[str]
    environment: dict[str, str]
    folder: str | None
    session: bool


class WarmPython:
    """The Python, for the tests; `popen` is a `subprocess.Popen` that copies it where that is possible.

    Parameters
    ----------
    *places : Path
        Folders from which it may import as well.
    """

    def __init__(self, *places: Path) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        path = [*map(str, places), str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "testkit.warm_python", str(theirs.fileno())],
            env=unmeasured() | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(path)},  # as a copy has one
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        of_all_tests.add(self._process.pid)
        self._lock = threading.Lock()
        self.popen = type("Popen", (_Popen,), {"python": self})

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()

    def copy(self, wanted: Wanted, pipes: Sequence[int]) -> int:
        """Return the process id of a copy."""
        with self._lock:
            # the copy's parent is gone at once, and the next of its forebears that asks for such orphans gets it
            _ask_for_orphans(True)
            try:
                socket.send_fds(self._socket, [pickle.dumps(wanted)], pipes)
                return int(self._socket.recv(64))
            finally:
                _ask_for_orphans(False)


class _Popen(subprocess.Popen):
    python: WarmPython

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest) -> None:  # type: ignore[no-untyped-def,override]
        *_, start_new_session, _group = rest
        if not _can_be_copied(args):
            super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
            return
        pipes = rest[3:9]  # a pair for each: what the child reads and writes, and this process's ends
        theirs = (pipes[0], pipes[3], pipes[5])
        wanted = Wanted(
            list(args[1:]), dict(os.environ if env is None else env), cwd and os.fspath(cwd), bool(start_new_session)
        )
        self.pid = self.python.copy(wanted, [mine if end == -1 else end for mine, end in enumerate(theirs)])
        self._child_created = True
        self._close_pipe_fds(*pipes)


def _can_be_copied(arguments: Any) -> bool:
    """Whether it is Python that is to be started, for a training or a prediction."""
    if not isinstance(arguments, list | tuple) or arguments[0] != sys.executable:
        return False
    words = list(map(str, arguments[1:]))
    return words[:2] == _TRAINING or _PREDICTION in words


def main(descriptor: str) -> None:
    for module in MODULES:
        importlib.import_module(module)
    heavy = {"tensorflow", "torch"} & sys.modules.keys()
    assert not heavy, heavy
    assert threading.active_count() == 1
    gc.freeze()  # a copy that looked for garbage among it would make it its own
    with socket.socket(fileno=int(descriptor)) as asking:
        while True:
            message, pipes, _, _ = socket.recv_fds(asking, _MOST_BYTES, 3)
            if not message:
                return
            asking.send(str(_copy(pickle.loads(message), pipes, asking)).encode())
            for pipe in pipes:
                os.close(pipe)


def _copy(wanted: Wanted, pipes: list[int], asking: socket.socket) -> int:
    source, sink = os.pipe()
    between = os.fork()
    if between == 0:
        pid = os.fork()
        if pid == 0:
            os.close(source)
            os.close(sink)
            asking.close()
            _become(wanted, pipes)
        os.write(sink, str(pid).encode())
        os._exit(0)
    os.close(sink)
    os.waitpid(between, 0)
    with os.fdopen(source) as file:
        return int(file.read())


def _become(wanted: Wanted, pipes: list[int]) -> None:
    """Do in this copy what the process would do, and end it."""
    status: Any = 1
    try:
        if wanted.session:
            os.setsid()
        for number, pipe in enumerate(pipes):
            os.dup2(pipe, number)
            os.close(pipe)
        os.environ.clear()
        os.environ.update(wanted.environment)
        if wanted.folder:
            os.chdir(wanted.folder)
        tempfile.tempdir = None
        sys.path[:0] = filter(None, wanted.environment.get("PYTHONPATH", "").split(os.pathsep))
        sys.stdin = open(0, encoding="utf-8", closefd=False)
        sys.stdout, sys.stderr = (
            open(number, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False) for number in (1, 2)
        )
        status = _run(wanted.words)
    except BaseException:  # noqa: BLE001 - as Python does at its end
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        atexit._run_exitfuncs()
        logging.shutdown()
        os._exit(status)


def _run(words: list[str]) -> int:
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            at = words.index("-c")
            sys.argv = words[at:][:1] + words[at + 2 :]
            exec(words[at + 1], {"__name__": "__main__"})
    except SystemExit as leaving:
        return int(leaving.code or 0)
    return 0


def _ask_for_orphans(asked: bool) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, int(asked), 0, 0, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
