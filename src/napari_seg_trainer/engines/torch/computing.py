"""Where it is computed, and in which of the ways that give the same answer it is fastest there."""

import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from napari_seg_trainer.errors import JobError
from napari_seg_trainer.files import read_bytes, write_text
from napari_seg_trainer.paths import cache_folder

GAIN = 0.9
"""Another way is taken only if it needs less than this part of the time."""
GLANCE, HOPELESS = 64, 3.0
"""Each way is first tried on a small square (side in pixels). One that is this many times slower than another there is
not tried on a whole sample, which could take minutes."""
COMPUTING_FILE = "computing.json"
_REPEATS = 3
SURE = 1.25
"""Largest ratio of the second shortest to the shortest time of a way at which the measurement is trusted: on a busy
machine, times differ more."""
DOUBTS, MOST_DOUBTS = "doubts", 3
"""Key under which the file counts untrusted measurements, and the number after which the last one is kept."""
_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True)
class Way:
    """How a network is computed: with numbers of 16 bits (bfloat16) where they suffice, and with channels innermost."""

    bfloat16: bool = False
    channels_last: bool = False


PLAIN = Way()
LAST = Way(channels_last=True)
_WAYS = (LAST, PLAIN, Way(bfloat16=True, channels_last=True))
"""The first one is taken in doubt: of small networks, it is rarely the slower one."""


@dataclass(frozen=True)
class Computing:
    """A device and a way."""

    device: torch.device
    way: Way = PLAIN

    @property
    def name(self) -> str:
        """What computes, for people."""
        if self.device.type == "cuda":
            return str(torch.cuda.get_device_name(self.device))
        return {"mps": "Apple GPU"}.get(self.device.type, "CPU")

    @property
    def is_cuda(self) -> bool:
        """Whether it is an NVIDIA GPU, which fetches its data beside its work."""
        return bool(self.device.type == "cuda")

    @property
    def fused(self) -> bool | None:
        """Options of an optimizer to change all weights in one pass where it can: quicker, in less memory."""
        return True if self.device.type in ("cpu", "cuda") else None

    def place(self, network: _Network) -> _Network:
        """Move a network to the device."""
        network.to(self.device)
        if self.way.channels_last:
            network.to(memory_format=torch.channels_last)
        return network

    def take(self, images: Tensor) -> Tensor:
        """Move images (BCYX) to the device."""
        layout = torch.channels_last if self.way.channels_last else torch.contiguous_format
        return images.to(self.device, memory_format=layout, non_blocking=self.is_cuda)

    def keep(self, folder: Path) -> None:
        """Write into a checkpoint how it is computed: another way would give other numbers."""
        kept = {"device": self.device.type, **asdict(self.way)}
        (folder / COMPUTING_FILE).write_text(json.dumps(kept), encoding="utf-8")

    def precision(self) -> AbstractContextManager[object]:
        """Return the context in which the network is to be called."""
        reduced: AbstractContextManager[object] = torch.autocast(self.device.type, dtype=torch.bfloat16)
        return reduced if self.way.bfloat16 else nullcontext()


def choose_device(wanted: str | None = None) -> torch.device:
    """Return the device that the user wants, or else the fastest there is.

    Raises
    ------
    JobError
        If it is not there.
    """
    there = [name for name, check in _CHECKS.items() if check()]
    if wanted is not None and wanted not in there:
        raise JobError(f"There is no device {wanted!r} here. Choose one of {', '.join(there)}, or leave it empty.")
    return torch.device(wanted or there[0])


def _has_cuda() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a driver that is no good is reported where somebody wants it
        return bool(torch.cuda.is_available())


_CHECKS: dict[str, Callable[[], bool]] = {
    "cuda": _has_cuda,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}


