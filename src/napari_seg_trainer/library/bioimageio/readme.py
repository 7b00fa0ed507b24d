"""What a person reads who gets a model from the BioImage Model Zoo."""

from collections.abc import Iterator

from napari_seg_trainer.engines.portable import PortableNetwork
from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.library.bioimageio.description import SOFTWARE, normalization_text, summary
from napari_seg_trainer.schema.model_card import ModelCard

_SCORES = {
    "precision50": "precision at IoU 0.5",
    "recall50": "recall at IoU 0.5",
    "f1_50": "F1 at IoU 0.5",
    "ap50": "average precision at IoU 0.5",
    "ap70": "average precision at IoU 0.7",
    "ap90": "average precision at IoU 0.9",
}


def readme(card: ModelCard, spec: EngineSpec, network: PortableNetwork, real_example: bool) -> str:
    """Return the package's documentation, in Markdown.

    Parameters
    ----------
    card : ModelCard
    spec : EngineSpec
    network : PortableNetwork
    real_example : bool
        Whether the test image is a real one; else it says that it is drawn.
    """
    parts = [
        f"# {card.name}",
        summary(card, spec),
        "## Images",
        *_images(card),
        f"## Segmenting with {spec.title}",
        "Unpack the package, and in Python:",
        f"```python\nimport numpy as np\n\n{_normalize(card)}\n\n{network.usage}\n```",
        f"The package can also be imported into [napari-seg-trainer]({SOFTWARE}), which does all of "
        "this automatically.",
        "## Training",
        "\n".join(f"- {line}" for line in _training(card)),
        "## Validation",
        *_validation(card),
        f"The test image of this package is {'a crop of a real one' if real_example else 'synthetic'}. It only "
        "checks that the network gives the same result elsewhere, not how good the model is.",
    ]
    return "\n\n".join(parts) + "\n"


def _images(card: ModelCard) -> Iterator[str]:
    rows = [f"| {channel.name} | {normalization_text(channel)} |" for channel in card.channels]
    yield "\n".join(["| channel | normalization |", "| --- | --- |", *rows])
    if card.pixel_size is not None:
        yield f"Images must have {card.pixel_size:g} µm per pixel; scale others to that first."
    if card.object_diameter is not None:
        scale = "" if card.pixel_size is not None else " Scale images so that objects have this size."
        yield f"The training objects are typically {card.object_diameter:.0f} pixels across.{scale}"


def _normalize(card: ModelCard) -> str:
    """Return Python that normalizes ``image``."""
    scalings = [channel.normalization for channel in card.channels]
    lines = ["# image: an array with axes YXC, its channels in the order above"]
    if scalings[0].mode == "percentile":
        percentiles = f"({scalings[0].low:g}, {scalings[0].high:g})"
        lines.append(f"low, high = np.percentile(image, {percentiles}, axis=(0, 1), keepdims=True)")
    else:
        low, high = [each.low for each in scalings], [each.high for each in scalings]
        lines.append(f"low, high = np.array({low}), np.array({high})")
    lines.append("image = ((image - low) / (high - low)).astype(np.float32)")
    return "\n".join([*lines, "image = np.clip(image, 0, 1)"] if scalings[0].clip else lines)


def _training(card: ModelCard) -> Iterator[str]:
    if card.training_images:
        yield f"images: {card.training_images} for training, {card.validation_images} for validation"
    if card.parent is not None:
        yield f"started from: {card.parent}"
    if card.epochs is not None:
        best = "" if card.best_epoch is None else f", the best one was {card.best_epoch}"
        yield f"epochs: {card.epochs}{best}"
    given = {name.replace("_", " "): value for name, value in card.hyperparameters.items() if name != "epochs"}
    yield from (f"{name}: {value}" for name, value in given.items() if value is not None)
    yield from (f"{name} {version}" for name, version in card.versions.items())
    yield f"made: {card.created:%Y-%m-%d}"


def _validation(card: ModelCard) -> Iterator[str]:
    rows = [f"| {text} | {card.scores[name]:.3f} |" for name, text in _SCORES.items() if name in card.scores]
    if rows:
        yield f"On the validation images ({card.validation_images}), which also chose the best epoch:"
        yield "\n".join(["| score | value |", "| --- | --- |", *rows])
    yield (
        "Before you trust it on your own images, label a few of them by hand and compare: "
        "`napari-seg-trainer evaluate`, or `stardist.matching.matching`."
    )
