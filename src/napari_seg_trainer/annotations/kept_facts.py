"""Facts of annotated images that outlive the process, so that what nobody changed is not read again.

They are kept in the cache by the files' paths, sizes and times of change, as make and rsync decide what has changed.
"""

import hashlib
import os
import time
from collections.abc import Generator, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from napari_seg_trainer.annotations.facts import ImageFacts, Looked, Stamps, look, stamps_of
from napari_seg_trainer.annotations.folder import AnnotatedPair
from napari_seg_trainer.files import prune, read_bytes, write_bytes
from napari_seg_trainer.paths import cache_folder

FORMAT = "5"
"""To be counted up when what is kept changes; what another version of the program kept does not count anyway."""

MAX_BYTES = 256 * 2**20
SETTLED_NS = 2 * 10**9
"""What was changed so shortly before it was read may be changed again at the same time, as some disks store it coarsely
(https://git-scm.com/docs/racy-git)."""

SAVE_EVERY = 30.0
"""Seconds."""

_Kept = dict[str, tuple[Stamps, ImageFacts]]
_FILE = TypeAdapter(tuple[str, _Kept])


def look_through(pairs: Sequence[AnnotatedPair]) -> Generator[Looked]:
    """Look at annotated images, one after the other; those that did not change since they were looked at are not read.

    Yields
    ------
    Looked
        In the order of the pairs.
    """
    store = _Store(pairs)
    try:
        for pair in pairs:
            yield store.get(pair)
    finally:
        store.save()


class _Store:
    """What is kept of the folders of some images, a file for each folder."""

    def __init__(self, pairs: Sequence[AnnotatedPair]) -> None:
        self._folders = {folder: _Folder(folder) for folder in {pair.image.parent for pair in pairs}}
        self._saved = time.monotonic()

    def get(self, pair: AnnotatedPair) -> Looked:
        folder, stamps = self._folders[pair.image.parent], stamps_of(pair)
        facts = folder.facts(pair, stamps)
        if facts is not None:
            return Looked(pair, stamps, facts)
        now = time.time_ns()
        looked = look(pair)
        if looked.facts is not None and _is_settled(looked.stamps, now) and stamps_of(pair) == looked.stamps:
            folder.keep(pair, looked.stamps, looked.facts)
        if time.monotonic() - self._saved > SAVE_EVERY:
            self.save()
        return looked

    def save(self) -> None:
        for folder in self._folders.values():
            folder.save()
        with suppress(OSError):
            prune(_place(), "*.json", MAX_BYTES, {folder.file for folder in self._folders.values()})
        self._saved = time.monotonic()


class _Folder:
    """What is kept of the images of one folder; a file that cannot be read or written is as good as none."""

    def __init__(self, folder: Path) -> None:
        self.file = _place() / f"{hashlib.sha256(os.fsencode(os.path.realpath(folder))).hexdigest()}.json"
        self._changed = False
        self._kept: _Kept = {}
        with suppress(OSError, ValidationError):
            known, kept = _FILE.validate_json(read_bytes(self.file))
            if known == _version():
                self._kept = kept

    def facts(self, pair: AnnotatedPair, stamps: Stamps) -> ImageFacts | None:
        before, facts = self._kept.get(pair.image.name, (None, None))
        return facts if before == stamps else None

    def keep(self, pair: AnnotatedPair, stamps: Stamps, facts: ImageFacts) -> None:
        self._kept[pair.image.name] = (stamps, facts)
        self._changed = True

    def save(self) -> None:
        with suppress(OSError, ValueError):  # a folder's name may be no text
            if not self._changed:
                os.utime(self.file)  # it was used
                return
            self._changed = False
            self.file.parent.mkdir(parents=True, exist_ok=True)
            there = {name: kept for name, kept in self._kept.items() if _is_there(kept[0])}
            write_bytes(self.file, _FILE.dump_json((_version(), there)))


@cache
def _version() -> str:
    try:
        return f"{FORMAT} {version('napari-seg-trainer')}"
    except PackageNotFoundError:  # run from its files alone
        return FORMAT


def _place() -> Path:
    return cache_folder() / "facts"


def _is_settled(stamps: Stamps, now: int) -> bool:
    return all(stamp is None or stamp[2] < now - SETTLED_NS for stamp in stamps)


def _is_there(stamps: Stamps) -> bool:
    return stamps[0] is not None and os.path.exists(stamps[0][0])
