"""The prediction process: it keeps models in memory and segments what a `PredictionProcess` hands it.

It talks as appose's workers do: a JSON object a line on stdin and stdout, arrays in shared memory. appose's own Python
worker is not used, because it looks for work only 20 times a second, keeps the memory of every image mapped, and reads
stdin in one thread while another imports, which can hang on Windows (https://github.com/numpy/numpy/issues/24290).
Here one thread does one thing after the other.
"""

import logging
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import psutil
from appose.python_worker import Worker
from appose.util.message import decode, encode

from napari_seg_trainer import errors
from napari_seg_trainer.engines.registry import engine_spec, parse_settings
from napari_seg_trainer.errors import DataError, LibraryError, SegTrainerError
from napari_seg_trainer.library.model_folder import LibraryModel, read_model
from napari_seg_trainer.priority import yield_to_others
from napari_seg_trainer.schema.model_card import ModelCard
from napari_seg_trainer.segmentation.request import Fit, OnTile
from napari_seg_trainer.segmentation.segment import Segmenter

MAX_MODELS = 3
TELL_EVERY = 0.2
"""Seconds."""
_log = logging.getLogger(__name__)


def main() -> None:
    """Answer requests until stdin ends.

    The arguments are the log file, the number of the process that asks, and the folder for temporary files, which is
    removed in the end.
    """
    log, asking, temporary = sys.argv[1:]
    requests, answers = _take_pipes(Path(log))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the shell concerns the process that asks
    threading.Thread(target=_leave_after, args=(int(asking), temporary), daemon=True).start()
    yield_to_others()
    Worker()  # lets appose know that shared memory is not ours to remove
    models = Models()
    try:
        for line in requests:
            request = decode(line)
            tell = partial(_tell, answers, request["task"])
            tell("COMPLETION", outputs=answer(models, request["inputs"], NowAndThen(partial(tell, "UPDATE"))))
    except BrokenPipeError:  # who asked has gone meanwhile
        pass
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _tell(answers: IO[str], task: str, kind: str, **fields: Any) -> None:
    answers.write(encode({"task": task, "responseType": kind, **fields}) + "\n")
    answers.flush()


class NowAndThen:
    """Passes on how many parts are done, a few times a second at most."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell, self._last = tell, -math.inf

    def __call__(self, done: int, total: int) -> None:
        """Take note of it."""
        now = time.monotonic()
        if now - self._last >= TELL_EVERY:
            self._last = now
            self._tell(current=done, maximum=total)


def _take_pipes(log: Path) -> tuple[IO[str], IO[str]]:
    """Return what comes in and what goes out, and send all that anything prints to the log."""
    requests, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    target = 2
    with suppress(OSError):  # where there is no place for a log, appose keeps the words for the error message
        log.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return requests, answers


def _leave_after(pid: int, temporary: str) -> None:
    """End this process when another one is gone, even in the middle of a prediction, and remove a folder for it."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:
            time.sleep(1)
    shutil.rmtree(temporary, ignore_errors=True)
    os._exit(1)


def answer(models: "Models", inputs: dict[str, Any], on_tile: OnTile | None = None) -> dict[str, str]:
    """Segment an image of shared memory into labels in shared memory.

    Parameters
    ----------
    models : Models
    inputs : dict
        ``folder`` and ``card`` (JSON) of the model; ``image`` (CYX, one channel for each of the model's inputs) and
        ``labels`` (YX, to be filled), both `appose.NDArray`; ``factor`` and ``settings`` of the `Fit`; the image's
        ``name``; ``checkpoint`` as for `Segmenter`.
    on_tile : callable, optional
        As for `Segmenter.segment`.

    Returns
    -------
    dict
        Empty, or ``error`` (the type of the `SegTrainerError`, empty for any other) and its ``message`` in one line.
    """
    image, labels = inputs["image"], inputs["labels"]
    try:
        model = LibraryModel(Path(inputs["folder"]), ModelCard.model_validate_json(inputs["card"]))
        checkpoint = None if inputs["checkpoint"] is None else Path(inputs["checkpoint"])
        settings = parse_settings(engine_spec(model.card.engine), inputs["settings"])
        how = Fit(tuple(range(len(model.card.channels))), inputs["factor"], settings)
        labels.ndarray()[...] = models.get(model, checkpoint).compute(image.ndarray(), how, on_tile)
    except SegTrainerError as error:
        return {"error": _kind(error), "message": str(error)}
    except MemoryError:
        _log.exception("The memory is full")
        return {
            "error": DataError.__name__,
            "message": f"Out of memory. Segment a part of image {inputs['name']!r}, or close other programs.",
        }
    except Exception as error:  # noqa: BLE001 - whatever an engine raises is reported in one line, and its traceback kept
        _log.exception("A prediction broke off")
        return {"error": "", "message": f"{type(error).__name__}: {error}".splitlines()[0]}
    finally:
        for array in (image, labels):
            array.shm.close()
    return {}


def _kind(error: SegTrainerError) -> str:
    """Return the type's name; for an engine's own type, that of the one that it derives from."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


class Models:
    """The models that were used last, in memory.

    A model is the same as long as its folder, its card, its files and the checkpoint are.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[object, ...], Segmenter] = OrderedDict()

    def get(self, model: LibraryModel, checkpoint: Path | None = None) -> Segmenter:
        """Return the model, with the weights of a checkpoint where one is given; loaded if it is not in memory yet.

        Raises
        ------
        SegTrainerError
            If it cannot be loaded, or its folder now holds another model.
        """
        known = (model.folder, checkpoint, model.card.model_dump_json())
        key = (*known, *(_stamp(model.folder / name) for name in model.card.files))
        if key not in self._kept:
            _check_same(model)
            while len(self._kept) >= MAX_MODELS:
                self._kept.popitem(last=False)
            self._kept[key] = Segmenter(model, checkpoint)
        self._kept.move_to_end(key)
        return self._kept[key]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return when a file was changed and how large it is; None where it is gone."""
    with suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size
    return None


def _check_same(model: LibraryModel) -> None:
    if read_model(model.folder).card.files != model.card.files:
        raise LibraryError(f"Model {model.name!r} was replaced after it was selected. Select it again.")
