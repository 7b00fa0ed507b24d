"""A model in the words of the BioImage Model Zoo: its model description 0.5."""

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_seg_trainer.engines.portable import NETWORK_FILES, PortableNetwork
from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.model_folder import CARD_FILE
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

FORMAT = "0.5.12"
"""The first one in which channels may have any name; later readers take it, too."""

TEST_INPUT, TEST_OUTPUT = "test_input.npy", "test_output.npy"
SAMPLE_INPUT, SAMPLE_OUTPUT = "sample_input.tif", "sample_output.tif"
COVER, README = "cover.png", "README.md"
DESCRIPTION = "rdf.yaml"
NO_MODEL_FILES = frozenset(
    {TEST_INPUT, TEST_OUTPUT, SAMPLE_INPUT, SAMPLE_OUTPUT, COVER, README, DESCRIPTION, *NETWORK_FILES}
)
"""What a package has for other programs; a model is imported without it."""
SOFTWARE = "https://github.com/napari-seg-trainer/napari-seg-trainer"
_INPUT, _OUTPUT = "image", "output"
_SMALLEST_EXAMPLE = 256
_LONGEST_TEXT = 512
_EPSILON = 1e-20  # the format asks for one; this one changes nothing


@dataclass(frozen=True)
class Package:
    """What a description describes.

    Attributes
    ----------
    card : ModelCard
    spec : EngineSpec
        Of the model's engine.
    network : PortableNetwork
    hashes : mapping of str to str
        SHA-256 of each file, by name.
    authors : sequence of str
    license : str
        An SPDX identifier.
    """

    card: ModelCard
    spec: EngineSpec
    network: PortableNetwork
    hashes: Mapping[str, str]
    authors: Sequence[str]
    license: str


def describe_package(package: Package) -> dict[str, Any]:
    """Return the description, ready to be written as YAML."""
    card, network = package.card, package.network
    file = _files(package.hashes)
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": re.sub(r"[^A-Za-z0-9_+\- ()]", "_", f"{card.name} ({package.spec.title})"),
        "description": textwrap.shorten(summary(card, package.spec), _LONGEST_TEXT, placeholder=" …"),
        "authors": [{"name": author} for author in package.authors],
        "license": package.license,
        "timestamp": card.created.isoformat(),
        "documentation": file(README),
        "covers": [file(COVER)],
        "tags": ["2d", "instance-segmentation", *network.tags, "napari-seg-trainer"],
        "cite": [
            *({"text": text, "doi": doi} for text, doi in network.citations),
            {"text": "Trained with napari-seg-trainer", "url": SOFTWARE},
        ],
        "inputs": [_input(card, network) | _tensors(file(TEST_INPUT), file(SAMPLE_INPUT))],
        "outputs": [_output(card, network) | _tensors(file(TEST_OUTPUT), file(SAMPLE_OUTPUT))],
        "weights": {name: _with_hashes(entry, package.hashes) for name, entry in network.weights.items()},
        "attachments": [file(name) for name in sorted({*network.files, CARD_FILE})],
        "config": _config(card, network),
    }


def preprocessing(card: ModelCard) -> list[dict[str, Any]]:
    """Return the steps that scale a raw image as the model expects it.

    Raises
    ------
    LibraryError
        If the channels are scaled in ways that the format has no words for.
    """
    scalings = [channel.normalization for channel in card.channels]
    first = scalings[0]
    same = len({(each.mode, each.clip) for each in scalings}) == 1 and not first.skip_zeros
    if first.mode == "percentile":
        # it knows one pair of percentiles, of which the upper one is above 1
        same = same and len(set(scalings)) == 1 and first.high > 1
        kwargs = {"min_percentile": first.low, "max_percentile": first.high, "eps": _EPSILON}
        steps = [_step("scale_range", axes=["y", "x"], **kwargs)]
    else:
        gains = [1 / (each.high - each.low) for each in scalings]
        offsets = [-each.low * gain for each, gain in zip(scalings, gains, strict=True)]
        needed = set(gains) != {1.0} or set(offsets) != {0.0}
        steps = [_step("scale_linear", axis="channel", gain=gains, offset=offsets)] if needed else []
    if not same:
        told = "; ".join(f"{channel.name}: {normalization_text(channel)}" for channel in card.channels)
        raise LibraryError(
            f"Model '{card.name}' cannot be exported in this format, which cannot describe how its channels are "
            f"normalized ({told}). Train it with the same normalization for all channels."
        )
    clip = [_step("clip", min=0.0, max=1.0)] if first.clip else []
    return [*steps, *clip, _step("ensure_dtype", dtype="float32")]


def normalization_text(channel: ModelChannel) -> str:
    """Return in words how a channel is scaled."""
    how = channel.normalization
    what = "the percentiles" if how.mode == "percentile" else "the intensities"
    clip = ", values outside are clipped" if how.clip else ""
    zeros = ", pixels of value 0 are ignored and stay 0" if how.skip_zeros else ""
    return f"{what} {how.low:g} and {how.high:g} become 0 and 1{clip}{zeros}"


