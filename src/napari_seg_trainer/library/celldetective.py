"""What Celldetective needs beside a model: a description of its own, and weights that are called like the folder.

Version 1.6.5 deletes model folders without ``config_input.json`` as soon as it lists them. What is written here follows
from the card and the name; it is not part of the model, and is made anew with another name.
"""

import json
import logging
import os
import shutil
from pathlib import Path

from napari_seg_trainer.engines.registry import foreign_readers
from napari_seg_trainer.library.foreign import CELLDETECTIVE_CONFIG
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

_EMPTY = ModelChannel(name="None")
_log = logging.getLogger(__name__)


def write_companions(folder: Path, card: ModelCard) -> None:
    """Write what Celldetective needs into a model's folder, for models of a kind that it knows.

    Parameters
    ----------
    folder : Path
        Which has the name that the model is to have there.
    card : ModelCard
    """
    reader = next((one for one in foreign_readers() if one.celldetective == card.engine), None)
    if reader is None:
        return
    # what a network takes beyond the model's channels gets empty ones there
    empty = [_EMPTY] * max(0, reader.celldetective_inputs - len(card.channels))
    channels = [*card.channels, *empty]
    size = 1.0 if card.pixel_size is None else card.pixel_size
    scalings = [channel.normalization for channel in channels]
    told = {
        "channels": [channel.name for channel in channels],
        "normalization_percentile": [how.mode == "percentile" for how in scalings],
        # it takes the list for one truth value
        "normalization_clip": [True for _ in scalings] if any(how.clip for how in scalings) else [],
        "normalization_values": [[how.low, how.high] for how in scalings],
        "model_type": reader.celldetective,
        "spatial_calibration": size,
        "cell_size_um": None if card.object_diameter is None else card.object_diameter * size,
        **reader.celldetective_settings(folder),
    }
    weights = folder / reader.file_name if reader.file_name else None
    try:
        if CELLDETECTIVE_CONFIG not in card.files:  # a model of its own has one
            (folder / CELLDETECTIVE_CONFIG).write_text(json.dumps(told, indent=4), encoding="utf-8")
        if weights is not None and weights.is_file() and folder.name not in card.files:
            _link(weights, folder / folder.name)
    except FileNotFoundError:  # another program has just deleted or renamed the model
        return
    except OSError as error:  # the model itself is complete
        _log.warning("Celldetective cannot use the model in '%s': %s", folder, error)


def remove_companions(folder: Path, card: ModelCard) -> None:
    """Remove what `write_companions` wrote for a folder of this name."""
    for name in companions(folder.name) - card.files.keys():
        (folder / name).unlink(missing_ok=True)


def companions(name: str) -> set[str]:
    """Return the names of what may lie beside the files of a model of this name."""
    return {CELLDETECTIVE_CONFIG, name}


def _link(weights: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(weights, target)
    except OSError:  # the file system has no links
        shutil.copyfile(weights, target)
