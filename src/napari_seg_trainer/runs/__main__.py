"""The process of a training: ``python -m napari_seg_trainer.runs FOLDER``, as `launch` starts it.

It imports neither the command line nor what its other commands need, and so is there in half of the time.
"""

import logging
import sys
from pathlib import Path

from napari_seg_trainer.files import own_temporary_folder
from napari_seg_trainer.priority import yield_to_others
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Failed


def main(folder: str) -> int:
    """Train what the run in `folder` asks for, and return the exit status: 1 where that failed."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    yield_to_others()
    with own_temporary_folder():
        last = train_run(Run(Path(folder)))
    return int(isinstance(last, Failed))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