def summary(card: ModelCard, spec: EngineSpec) -> str:
    """Return what the model is, in a few sentences."""
    scale = f" at {card.pixel_size:g} µm per pixel" if card.pixel_size else ""
    parts = [f"{spec.title} model that finds objects in 2D images ({_channel_list(card)}){scale}."]
    if card.training_images:
        parts.append(f"Trained with napari-seg-trainer; annotated images it was trained on: {card.training_images}.")
    if "ap50" in card.scores:
        score = f"{card.scores['ap50']:.2f} (validation images: {card.validation_images})"
        parts.append(f"Average precision at IoU 0.5: {score}.")
    return " ".join(parts)


def example_side(network: PortableNetwork) -> int:
    """Return the side (pixels) of the square image that the network is tested with."""
    if network.fixed:
        return max(network.step)
    return max(
        least + max(0, -(-(_SMALLEST_EXAMPLE - least) // step)) * step
        for least, step in zip(_least(network), network.step, strict=True)
    )


def _least(network: PortableNetwork) -> list[int]:
    """Return the smallest height and width of which anything is left when the halo is cut off."""
    return [
        -(-(2 * halo + 1) * grid // step) * step
        for halo, grid, step in zip(network.halo, network.grid, network.step, strict=True)
    ]


def _input(card: ModelCard, network: PortableNetwork) -> dict[str, Any]:
    names = [channel.name for channel in card.channels]
    sizes: list[dict[str, Any]] = [{"size": length} for length in network.step]
    if not network.fixed:
        steps = zip(_least(network), network.step, strict=True)
        sizes = [{"size": {"min": least, "step": step}} for least, step in steps]
    return {
        "id": _INPUT,
        "description": "Intensities as the microscope gives them",
        "axes": _axes(network, names, sizes, _scale(card)),
        "data": {"type": "float32"},
        "preprocessing": preprocessing(card),
    }


def _output(card: ModelCard, network: PortableNetwork) -> dict[str, Any]:
    sizes: list[dict[str, Any]] = [{"size": {"tensor_id": _INPUT, "axis_id": axis}} for axis in "yx"]
    for size, halo in zip(sizes, network.halo, strict=True):
        size |= {"halo": halo} if halo else {}
    return {
        "id": _OUTPUT,
        "description": network.meaning,
        "axes": _axes(network, network.outputs, sizes, _scale(card, network.grid)),
        "data": {"type": "float32"},
    }


def _axes(
    network: PortableNetwork,
    channels: Iterable[str],
    sizes: Sequence[Mapping[str, Any]],
    scales: Sequence[Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Return the axes in the network's order; `sizes` and `scales` are those of Y and X."""
    axes: dict[str, dict[str, Any]] = {
        "B": {"type": "batch"},
        "C": {"type": "channel", "channel_names": list(channels)},
        "Y": {"type": "space", "id": "y", **sizes[0], **scales[0]},
        "X": {"type": "space", "id": "x", **sizes[1], **scales[1]},
    }
    return [axes[letter] for letter in network.axes]


def _scale(card: ModelCard, grid: tuple[int, int] = (1, 1)) -> list[dict[str, Any]]:
    """Return unit and pixel size along Y and X.

    Readers compute sizes as ``int(size * scale / scale)``. With few binary digits that is exact; with all of them,
    112 pixels of 0.325 µm become 111.
    """
    if card.pixel_size is None:
        return [{"scale": float(each)} for each in grid]
    size = float(np.float32(card.pixel_size))
    return [{"unit": "micrometer", "scale": size * each} for each in grid]


def _config(card: ModelCard, network: PortableNetwork) -> dict[str, Any]:
    values = card.hyperparameters
    training = {
        "training_epochs": card.epochs,
        "training_batch_size": values.get("batch_size"),
        "initial_learning_rate": values.get("learning_rate"),
    }
    told = card.model_dump(mode="json", include={"parent", "best_epoch", "training_images", "validation_images"})
    return {
        "bioimageio": {
            "model_parameter_count": network.parameters,
            "task": "instance segmentation",
            "training": {name: value for name, value in training.items() if value is not None},
        },
        **network.config,
        "napari_seg_trainer": told
        | {"pixel_size": card.pixel_size, "object_diameter": card.object_diameter}
        | {"scores": dict(card.scores), "hyperparameters": dict(values), "versions": dict(card.versions)},
    }


def _files(hashes: Mapping[str, str]) -> Any:
    def file(name: str) -> dict[str, str]:
        return {"source": name, "sha256": hashes[name]}

    return file


def _with_hashes(entry: Mapping[str, Any], hashes: Mapping[str, str]) -> dict[str, Any]:
    """Return an entry with the hash of each file that it names."""
    found = {key: _with_hashes(value, hashes) if isinstance(value, Mapping) else value for key, value in entry.items()}
    return found | ({"sha256": hashes[str(entry["source"])]} if "source" in entry else {})


def _tensors(test: dict[str, str], sample: dict[str, str]) -> dict[str, dict[str, str]]:
    return {"test_tensor": test, "sample_tensor": sample}


def _step(name: str, **kwargs: Any) -> dict[str, Any]:
    return {"id": name, "kwargs": kwargs}


def _channel_list(card: ModelCard) -> str:
    return ", ".join(channel.name for channel in card.channels)
