"""The report as one HTML page that needs nothing else; every text in it is escaped."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from napari_seg_trainer.annotations.findings import counted
from napari_seg_trainer.evaluation.comparison import LearningCurve
from napari_seg_trainer.evaluation.matching import Matching
from napari_seg_trainer.evaluation.scores import Scores, pool, score_key
from napari_seg_trainer.pages import VERDICT
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelCard

if TYPE_CHECKING:  # only what writes a report needs it
    from jinja2 import Template

_WORDS = (
    (
        "IoU",
        "Intersection over union: the overlap of two objects divided by their joint area. 1 is perfect.",
    ),
    ("Found", "A predicted object counts as found if its IoU with a true one is at least the limit in the table."),
    ("Precision", "Fraction of the detections that are real."),
    ("Recall", "Fraction of the real objects that are found."),
    ("F1", "Harmonic mean of precision and recall."),
    ("AP", "Found / (found + false positives + missed); called average precision in most papers."),
    ("PQ", "Panoptic quality: F1 times the mean IoU of the objects found."),
)
PACKAGE = "napari-seg-trainer"
_NAMED = ("epochs", "batch_size", "learning_rate", "patch_size", "augmentation")


def page(
    card: ModelCard,
    scores: Scores,
    figures: Iterable[tuple[str, bytes]],
    verdict: Sequence[str] = (),
    curve: LearningCurve | None = None,
    citations: Sequence[str] = (),
) -> str:
    """Return the report's HTML.

    Parameters
    ----------
    card : ModelCard
        Whose facts are shown.
    scores : Scores
        For the tables.
    figures : iterable of (str, bytes)
        A title and a PNG each.
    verdict : sequence of str
        In plain words, on the validation images.
    curve : LearningCurve, optional
        How models of some of the training images do.
    citations : sequence of str
        What is to be cited where the model is used.
    """
    has_curve = curve is not None and curve.points and scores.images
    return _template().render(
        card=card,
        lead=_lead(card),
        verdict=verdict,
        scored=counted(len(scores.images), "validation image"),
        pooled=_pooled(scores),
        curve=_curve(curve, scores) if curve is not None and has_curve else [],
        figures=[(title, b64encode(png).decode("ascii")) for title, png in figures],
        images=_images(scores) if scores.images else None,
        facts=_facts(card),
        methods=methods(card),
        words=_WORDS,
        citations=citations,
        page=VERDICT,
    )


@cache
def _template() -> "Template":
    from jinja2 import Environment

    text = (files(__package__) / "report.html.jinja").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)


def methods(card: ModelCard) -> str:
    """Return a paragraph for the methods of a paper: what was trained, on what, how, and how good it is."""
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items() if name != PACKAGE)
    start = f"starting from {card.parent}" if card.parent else "from scratch"
    parts = [
        f"A model of the kind {card.engine} was trained with {PACKAGE} {card.versions.get(PACKAGE, '')}".rstrip()
        + (f" ({versions})" if versions else "")
        + f", {start}, on {counted(card.training_images, 'annotated image')}; {card.validation_images:,} validated.",
        f"Channels were {'; '.join(f'{c.name} ({_scaling(c.normalization)})' for c in card.channels)}.",
        f"All images were brought to {card.pixel_size:g} µm per pixel." if card.pixel_size else "",
        _settings(card),
        _average_precision("validation", card.validation_images, card.scores),
        _average_precision("test", card.test_images, card.test_scores),
    ]
    return " ".join(filter(None, parts))


def _settings(card: ModelCard) -> str:
    known = {name: card.hyperparameters[name] for name in _NAMED if name in card.hyperparameters}
    told = [f"{name.replace('_', ' ')} {value}" for name, value in known.items()]
    told += [] if card.seed is None else [f"seed {card.seed}"]
    return f"Parameters: {', '.join(told)}; the weights are those of epoch {_number(card.best_epoch)}." if told else ""


def _average_precision(where: str, count: int, scores: Mapping[str, float]) -> str:
    told = [f"{scores[f'ap{iou}0']:.3f} at IoU 0.{iou}" for iou in (5, 7, 9) if f"ap{iou}0" in scores]
    return f"Average precision on {counted(count, f'{where} image')} was {', '.join(told)}." if told else ""


def _lead(card: ModelCard) -> str:
    made = f"A {card.engine} model made on {card.created:%Y-%m-%d}"
    if not card.training_images:
        return f"{made}."
    return f"{made} from {counted(card.training_images, 'image')}; {card.validation_images:,} more for validation."


def _facts(card: ModelCard) -> list[tuple[str, str]]:
    return [
        ("Engine", card.engine),
        ("Made", f"{card.created:%Y-%m-%d %H:%M %Z}"),
        ("Start model", card.parent or "none: trained from scratch"),
        ("Training images", f"{card.training_images:,}"),
        ("Validation images", f"{card.validation_images:,}"),
        ("Epochs", _number(card.epochs)),
        ("Best epoch (used for the model)", _number(card.best_epoch)),
        *((f"Channel {i}", f"{c.name}: {_scaling(c.normalization)}") for i, c in enumerate(card.channels, 1)),
        ("Pixel size", "unknown" if card.pixel_size is None else f"{card.pixel_size:g} µm"),
        ("Typical object", "unknown" if card.object_diameter is None else f"{card.object_diameter:.1f} pixels across"),
        ("Seed", _number(card.seed)),
        *((f"Hyperparameter {name}", str(value)) for name, value in card.hyperparameters.items()),
        *((f"Version of {name}", version) for name, version in card.versions.items()),
    ]


def _scaling(normalization: Normalization) -> str:
    unit = "percentiles" if normalization.mode == "percentile" else "intensities"
    clip = ", clipped" if normalization.clip else ""
    zeros = "; pixels of value 0 are ignored and stay 0" if normalization.skip_zeros else ""
    return f"{unit} {normalization.low:g} to {normalization.high:g} become 0 to 1{clip}{zeros}"


def _pooled(scores: Scores) -> list[list[str]]:
    return [
        [f"{m.iou_threshold:g}", f"{m.true_positive:,}", f"{m.false_negative:,}", f"{m.false_positive:,}"]
        + [f"{value:.3f}" for value in (m.precision, m.recall, m.f1, m.ap, m.pq)]
        for m in (pool(scores.images) if scores.images else ())
    ]


def _curve(curve: LearningCurve, scores: Scores) -> list[list[str]]:
    found = [(point.images, point.scores) for point in reversed(curve.points)] + [(curve.images, scores)]
    keys = [score_key(measure, 0.5) for measure in ("precision", "recall", "f1", "ap")]
    return [[f"{images:,}", *(f"{own.pooled[key]:.3f}" for key in keys)] for images, own in found]


def _images(scores: Scores) -> dict[str, Any]:
    thresholds = [matching.iou_threshold for matching in scores.images[0].matchings]
    measures = ("precision", "recall", "f1", "ap")
    keys = [score_key(measure, threshold) for threshold in thresholds for measure in measures]
    total = f"{sum(image.matchings[0].true_objects for image in scores.images):,}"
    return {
        "heads": [
            [_spanning("rowspan", 2, "Image"), _spanning("rowspan", 2, "Objects")]
            + [_spanning("colspan", len(measures), f"IoU at least {threshold:g}") for threshold in thresholds],
            ["Precision", "Recall", "F1", "AP"] * len(thresholds),
        ],
        "rows": [
            [image.image, f"{image.matchings[0].true_objects:,}"]
            + [_score(matching, measure) for matching in image.matchings for measure in measures]
            for image in scores.images
        ],
        "last": [
            [name, objects, *(f"{own[key]:.3f}" for key in keys)]
            for name, objects, own in (("all together", total, scores.pooled), ("mean of the images", "", scores.mean))
        ],
    }


def _spanning(span: str, count: int, text: str) -> dict[str, str | int]:
    return {"span": span, "count": count, "text": text}


def _score(matching: Matching, measure: str) -> str:
    empty = not matching.true_objects and not matching.predicted_objects
    return "–" if empty else f"{getattr(matching, measure):.3f}"


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"
