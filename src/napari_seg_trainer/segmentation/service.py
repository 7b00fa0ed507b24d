"""Models kept warm in processes of their own, so that the second image needs no loading."""

import errno
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from appose import NDArray as SharedArray
from numpy.typing import NDArray

from napari_seg_trainer import errors
from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.engines.registry import check_installed, engine_spec
from napari_seg_trainer.errors import DataError, EngineError, SegTrainerError
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.paths import home
from napari_seg_trainer.segmentation.prediction_process import PredictionProcess, ProcessEndedError, shared_array
from napari_seg_trainer.segmentation.request import OnTile, SegmentRequest, fit


class CancelledError(SegTrainerError):
    """Somebody cancelled the segmentation, or closed the service."""


class SegmentationService:
    """Segments in processes that keep the models in memory, one process for each engine.

    A process is started when it is first needed, and again after it has ended for whatever reason. It keeps the three
    models that were used last. It ends with `close`, and with the process that made the service.

    >>> with SegmentationService() as service:  # doctest: +SKIP
    ...     for image in images:
    ...         labels = service.segment(model, image)
    """

    def __init__(self) -> None:
        self._engines: dict[str, _Engine] = {}
        self._guard = threading.Lock()
        # also called when the service is forgotten, and when Python ends
        self._close = weakref.finalize(self, _close_all, self._engines)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def segment(
        self,
        model: LibraryModel,
        image: NDArray[Any],
        request: SegmentRequest | None = None,
        *,
        checkpoint: Path | None = None,
        on_tile: OnTile | None = None,
    ) -> NDArray[np.int32]:
        """Return the instances in an image; wait until they are found.

        It may be called from any thread. Calls for models of the same engine wait for each other.

        Parameters
        ----------
        model : LibraryModel
        image, request
            As for `Segmenter.segment`.
        checkpoint : Path, optional
            As for `Segmenter`.
        on_tile : callable, optional
            As for `Segmenter.segment`; called in a thread of its own, a few times a second at most.

        Returns
        -------
        NDArray of int32, axes YX
            On the image's own grid; 0 is background.

        Raises
        ------
        CancelledError
            If `cancel` or `close` was called meanwhile.
        EngineError
            If the engine is not installed, or its process ended, or the prediction broke off.
        SegTrainerError
            If the image or the model cannot be used, or a setting is impossible.
        """
        request = request or SegmentRequest()
        engine = self._engine(model.card.engine)
        how = fit(model.card, image, request)
        asked = {
            "folder": str(model.folder.absolute()),
            "card": model.card.model_dump_json(exclude={"data"}),  # which may be long
            "factor": how.factor,
            "settings": how.settings.model_dump(mode="json"),
            "name": request.name,
            "checkpoint": None if checkpoint is None else str(checkpoint.absolute()),
        }
        return engine.segment([image[place] for place in how.places], asked, on_tile)

    def cancel(self) -> None:
        """Make all calls of `segment` that run or wait end soon, with a `CancelledError`.

        A process that is predicting is killed, so the next call takes longer.
        """
        with self._guard:
            engines = list(self._engines.values())
        for engine in engines:
            engine.cancel()

    def close(self) -> None:
        """Cancel what runs, end all processes, and wait until they are gone."""
        with self._guard:
            self._close()

    def _engine(self, engine: str) -> "_Engine":
        with self._guard:
            if not self._close.alive:
                raise CancelledError("The segmentation service is closed.")
            if engine not in self._engines:
                spec = engine_spec(engine)
                check_installed(spec)
                self._engines[engine] = _Engine(spec)
            return self._engines[engine]


def _close_all(engines: dict[str, "_Engine"]) -> None:
    for engine in engines.values():
        engine.close()


