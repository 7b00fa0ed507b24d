"""Plain cellpose 3: trains its residual U-Net from scratch as `train_seg` does, and segments the test images.

Run by the benchmarks, with the Python of an environment of its own; prints one JSON object. Flows are computed
before the time is taken, and images with few objects are not left out, so that both sides learn from the same images.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import tifffile
import torch
from cellpose import dynamics, models, train


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder for the labels")
    parser.add_argument("--weights", help="segment with these, and train nothing")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    options = parser.parse_args()
    result = {}
    if options.weights:
        model = models.CellposeModel(pretrained_model=options.weights, gpu=torch.cuda.is_available())
    else:
        model = models.CellposeModel(pretrained_model=None, gpu=torch.cuda.is_available(), nchan=2, diam_mean=30.0)
        result = learn(model, options)
    options.output.mkdir(parents=True, exist_ok=True)
    for stem, image, _ in read(options.test):
        masks = model.eval(image, channels=[0, 0], diameter=None)[0]
        np.save(options.output / f"{stem}.npy", masks)
    print(json.dumps(result))


def learn(model, options):
    pairs = read(options.data)
    images = [image for _, image, _ in pairs]
    flows = dynamics.labels_to_flows([labels for _, _, labels in pairs], device=model.device)
    began = time.perf_counter()
    path, losses, _ = train.train_seg(
        model.net,
        train_data=images,
        train_labels=flows,
        channels=[0, 0],
        batch_size=options.batch,
        n_epochs=options.epochs,
        learning_rate=options.learning_rate,
        SGD=True,
        min_train_masks=0,
        save_path=str(options.output.parent),
        model_name="plain",
    )
    seconds = time.perf_counter() - began
    model.net.load_model(str(path), device=model.device)
    model.diam_labels = model.net.diam_labels.item()
    return {
        "train_seconds": seconds,
        "samples_per_second": len(images) * options.epochs / seconds,
        "loss": float(losses[-1]),
        "diameter": model.diam_labels,
    }


def read(folder):
    """Return stem, image and labels of each pair in an annotation folder."""
    files = sorted(path for path in folder.glob("*.tif") if not path.stem.endswith("_labelled"))
    return [
        (path.stem, tifffile.imread(path).squeeze(), tifffile.imread(path.with_name(f"{path.stem}_labelled.tif")))
        for path in files
    ]


if __name__ == "__main__":
    main()
