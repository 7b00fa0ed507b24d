"""What an engine may do besides: predict with the weights of another epoch."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from napari_seg_trainer.engines.protocol import Predictor


@runtime_checkable
class LoadsCheckpoints(Protocol):
    """What an `Engine` may do besides, so that a model can be asked how sure it is: where epochs differ, it is not."""

    def load_checkpoint(self, checkpoint: Path, model: Path) -> Predictor:
        """Return the model in the folder `model`, with the weights that a training's `save` wrote to `checkpoint`.

        Raises
        ------
        LibraryError
            If the checkpoint is of another network.
        """
        ...
