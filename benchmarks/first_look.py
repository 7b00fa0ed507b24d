"""How often is each image decoded, hashed, and its objects numbered, from choosing a folder to the first step?

The Train dock looks at the folder that is chosen; then the training begins, in a process of its own. Both happen here,
in processes that count the calls, with the example engine.

    python benchmarks/first_look.py FOLDER
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from common import machine
from example_engine import make_known

COUNTED = {
    "files decoded": ("annotations/pixels.py", "read_pixels"),
    "arrays hashed": ("annotations/annotated_image.py", "pixel_hash"),
    "masks numbered": ("annotations/objects.py", "find_objects"),
}
"""A file and a function in it; an annotated image is two files and two arrays."""


class Counting:
    """Counts calls until the first step of a training."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._names: dict[CodeType, str | None] = {}
        self._done = False

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Look at a call, as `sys.setprofile` has it."""
        if event != "call" or self._done:
            return
        code = frame.f_code
        if code not in self._names:
            self._names[code] = self._name(code)
        name = self._names[code]
        if name == "end_step":
            self._done = True
        elif name is not None:
            self.calls[name] += 1

    @staticmethod
    def _name(code: CodeType) -> str | None:
        file = code.co_filename.replace(os.sep, "/")
        if code.co_name == "end_step":
            return "end_step"
        return next((key for key, (end, name) in COUNTED.items() if file.endswith(end) and code.co_name == name), None)


def look(folder: Path) -> None:
    """Look at a folder as the dock does."""
    from napari_seg_trainer.annotations.doctor import survey

    for _ in survey([folder]):
        pass


def train(folder: Path) -> None:
    """Train for an epoch."""
    from napari_seg_trainer.api import make_job
    from napari_seg_trainer.runs.run import Run
    from napari_seg_trainer.runs.trainer import train_run

    job = make_job(name="first", engine="threshold", data=[folder], hyperparameters={"epochs": 1})
    last = train_run(Run.create(job))
    if last.type != "finished":
        raise SystemExit(f"The training did not finish: {last}")


STAGES = {"the dock looks": look, "the training begins": train}


def main() -> None:
    """Count, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="annotation folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        make_known()
        counting = Counting()
        threading.setprofile(counting)
        sys.setprofile(counting)
        STAGES[options.stage](options.folder)
        sys.setprofile(None)
        print(json.dumps(counting.calls))
        return
    from napari_seg_trainer.annotations.folder import AnnotationFolder

    images = len(AnnotationFolder.open(options.folder))
    with tempfile.TemporaryDirectory() as home:
        found = {stage: _counted(options.folder, stage, home) for stage in STAGES}
    total = {key: sum(calls.get(key, 0) for calls in found.values()) / images for key in COUNTED}
    if options.json:
        print(json.dumps({"machine": machine(), "images": images, "calls": found, "calls_per_image": total}))
        return
    print(f"{images} annotated images")
    for stage, calls in found.items():
        print(f"{stage:22}", *(f"{key}: {calls.get(key, 0)}" for key in COUNTED), sep="  ")
    print(f"{'for each image':22}", *(f"{key}: {value:g}" for key, value in total.items()), sep="  ")


def _counted(folder: Path, stage: str, home: str) -> dict[str, int]:
    command = [sys.executable, __file__, str(folder), "--stage", stage]
    environment = os.environ | {"NAPARI_SEG_TRAINER_HOME": home}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    calls: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return calls


if __name__ == "__main__":
    main()
