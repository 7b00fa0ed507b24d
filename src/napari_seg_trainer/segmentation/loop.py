"""One file after the other, for all that segments many: the next is read and the last one written meanwhile."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from napari_seg_trainer.errors import DataError, EngineError, SegTrainerError
from napari_seg_trainer.segmentation.request import OnTile

Item = TypeVar("Item")
Given = TypeVar("Given")
Found = TypeVar("Found")
Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Done(Generic[Item, Result]):
    """What became of an item: a result, or the problem in one line; and how many seconds were spent computing."""

    item: Item
    result: Result | None
    problem: str
    seconds: float


def work_through(
    items: Sequence[Item],
    read: Callable[[Item], Given],
    compute: Callable[[Given, OnTile], Found],
    finish: Callable[[Item, Given, Found], Result],
    progress: Callable[[float], object] = lambda done: None,
) -> Iterator[Done[Item, Result]]:
    """Take items through three steps, and go on after one that cannot be read or computed.

    While one is computed, in the caller's thread, the next is read and the one before finished, in two others.

    Parameters
    ----------
    items : sequence
    read : callable
        From an item to what is computed on.
    compute : callable
        From that to what is found; it may call its second argument with how many parts are done, and of how many.
    finish : callable
        From an item, what was read and what was found to the result; writes it, for example.
    progress : callable, optional
        Called with how many items are computed, parts of one included; first 0.

    Yields
    ------
    Done
        In the order of the items, when it is finished.

    Raises
    ------
    SegTrainerError
        What `finish` raises, as a full disk will not take the next one either, and what `read` and `compute` raise
        apart from a `DataError` and an `EngineError`. All items before are reported first.
    """
    progress(0)
    if not items:
        return
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "finish") as finisher:
        following = _next(reader, read, items, -1)
        before: Callable[[], Done[Item, Result]] | None = None
        for place, item in enumerate(items):
            ahead, began = following, time.monotonic()
            now: Callable[[], Done[Item, Result]] | None = None
            failure: SegTrainerError | None = None
            try:
                assert ahead is not None, "there is an item"
                given = ahead.result()
                following = _next(reader, read, items, place)
                began = time.monotonic()
                found = compute(given, partial(_part, progress, place))
                now = partial(_done, item, finisher.submit(finish, item, given, found), time.monotonic() - began)
                del given, found  # the finisher has them
            except (DataError, EngineError) as error:
                now = partial(Done, item, None, str(error), time.monotonic() - began)
            except SegTrainerError as error:
                failure = error
            progress(place + 1)
            if following is ahead:
                following = _next(reader, read, items, place)
            if before is not None:
                yield before()
            if failure is not None:
                raise failure
            before = now
        if before is not None:
            yield before()


def _part(progress: Callable[[float], object], place: int, done: int, total: int) -> None:
    progress(place + done / max(total, 1))


def _next(
    reader: ThreadPoolExecutor, read: Callable[[Item], Given], items: Sequence[Item], place: int
) -> Future[Given] | None:
    return reader.submit(read, items[place + 1]) if place + 1 < len(items) else None


def _done(item: Item, written: Future[Result], seconds: float) -> Done[Item, Result]:
    return Done(item, written.result(), "", seconds)
