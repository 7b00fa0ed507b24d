"""Record what cellpose 3.1.1.3 answers, for the tests beside this file.

It needs that version, which does not get along with cellpose 4, so it runs in an environment of its own::

    uv run --isolated --no-project --with cellpose==3.1.1.3 python tests/cellpose/record.py

The networks have random weights, made anew on both sides from a seed, as real ones would fill 26 MB.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RECORDED, NAMES = HERE / "cellpose3.npz", HERE / "cellpose3_weights.json"
NUCLEI = HERE.parents[1] / "src" / "napari_seg_trainer" / "data" / "nuclei_dsb2018" / "train"
NOISE = 0.6
"""Standard deviation of what is added to perfect flows and probabilities."""


def weights(shapes):
    """Return random weights by name, such as a network could have."""
    found = {}
    for place, (name, shape) in enumerate(sorted(shapes.items())):
        rng = np.random.default_rng((3, place))
        if name.endswith("running_var"):
            values = rng.uniform(0.5, 2.0, shape)
        elif name.endswith("num_batches_tracked"):
            values = np.array(7)
        elif name.startswith("diam_"):
            values = np.full(shape, {"diam_mean": 30.0, "diam_labels": 21.5}[name])
        else:
            values = rng.normal(0.0, 0.5 / np.sqrt(max(1, np.prod(shape[1:]))), shape)
        found[name] = values.astype(np.int64 if name.endswith("num_batches_tracked") else np.float32)
    return found


def image():
    """Return a batch of two, BCYX."""
    return np.random.default_rng(4).random((2, 2, 64, 64)).astype(np.float32)


def answer(labels, flows):
    """Return flows (times 5) and probability, CYX, as a network gives them that has not learned everything."""
    cell = np.where(labels > 0, 4.0, -4.0)[np.newaxis]
    perfect = np.concatenate([5 * flows, cell])
    return (perfect + np.random.default_rng(5).normal(0, NOISE, perfect.shape)).astype(np.float32)


def main():
    import torch
    from cellpose import dynamics, version
    from cellpose.io import imread
    from cellpose.resnet_torch import CPnet

    assert version.startswith("3.1.1.3"), f"this is cellpose {version}"
    network = CPnet([2, 32, 64, 128, 256], 3, 3).eval()
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights(shapes).items()})
    with torch.no_grad():
        said, style, _ = network(torch.from_numpy(image()))
    # of objects smaller than 12 pixels, which a network is never shown, cellpose 4 merges some that cellpose 3 does not
    large = [
        path for path in sorted(NUCLEI.glob("*_labelled.tif")) if np.median(np.bincount(imread(path).flat)[1:]) > 200
    ]
    path = max(large, key=lambda path: imread(path).max())
    labels = imread(path).astype(np.int32)
    flows = dynamics.labels_to_flows([labels], device=torch.device("cpu"))[0][2:].astype(np.float16)
    noisy = answer(labels, flows.astype(np.float32))
    masks = dynamics.resize_and_compute_masks(
        noisy[:2], noisy[2], niter=200, flow_threshold=0.4, min_size=15, device=torch.device("cpu")
    )
    masks = masks[0] if isinstance(masks, tuple) else masks
    np.savez_compressed(
        RECORDED,
        answer=said.numpy(),
        style=style.numpy(),
        labels=labels.astype(np.uint16),
        flows=flows,
        masks=np.asarray(masks, np.uint16),
    )
    NAMES.write_text(json.dumps(shapes, indent=0) + "\n")
    print(f"{path.name}: {labels.max()} objects, {masks.max()} masks; {RECORDED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
