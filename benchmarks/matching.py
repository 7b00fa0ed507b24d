"""Time to match objects, against `stardist.matching.matching` and `cellpose.metrics.average_precision`.

All three count what is found, made up and missed at IoU 0.5, 0.7 and 0.9 on the same labels, in turn. Each peer has a
process of its own::

    python benchmarks/matching.py
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import machine

from napari_seg_trainer.evaluation.matching import IOU_THRESHOLDS, match

SIZES = {"512 × 512, 200 objects": (512, 200), "2048 × 2048, 3,000 objects": (2048, 3000)}


def main() -> None:
    """Compare with both, each in a process of its own: TensorFlow's and PyTorch's worlds do not mix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--against", choices=("stardist", "cellpose"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.against:
        sys.stdout.write(json.dumps(ratios(options.against, options.pairs)) + "\n")
        return
    result: dict[str, Any] = {"machine": machine()}
    for other in ("stardist", "cellpose"):
        command = [sys.executable, __file__, "--against", other, "--pairs", str(options.pairs)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        result[other] = json.loads(done.stdout.splitlines()[-1])
        if not options.json:
            for size, ratio in result[other].items():
                sys.stdout.write(f"{size}: {ratio:.3f} of the time of {other}\n")
    if options.json:
        sys.stdout.write(json.dumps(result) + "\n")


def ratios(other: str, pairs: int) -> dict[str, float]:
    """Return by size the median ratio of our time to the other's."""
    theirs = {"stardist": stardist, "cellpose": cellpose}[other]()
    found = {}
    for size, (side, count) in SIZES.items():
        truth = squares(side, count)
        prediction = np.roll(truth, (2, 1), (0, 1))
        measured = []
        for _ in range(pairs + 1):  # the first one warms up
            ours = seconds(lambda a=truth, b=prediction: match(a, b, IOU_THRESHOLDS))
            measured.append(ours / seconds(lambda a=truth, b=prediction: theirs(a, b)))
        found[size] = statistics.median(measured[1:])
    return found


def stardist() -> Callable[[Any, Any], Any]:
    """Return StarDist's matching."""
    from stardist.matching import matching

    return lambda truth, prediction: matching(truth, prediction, thresh=IOU_THRESHOLDS)


def cellpose() -> Callable[[Any, Any], Any]:
    """Return Cellpose's matching."""
    from cellpose.metrics import average_precision

    return lambda truth, prediction: average_precision([truth], [prediction], threshold=list(IOU_THRESHOLDS))


def seconds(function: Callable[[], Any]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def squares(side: int, count: int) -> np.ndarray:
    """Return labels of squares on a grid."""
    columns = int(np.ceil(count**0.5))
    step = side // columns
    labels = np.zeros((side, side), np.int32)
    for number in range(count):
        y, x = (step * place for place in divmod(number, columns))
        labels[y : y + step - 3, x : x + step - 3] = number + 1
    return labels


if __name__ == "__main__":
    main()
