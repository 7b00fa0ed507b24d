"""Takes bad inputs to a surface, one after the other, each in a process of its own that dies with it.

    python -m bad_inputs.worker MODULE [PACKAGE...]

A line of JSON with ``surface`` (a function of the module), ``case`` and ``root`` comes in; a line with what the surface
told goes out. The packages count as not installed. The process is a fork of this one, in which everything is imported
already, with little memory: what crashes, hangs or eats memory is told of as well. Elsewhere than on
Linux this process does it itself.
"""

import gc
import importlib
import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

LIMIT_S = 240.0
LIMIT_BYTES = 2 * 2**30

Work = Callable[[], dict[str, Any]]


def main(module: str, *missing: str) -> None:
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]
    surfaces = importlib.import_module(module)
    cases = importlib.import_module("bad_inputs.table").BY_NAME
    with TemporaryDirectory() as folder:
        surfaces.warm_up(Path(folder))
    with TemporaryDirectory() as folder:
        began = time.process_time()
        surfaces.warm_up(Path(folder))
        usual = time.process_time() - began
    gc.freeze()  # a fork that looked for garbage among it would make it its own
    # what this process says is for the one that asks alone
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        asked = json.loads(line)
        root = Path(asked["root"])
        work = partial(getattr(surfaces, asked["surface"]), cases[asked["case"]], root)
        told = _in_a_fork(work, root) if sys.platform == "linux" else _guarded(work)
        if "seconds" in told:
            told["times"] = told["seconds"] / usual
        answers.write(json.dumps(told) + "\n")


def _guarded(work: Work) -> dict[str, Any]:
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            told = work()
        return told | {"warned": [f"{one.filename}: {one.message}" for one in warned]}
    except BaseException:  # noqa: BLE001 - the one that asks shall know, whatever it is
        return {"crash": traceback.format_exc()}


def _in_a_fork(work: Work, root: Path) -> dict[str, Any]:
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(source)
        try:
            _limited(work, root, sink)
        finally:
            os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as file:
        told = _awaited(file.fileno(), pid)
    _, status = os.waitpid(pid, 0)
    noise = (root / "noise.txt").read_text("utf-8", "replace") if (root / "noise.txt").exists() else ""
    if not told:
        return {"crash": f"it ended with signal {os.WTERMSIG(status)} {noise}"}
    return {"noise": noise} | json.loads(told)


def _awaited(descriptor: int, pid: int) -> bytes:
    told, until = b"", time.monotonic() + LIMIT_S
    while select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
        part = os.read(descriptor, 2**16)
        if not part:
            return told
        told += part
    os.kill(pid, signal.SIGKILL)
    return json.dumps({"crash": f"it hung for {LIMIT_S:.0f} s"}).encode()


def _limited(work: Work, root: Path, sink: int) -> None:
    import resource

    # what libraries print from C is not what anybody shall see
    noise = os.open(root / "noise.txt", os.O_CREAT | os.O_WRONLY)
    os.dup2(noise, 1)
    os.dup2(noise, 2)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    before = resource.getrusage(resource.RUSAGE_SELF)
    told = _guarded(work)
    after = resource.getrusage(resource.RUSAGE_SELF)
    told["grown"] = (after.ru_maxrss - before.ru_maxrss) * 1024
    told["seconds"] = after.ru_utime + after.ru_stime
    with os.fdopen(sink, "wb") as file:
        file.write(json.dumps(told).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
