"""Work that is killed, or whose disk is full, at each one of its steps."""

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from testkit.faults import ADDING, Faults, full
from testkit.zygote import Zygote


@pytest.fixture(scope="session")
def zygote(_toy_package: Path) -> Iterator[Zygote]:
    """A small process, of which each death takes a copy."""
    with Zygote("testkit.works:warm_up", places=[_toy_package]) as process:
        yield process


@pytest.fixture
def killed_at_each_step(zygote: Zygote) -> Callable[..., int]:
    """Kill a process at every step of some work, and look at what is left.

    ``killed_at_each_step(prepare, work, check)`` calls a function of `testkit.works` in a process of its own, which is
    killed at the first step, then the second and so on, and each time ``check(prepared)`` here. ``work(prepared)`` is
    the function's name and its arguments. It returns how many steps there were, about; the last time the work is done
    to its end. With ``every=3``, it is each third step.
    """

    def run(
        prepare: Callable[[], Any],
        work: Callable[[Any], tuple[Any, ...]],
        check: Callable[[Any], None],
        *,
        every: int = 1,
    ) -> int:
        for at in count(1, every):
            prepared = prepare()
            name, *arguments = work(prepared)
            status = zygote.end(zygote.begin("testkit.works:struck", at, name, *arguments))
            assert not os.WIFEXITED(status) or os.WEXITSTATUS(status) == 0, f"step {at}: the work raised an error"
            check(prepared)
            if os.WIFEXITED(status):
                return at - 1

    return run


@pytest.fixture
def full_at_each_write() -> Callable[..., list[BaseException]]:
    """Let the disk be full at every step of some work that needs room, and look at what is left.

    ``full_at_each_write(prepare, work, check)`` does the work in this process, with an `OSError` (ENOSPC) at the first
    such step, then the second and so on. It returns the errors that the work raised, one for each step that it minded.
    """

    def run(
        prepare: Callable[[], Any], work: Callable[[Any], object], check: Callable[[Any], None]
    ) -> list[BaseException]:
        errors: list[BaseException] = []
        at = 0
        while True:
            at += 1
            prepared = prepare()
            faults = Faults(at, full, ADDING)
            try:
                with faults.active():
                    work(prepared)
            except Exception as error:  # noqa: BLE001 - the test looks at it
                errors.append(error)
            check(prepared)
            if len(faults.done) < at:
                return errors

    return run


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[[], Path]:
    """Make another empty folder."""
    count = iter(range(100_000))

    def make() -> Path:
        folder = tmp_path / f"fresh-{next(count)}"
        folder.mkdir()
        return folder

    return make