class _Engine:
    """One engine's process; one call after the other has its turn."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self._turn = threading.Lock()  # held by the call that the process works for
        self._process: PredictionProcess | None = None
        self._state = threading.Lock()  # held for moments, over what follows
        self._asking = False
        self._cancellations = 0
        self._open = True

    def segment(
        self, planes: Sequence[NDArray[Any]], request: dict[str, Any], on_tile: OnTile | None
    ) -> NDArray[np.int32]:
        """Have the process segment these channels, each YX."""
        ticket = self._cancellations
        with self._turn, _shared(planes, request["name"]) as (image, labels):
            self._ask(request | {"image": image, "labels": labels}, ticket, on_tile)
            found: NDArray[np.int32] = labels.ndarray().copy()
            return found

    def cancel(self) -> None:
        """Make the calls that are there now raise a `CancelledError`."""
        with self._state:
            self._cancellations += 1
            process = self._process
            if self._asking and process is not None:
                process.kill()

    def close(self) -> None:
        """End the process, for good."""
        with self._state:
            self._open = False
        self.cancel()
        with self._turn:
            self._end()

    def _ask(self, request: dict[str, Any], ticket: int, on_tile: OnTile | None) -> None:
        process = self._begin(ticket)
        try:
            answer = process.ask(request, on_tile)
        except ProcessEndedError as error:
            how = self._end()
            self._check(ticket)
            raise EngineError(
                f"The prediction process of {self.spec.title} ended ({how}). Try again; if it ends again, segment a "
                f"part of the image. The details are in '{process.log}'."
            ) from error
        except BaseException:  # Ctrl-C, say: the process is still at work
            self._end()
            raise
        finally:
            with self._state:
                self._asking = False
        if ticket != self._cancellations:  # it answered, and was killed
            self._end()
        self._check(ticket)
        self._check_answer(answer, request["name"], process.log)

    def _begin(self, ticket: int) -> PredictionProcess:
        """Return the process, started if need be; from now on `cancel` kills it."""
        with self._state:
            self._check(ticket)
            if self._process is not None and not self._process.is_alive():
                self._end()
            if self._process is None:
                try:
                    process = PredictionProcess(home() / "log.txt")
                    process.begin()
                except OSError as error:
                    raise EngineError(
                        f"The prediction process of {self.spec.title} cannot be started: {error.strerror}. "
                        "Close other programs and try again."
                    ) from error
                self._process = process
            self._asking = True
            return self._process

    def _end(self) -> str:
        """End the process where there is one, and return how it ended."""
        process, self._process = self._process, None
        return process.end() if process is not None else ""

    def _check(self, ticket: int) -> None:
        if not self._open or ticket != self._cancellations:
            raise CancelledError("The segmentation was cancelled.")

    def _check_answer(self, answer: dict[str, Any], image: str, log: Path) -> None:
        if not answer:
            return
        if answer["error"]:
            kind: type[SegTrainerError] = getattr(errors, answer["error"])
            raise kind(answer["message"])
        raise EngineError(
            f"{self.spec.title} cannot segment image {image!r} ({answer['message']}). The details are in '{log}'."
        )


@contextmanager
def _shared(planes: Sequence[NDArray[Any]], name: str) -> Iterator[tuple[SharedArray, SharedArray]]:
    """Yield shared memory with these channels (CYX), and some for the labels (YX)."""
    shape, kind = planes[0].shape, planes[0].dtype
    dtype = np.dtype(np.uint8) if kind.kind == "b" else kind.newbyteorder("=")
    size = (len(planes) * dtype.itemsize + np.dtype(np.int32).itemsize) * planes[0].size
    with ExitStack() as stack:
        try:
            image = stack.enter_context(shared_array(dtype.name, (len(planes), *shape)))
            labels = stack.enter_context(shared_array("int32", shape))
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.ENOMEM}:
                raise DataError(
                    f"Image {name!r} cannot be sent to the prediction process: no shared memory is available "
                    f"({error.strerror}). On Linux it is in /dev/shm; 'napari-seg-trainer segment' works without it."
                ) from error
            raise DataError(
                f"Image {name!r} needs {max(size / 1e6, 0.1):.1f} MB of shared memory, more than is free. Segment a "
                "part of it, close other programs, or give the container more (--shm-size)."
            ) from error
        _fill(image, planes)
        yield image, labels


def _fill(array: SharedArray, planes: Sequence[NDArray[Any]]) -> None:
    pixels = array.ndarray()  # of this function only: the memory cannot be closed while somebody has it
    for i, plane in enumerate(planes):
        pixels[i] = plane