def fastest(
    device: torch.device,
    make: Callable[[], nn.Module],
    shape: tuple[int, int, int, int],
    checkpoint: Path | None = None,
) -> Computing:
    """Return the fastest way to train a network on a device, measured the first time and kept in the user's cache.

    Parameters
    ----------
    device : torch.device
    make : callable
        Makes such a network.
    shape : (int, int, int, int)
        Of the images to measure with, BCYX.
    checkpoint : Path, optional
        Of the training that is to go on: on a device of the same kind, in the way it was begun.
    """
    if checkpoint is not None:
        with suppress(OSError, ValueError, TypeError, KeyError):
            begun = json.loads(read_bytes(checkpoint / COMPUTING_FILE))
            if begun.pop("device") == device.type:
                return Computing(device, Way(**begun))
    file = cache_folder() / "speed.json"
    key = " ".join(map(str, (make.__name__, shape, torch.__version__, torch.get_num_threads(), _hardware(device))))
    known: dict[str, dict[str, int]] = {}
    with suppress(OSError, ValueError):
        read = json.loads(read_bytes(file))
        known = read if isinstance(read, dict) else {}
    doubts = 0
    with suppress(KeyError, TypeError, AttributeError):
        kept = dict(known[key])
        doubts = kept.pop(DOUBTS, MOST_DOUBTS)
        if doubts >= MOST_DOUBTS:
            return Computing(device, Way(**{name: bool(value) for name, value in kept.items()}))
    way, is_sure = _measured(device, make, shape)
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        told = asdict(way) | ({} if is_sure else {DOUBTS: doubts + 1})
        write_text(file, json.dumps({**known, key: told}, indent=2))
    return Computing(device, way)


def _measured(
    device: torch.device, make: Callable[[], nn.Module], shape: tuple[int, int, int, int]
) -> tuple[Way, bool]:
    """Return the fastest way, and whether it would be so another time."""
    images = torch.rand(shape)
    networks = _hopeful(device, make, images[:1, :, :GLANCE, :GLANCE])
    times: dict[Way, list[float]] = {way: [] for way in networks}
    for _ in range(1 + _REPEATS):  # in turn, so that what else is computed slows down all of them
        for way in list(times):
            try:
                times[way].append(_seconds(Computing(device, way), networks[way], images))
            except (RuntimeError, NotImplementedError):  # this device cannot
                del times[way]
    best, seconds = PLAIN, float("inf")
    shortest = {way: sorted(found[1:])[:2] for way, found in times.items()}  # the first one does not count
    for way, (needed, _) in shortest.items():
        if needed < (GAIN if seconds < float("inf") else 1.0) * seconds:
            best, seconds = way, needed
    return best, all(second <= SURE * first for first, second in shortest.values())


def _hopeful(device: torch.device, make: Callable[[], nn.Module], glance: Tensor) -> dict[Way, nn.Module]:
    """Return networks for the ways that are worth to be measured at length."""
    networks: dict[Way, nn.Module] = {}
    least = float("inf")
    for way in _WAYS:
        computing = Computing(device, way)
        try:
            network = computing.place(make())
            needed = min([_seconds(computing, network, glance) for _ in range(1 + _REPEATS)][1:])
        except (RuntimeError, NotImplementedError):  # this device cannot
            continue
        if needed <= HOPELESS * least:
            least = min(needed, least)
            networks[way] = network
    return networks


def _seconds(computing: Computing, network: nn.Module, images: Tensor) -> float:
    """Return the time of a step forward and back."""
    began = time.perf_counter()
    with computing.precision():
        answer = network(computing.take(images))
    (answer if isinstance(answer, Tensor) else answer[0]).float().square().mean().backward()
    if computing.device.type == "cuda":
        torch.cuda.synchronize(computing.device)
    return time.perf_counter() - began


def _hardware(device: torch.device) -> str:
    if device.type != "cpu":
        return Computing(device).name
    used = f"{torch.backends.cpu.get_cpu_capability()} {os.environ.get('ONEDNN_MAX_CPU_ISA', '')}"
    with suppress(OSError, StopIteration), open("/proc/cpuinfo", encoding="utf-8") as lines:
        there = next(line.partition(":")[2].strip() for line in lines if line.startswith(("flags", "Features")))
        return f"{used} {there}"
    return f"{used} {platform.processor()}"
