"""Samples a second of trainings on a GPU: both engines, and plain StarDist and Cellpose where these see it, in turn.

It takes at most 8 minutes, on the built-in images. Without a GPU it runs in small, which says that it works::

    python benchmarks/gpu.py [--cellpose3 PYTHON]

A peer that sees no GPU is not run, and named.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import AS_CELLPOSE, machine, plain_cellpose, steps_of, train_ours, train_plain

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.schema.events import Started

ASK_TORCH = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"
ASK_TENSORFLOW = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')) or '')"
LARGE = {"stardist": (12, 256, 8), "cellpose": (12, 224, 8)}
SMALL = {"stardist": (2, 64, 2), "cellpose": (2, 64, 2)}
"""Epochs, side of the patches (pixels), and samples a step."""


def main() -> None:
    """Train all in turn and print samples a second, and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cellpose3", type=Path, help="Python of an environment with cellpose 3")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    gpu = answer(sys.executable, ASK_TORCH)
    sizes = LARGE if gpu else SMALL
    result: dict[str, Any] = {"machine": machine(), "gpu": gpu or None, "rates": {}, "left out": {}}
    rates, left = result["rates"], result["left out"]
    with TemporaryDirectory() as folder:
        rates["stardist"], result["stardist computes on"] = ours(Path(folder), "stardist", sizes)
        if gpu and not answer(sys.executable, ASK_TENSORFLOW):
            left["plain stardist"] = "its TensorFlow sees no GPU"
        else:
            rates["plain stardist"] = plain_stardist(sizes)
        rates["cellpose"], result["cellpose computes on"] = ours(Path(folder), "cellpose", sizes)
        if options.cellpose3 is None:
            left["plain cellpose"] = "no environment with cellpose 3 is given (--cellpose3)"
        elif gpu and not answer(options.cellpose3, ASK_TORCH):
            left["plain cellpose"] = "its PyTorch sees no GPU"
        else:
            rates["plain cellpose"] = plain_cellpose_rate(options.cellpose3, Path(folder), sizes)
    sys.stdout.write((json.dumps(result) if options.json else told(result)) + "\n")


def told(result: dict[str, Any]) -> str:
    """Return the result for people."""
    lines = [str(result["machine"]), result["gpu"] or "no GPU: run in small, which says no more than that it works"]
    for name, rate in result["rates"].items():
        plain = result["rates"].get(f"plain {name}")
        ratio = f", {rate / plain:.2f} times plain {name}" if plain else ""
        place = f" on {result[f'{name} computes on']}" if f"{name} computes on" in result else ""
        lines.append(f"{name}{place}: {rate:.1f} samples a second{ratio}")
    return "\n".join([*lines, *(f"{name}: left out, as {why}" for name, why in result["left out"].items())])


def answer(python: str | Path, question: str) -> str:
    """Return what a process of that Python says; nothing where it fails."""
    done = subprocess.run([str(python), "-c", question], capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 and done.stdout.strip() else ""


def ours(home: Path, engine: str, sizes: dict[str, tuple[int, int, int]]) -> tuple[float, str]:
    """Train with this project; return samples a second, and what computed."""
    epochs, side, batch = sizes[engine]
    values = {"epochs": epochs, "patch_size": side, "batch_size": batch, "augmentation": 4.0}
    values |= {"grid": 2} if engine == "stardist" else AS_CELLPOSE | {"patch_size": side}
    folders = builtin_folder("nuclei_dsb2018", "train"), builtin_folder("nuclei_dsb2018", "test")
    run, times = train_ours(home, engine, engine, data=folders[:1], validation_data=folders[1:], hyperparameters=values)
    device = next(event.device for event in run.events() if isinstance(event, Started))
    return steps_of(run) * batch * epochs / times["train_seconds"], device


def plain_stardist(sizes: dict[str, tuple[int, int, int]]) -> float:
    """Train plain StarDist with the same numbers; return samples a second."""
    epochs, side, batch = sizes["stardist"]
    steps = 4 * 24 // batch
    words: list[object] = ["--data", builtin_folder("nuclei_dsb2018", "train"), "--epochs", epochs]
    words = [*words, "--validation", builtin_folder("nuclei_dsb2018", "test"), "--steps", steps]
    found = train_plain([str(word) for word in [*words, "--patch", side, "--batch", batch]])
    return float(steps * batch * epochs / found["train_seconds"])


def plain_cellpose_rate(python: Path, home: Path, sizes: dict[str, tuple[int, int, int]]) -> float:
    """Train plain cellpose 3 on the same images; return samples a second."""
    epochs, _, batch = sizes["cellpose"]
    words: list[object] = ["--data", builtin_folder("nuclei_dsb2018", "train"), "--output", home / "plain"]
    words = [*words, "--test", builtin_folder("nuclei_dsb2018", "test"), "--epochs", 4 * epochs]
    found = plain_cellpose(python, [str(word) for word in [*words, "--batch", batch, "--learning-rate", 0.01]])
    return float(found["samples_per_second"])


if __name__ == "__main__":
    main()
