"""Plain cellpose 3: trains its residual U-Net from scratch as `train_seg` does, and segments the test images.

Run by the benchmarks, with the Python of an environment of its own; prints one JSON object. Flows are computed
before the time is taken, and images with few objects are not left out, so that both sides learn from the same images.

With ``--seconds`` all else is the default of `train_seg` (3.1.1.3: AdamW, learning rate 0.005, weight decay 0.00001,
batches of 8), or with ``--as-command`` that of ``cellpose --train`` (SGD, learning rate 0.2), and as many epochs are
trained as fit: the rate falls over the epochs, so that their number must be known before. A short training, which does
not count, tells it. An image with several channels is taken as its mean, grey, which is the command's default.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import tifffile
import torch
from cellpose import dynamics, models, train

GREY = [0, 0]
PROBE = 10
"""Epochs of the short training that tells how long an epoch takes."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder for the labels")
    parser.add_argument("--weights", help="segment with these, and train nothing")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, help="train as many epochs as fit, with the defaults")
    parser.add_argument("--as-command", action="store_true", help="take the defaults of the command")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    result = {}
    if options.weights:
        model = models.CellposeModel(pretrained_model=options.weights, gpu=torch.cuda.is_available())
    else:
        model, result = learn(options)
    began = time.perf_counter()
    for stem, image, _ in read(options.test):
        masks = model.eval(image, channels=GREY, diameter=None)[0]
        np.save(options.output / f"{stem}.npy", masks)
    result["aside_seconds"] = result.get("aside_seconds", 0.0) + time.perf_counter() - began
    print(json.dumps(result))


def learn(options):
    """Return a trained model, and what is told of the training."""
    pairs = read(options.data)
    images = [image for _, image, _ in pairs]
    flows = dynamics.labels_to_flows([labels for _, _, labels in pairs], device=new_model(0).device)
    began = time.perf_counter()
    epochs = epochs_in(options, images, flows) if options.seconds else options.epochs
    aside = time.perf_counter() - began
    model, path, losses, seconds = fit(options, images, flows, epochs)
    model.net.load_model(str(path), device=model.device)
    model.diam_labels = model.net.diam_labels.item()
    return model, {
        "epochs": epochs,
        "train_seconds": seconds,
        "aside_seconds": aside,
        "samples_per_second": len(images) * epochs / seconds,
        "loss": float(losses[-1]),
        "diameter": model.diam_labels,
    }


def new_model(seed):
    """Return a network with random weights."""
    torch.manual_seed(seed)
    return models.CellposeModel(pretrained_model=None, gpu=torch.cuda.is_available(), nchan=2, diam_mean=30.0)


def fit(options, images, flows, epochs):
    """Train from scratch; return the model, the file of its weights, the losses and the seconds."""
    model = new_model(options.seed)
    began = time.perf_counter()
    path, losses, _ = train.train_seg(
        model.net,
        train_data=images,
        train_labels=flows,
        channels=GREY,
        n_epochs=epochs,
        min_train_masks=0,
        save_path=str(options.output.parent),
        model_name="plain",
        **settings(options),
    )
    return model, path, losses, time.perf_counter() - began


def settings(options):
    """Return what is not the default of `train_seg`."""
    if options.seconds:
        return {"learning_rate": 0.2, "SGD": True} if options.as_command else {}
    return {"batch_size": options.batch, "learning_rate": options.learning_rate, "SGD": True}


def epochs_in(options, images, flows):
    """Return how many epochs fit into the seconds, at least one."""
    fit(options, images, flows, 1)  # what is done but once in a process
    around, probe = (fit(options, images, flows, epochs)[-1] for epochs in (0, PROBE))
    return max(1, round((options.seconds - around) * PROBE / (probe - around)))


def read(folder):
    """Return stem, image and labels of each pair in an annotation folder."""
    files = sorted(path for path in folder.glob("*.tif") if not path.stem.endswith("_labelled"))
    return [
        (path.stem, tifffile.imread(path).squeeze(), tifffile.imread(path.with_name(f"{path.stem}_labelled.tif")))
        for path in files
    ]


if __name__ == "__main__":
    main()
