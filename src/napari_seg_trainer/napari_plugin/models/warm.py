"""What keeps models in memory for a dock, in processes of their own."""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it takes a moment to import, and does so in a thread
    from napari_seg_trainer.segmentation.service import SegmentationService


class WarmService:
    """A segmentation service that is made when it is first needed."""

    def __init__(self) -> None:
        self._service: SegmentationService | None = None
        self._guard = threading.Lock()
        self._stop = threading.Event()

    def begin(self) -> threading.Event:
        """Return what is set once the task that begins now is to stop."""
        self._stop = threading.Event()
        return self._stop

    def get(self) -> "SegmentationService":
        """Return the service; slow at the first time."""
        from napari_seg_trainer.segmentation.service import SegmentationService

        with self._guard:
            self._service = self._service or SegmentationService()
            return self._service

    def stop(self) -> None:
        """Stop the task that runs now; the next image takes longer."""
        self._stop.set()
        with self._guard:
            if self._service is not None:
                self._service.cancel()

    def close(self) -> None:
        """Stop, end all processes, and wait until they are gone."""
        self._stop.set()
        with self._guard:
            service, self._service = self._service, None
        if service is not None:
            service.close()
