"""Many trainings and predictions in one session of napari: what grows?

Trains small StarDist models from the dock, one after the other, and segments with each of them from the dock, as a user
does. After each round it counts the processes, threads, open files, pieces of shared memory and temporary files of the
viewer's process, and its memory; the first rounds warm up and do not count. On a machine without a screen::

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/soak.py

Exits with 1 if something has grown.
"""

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from common import machine
from viewer import until, viewer_at_rest

TRAINING = {"epochs": 1, "batch_size": 2, "augmentation": 1.0, "patch_size": 64}
TRAINING |= {"depth": 2, "filters": 8, "rays": 16, "grid": 2}
SIDE = 96
MAX_GROWTH = 0.05
PATIENCE = 300.0
RECENT = 3


def main() -> None:
    """Do all rounds and tell what has grown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainings", type=int, default=50)
    parser.add_argument("--predictions", type=int, default=500)
    parser.add_argument("--warm-up", type=int, default=5, help="rounds that do not count")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        os.environ |= {"NAPARI_SEG_TRAINER_HOME": folder + "/home", "NAPARI_CONFIG": ""}
        temporary = Path(folder, "temporary")
        temporary.mkdir()
        for name in ("TMPDIR", "TEMP", "TMP"):
            os.environ[name] = str(temporary)
        tempfile.tempdir = str(temporary)
        began = time.perf_counter()
        rounds = soak(options.trainings, options.predictions // options.trainings, Path(folder, "annotations_discs"))
        seconds = time.perf_counter() - began
    result = {"machine": machine(), "seconds": seconds, "rounds": rounds, "grown": grown(rounds, options.warm_up)}
    sys.stdout.write((json.dumps(result) if options.json else told(result, options)) + "\n")
    sys.exit(1 if result["grown"] else 0)


def told(result: dict[str, Any], options: argparse.Namespace) -> str:
    """Return the figures for people."""
    rounds, first = result["rounds"], min(options.warm_up, len(result["rounds"]) - 1)
    lines = [str(result["machine"])]
    lines.append(
        f"{len(rounds)} trainings and {sum(round_['predictions'] for round_ in rounds)} predictions in "
        f"{result['seconds'] / 60:.1f} min"
    )
    ends = [(name, rounds[first][name], rounds[-1][name]) for name in COUNTED]
    lines += [f"{name}: {before} after round {first + 1}, {after} at the end" for name, before, after in ends]
    before, after = memory(rounds, first)
    lines.append(f"memory: {before:.0f} MiB, {after:.0f} MiB at the end ({after / before - 1:+.1%})")
    lines.append("grown: " + (", ".join(result["grown"]) or "nothing"))
    return "\n".join(lines)


def grown(rounds: list[dict[str, Any]], warm_up: int) -> list[str]:
    """Return what has grown since the rounds that do not count."""
    first = min(warm_up, len(rounds) - 1)
    found = [name for name in COUNTED if rounds[-1][name] > rounds[first][name]]
    before, after = memory(rounds, first)
    return found + (["memory"] if after > before * (1 + MAX_GROWTH) else [])


def memory(rounds: list[dict[str, Any]], first: int) -> tuple[float, float]:
    """Return the memory (MiB) of the first rounds that count, and of the last ones."""
    values = [round_["memory_mib"] for round_ in rounds]
    return statistics.median(values[first : first + RECENT]), statistics.median(values[-RECENT:])


def soak(trainings: int, predictions: int, data: Path) -> list[dict[str, Any]]:
    """Train, predict and count, round after round."""
    from napari_seg_trainer.napari_plugin.parts import docks

    write_images(data)
    viewer = viewer_at_rest()
    train, segment = docks.open_dock(viewer, docks.TRAIN), docks.open_dock(viewer, docks.SEGMENT)
    until(lambda: train.run_view is not None, PATIENCE)
    image = viewer.add_image(discs(0)[0], name="dapi")
    rounds = []
    for number in range(trainings):
        name = f"model-{number}"
        train_one(train, data, name)
        segment.select_model(name)
        wait(lambda name=name: segment.model_name == name, f"model {name} is chosen")
        for i in range(predictions):
            image.data = discs(number * predictions + i)[0]
            predict_one(viewer, segment)
        rounds.append({"predictions": predictions} | counted())
        sys.stderr.write(f"{number + 1} of {trainings}: {rounds[-1]}\n")
    viewer.close()
    return rounds


def train_one(dock: Any, data: Path, name: str) -> None:
    """Train a small model with the dock's button."""
    from napari_seg_trainer.api import make_job

    dock.show_form()
    job = make_job(name=name, engine="stardist", pretrained=None, data=(data,), hyperparameters=TRAINING)
    dock.job_form.set_value(job)
    wait(lambda: dock.job_form.data.survey is not None and not dock.job_form.reasons(), "the form is ready")
    wait(dock.form_page.button.isEnabled, "the training can begin")
    dock.form_page.button.click()
    wait(lambda: dock.run_view.title == f"Run: {name}" and bool(dock.run_view.outcome.text), f"{name} is trained")
    assert f"'{name}' is in the library" in dock.run_view.outcome.text, dock.run_view.outcome.text


def predict_one(viewer: Any, dock: Any) -> None:
    """Segment the image with the dock's button, and remove the labels."""
    before = len(viewer.layers)
    wait(dock.button.isEnabled, "the image can be segmented")
    dock.button.click()
    wait(lambda: len(viewer.layers) > before and dock.button.isEnabled(), "the image is segmented")
    viewer.layers.pop()


def wait(done: Any, what: str) -> None:
    """Let the viewer work until it is so."""
    until(done, PATIENCE)
    delete_widgets()
    assert done(), f"waited too long until {what}"


def delete_widgets() -> None:
    """Delete widgets that are to be deleted later, which Qt does by itself in an event loop only."""
    from qtpy.QtCore import QCoreApplication, QEvent

    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def counted() -> dict[str, Any]:
    """Return what the viewer's process has and holds."""
    until(lambda: False, 0.3)
    delete_widgets()
    gc.collect()
    process, shared = psutil.Process(), Path("/dev/shm")
    return {
        "processes": len(process.children(recursive=True)),
        "threads": process.num_threads(),
        "open files": process.num_fds() if hasattr(process, "num_fds") else process.num_handles(),
        "shared memory": len(list(shared.iterdir())) if shared.is_dir() else 0,
        "temporary files": len(list(Path(tempfile.gettempdir()).rglob("*"))),
        "memory_mib": process.memory_info().rss / 2**20,
    }


COUNTED = ("processes", "threads", "open files", "shared memory", "temporary files")


def write_images(folder: Path) -> None:
    """Write six annotated images."""
    from napari_seg_trainer.annotations.annotated_image import AnnotatedImage

    for number in range(6):
        image, labels = discs(1000 + number)
        AnnotatedImage(image[None], labels, ("dapi",), f"cell_{number}", pixel_size=0.5).write(folder)


def discs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (YX) of bright discs, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIDE, SIDE), np.int32)
    rows, columns = np.indices(labels.shape)
    for number, (y, x) in enumerate(np.argwhere(np.ones((4, 4))) * 24 + 12, start=1):
        dy, dx = rng.integers(-2, 3, 2)
        labels[(rows - y - dy) ** 2 + (columns - x - dx) ** 2 <= rng.integers(6, 10) ** 2] = number
    return (rng.normal(100, 5, labels.shape) + 400 * (labels > 0)).astype(np.uint16), labels


if __name__ == "__main__":
    main()
