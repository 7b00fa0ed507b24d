"""The process of a training: ``python -m napari_seg_trainer.runs FOLDER``, as `launch` starts it.

It imports neither the command line nor what its other commands need, and so is there in half of the time.
"""

import argparse
import logging
import sys
from pathlib import Path

from napari_seg_trainer.files import own_temporary_folder
from napari_seg_trainer.priority import yield_to_others
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import Failed


def main() -> int:
    """Train what a run asks for, and return the exit status: 1 where that failed."""
    parser = argparse.ArgumentParser(prog="python -m napari_seg_trainer.runs", description="Train what a run asks for.")
    parser.add_argument("folder", type=Path, help="the run's folder")
    folder: Path = parser.parse_args().folder
    if not folder.is_dir():
        parser.error(f"'{folder}' is not a folder of a run. 'napari-seg-trainer runs' lists the runs.")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    yield_to_others()
    with own_temporary_folder():
        last = train_run(Run(folder))
    return int(isinstance(last, Failed))


if __name__ == "__main__":
    sys.exit(main())
