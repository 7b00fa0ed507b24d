"""Segment an image with Celldetective's own functions: python with_celldetective.py MODEL_FOLDER IMAGE.npy LABELS.npy.

Runs in an environment with Celldetective, which knows nothing of this project. IMAGE has the axes CYX.
"""

import json
import shutil
import sys
from pathlib import Path

import celldetective
import numpy as np
from celldetective.segmentation import prepare_segmentation_model, segment_frame
from celldetective.utils.model_getters import get_segmentation_models_list


def main(folder: Path, image: Path, labels: Path) -> None:
    target = Path(celldetective.__file__).parent / "models" / "segmentation_generic" / folder.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    listed = get_segmentation_models_list(mode="generic", return_path=False)
    assert folder.name in listed, listed
    channels = json.loads((target / "config_input.json").read_text())["channels"]
    there = [name for name in channels if name != "None"]
    prepared = prepare_segmentation_model(folder.name, channels=there, use_gpu=False)
    assert prepared is not None
    np.save(labels, segment_frame(np.moveaxis(np.load(image), 0, -1), prepared))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
