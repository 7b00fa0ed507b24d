"""The report as one HTML page that needs nothing else; every text in it is escaped."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from string import Template

from napari_seg_trainer.evaluation.learning_curve import LearningCurve
from napari_seg_trainer.evaluation.matching import Matching
from napari_seg_trainer.evaluation.scores import Scores, pool, score_key
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelCard

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { margin-bottom: 0; overflow-wrap: anywhere; }
h2 { margin-top: 2.2rem; border-bottom: 2px solid #0072B2; }
.lead { color: #555; margin-top: 0.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: 0.25rem 0.7rem; text-align: right; border-bottom: 1px solid #ddd; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
thead th { background: #f2f6f9; }
table.facts td { text-align: left; overflow-wrap: anywhere; }
tr.all td { font-weight: 600; border-top: 2px solid #0072B2; }
img { max-width: 100%; height: auto; }
dt { font-weight: 600; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="lead">$lead</p>
$body
</body>
</html>
""")

_WORDS = (
    (
        "IoU",
        "How well two outlines cover each other: the shared area divided by the area that either covers. 1 is perfect.",
    ),
    ("Found", "A predicted object counts as found if its IoU with a true one is at least the limit in the table."),
    ("Precision", "Of the objects that the model drew, the share that is real."),
    ("Recall", "Of the real objects, the share that the model found."),
    ("F1", "Precision and recall in one number."),
    ("AP", "Found / (found + made up + missed); the score that most papers give as average precision."),
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
        Whose facts are told.
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
    sections = [
        *([("In plain words, on the validation images", _list(verdict))] if verdict else []),
        ("How good it is", _pooled_table(scores) if scores.images else "<p>No images were scored.</p>"),
        *([("With fewer images", _curve_table(curve, scores))] if curve and curve.points and scores.images else []),
        *((title, _picture(title, png)) for title, png in figures),
        *([("Every image", _image_table(scores))] if scores.images else []),
        ("How it was made", _rows(_facts(card), "facts")),
        ("For the methods of a paper", f"<p>{escape(methods(card))}</p>"),
        ("What the words mean", f"<dl>{''.join(f'<dt>{word}</dt><dd>{text}</dd>' for word, text in _WORDS)}</dl>"),
        *([("How to cite", _citations(citations))] if citations else []),
    ]
    return _PAGE.substitute(
        title=escape(card.name),
        lead=escape(_lead(card)),
        body="\n".join(f"<h2>{escape(title)}</h2>\n{body}" for title, body in sections),
    )


def methods(card: ModelCard) -> str:
    """Return a paragraph for the methods of a paper: what was trained, on what, how, and how good it is."""
    versions = ", ".join(f"{name} {version}" for name, version in card.versions.items() if name != PACKAGE)
    start = f"starting from {card.parent}" if card.parent else "from scratch"
    parts = [
        f"A model of the kind {card.engine} was trained with {PACKAGE} {card.versions.get(PACKAGE, '')}".rstrip()
        + (f" ({versions})" if versions else "")
        + f", {start}, on {_counted(card.training_images, 'annotated image')}; {card.validation_images:,} validated.",
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
    return f"Average precision on {_counted(count, f'{where} image')} was {', '.join(told)}." if told else ""


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def _lead(card: ModelCard) -> str:
    made = f"A {card.engine} model made on {card.created:%Y-%m-%d}"
    if not card.training_images:
        return f"{made}."
    return (
        f"{made} from {_counted(card.training_images, 'image')}; {card.validation_images:,} more chose the best epoch."
    )


def _facts(card: ModelCard) -> list[tuple[str, str]]:
    facts = [
        ("Engine", card.engine),
        ("Made", f"{card.created:%Y-%m-%d %H:%M %Z}"),
        ("Started from", card.parent or "nothing: trained from scratch"),
        ("Training images", f"{card.training_images:,}"),
        ("Validation images", f"{card.validation_images:,}"),
        ("Epochs", _number(card.epochs)),
        ("Best epoch (the one kept)", _number(card.best_epoch)),
        *((f"Channel {i}", f"{c.name}: {_scaling(c.normalization)}") for i, c in enumerate(card.channels, 1)),
        ("Pixel size", "unknown" if card.pixel_size is None else f"{card.pixel_size:g} µm"),
        ("Typical object", "unknown" if card.object_diameter is None else f"{card.object_diameter:.1f} pixels across"),
        ("Seed", _number(card.seed)),
        *((f"Hyperparameter {name}", str(value)) for name, value in card.hyperparameters.items()),
        *((f"Version of {name}", version) for name, version in card.versions.items()),
    ]
    return [(escape(name), escape(value)) for name, value in facts]


def _scaling(normalization: Normalization) -> str:
    unit = "percentiles" if normalization.mode == "percentile" else "intensities"
    clip = ", clipped" if normalization.clip else ""
    return f"{unit} {normalization.low:g} to {normalization.high:g} become 0 to 1{clip}"


def _pooled_table(scores: Scores) -> str:
    head = "<th>IoU at least</th>" + "".join(
        f"<th>{name}</th>" for name in ("Found", "Missed", "Made up", "Precision", "Recall", "F1", "AP", "PQ")
    )
    rows = [
        [f"{m.iou_threshold:g}", f"{m.true_positive:,}", f"{m.false_negative:,}", f"{m.false_positive:,}"]
        + [f"{value:.3f}" for value in (m.precision, m.recall, m.f1, m.ap, m.pq)]
        for m in pool(scores.images)
    ]
    count = _counted(len(scores.images), "validation image")
    return f"<p>All objects of {count} counted together.</p>\n{_table(f'<tr>{head}</tr>', rows)}"


def _curve_table(curve: LearningCurve, scores: Scores) -> str:
    head = "<th>Training images</th><th>Precision</th><th>Recall</th><th>F1</th><th>AP</th>"
    found = [(point.images, point.scores) for point in reversed(curve.points)] + [(curve.images, scores)]
    keys = [score_key(measure, 0.5) for measure in ("precision", "recall", "f1", "ap")]
    rows = [[f"{images:,}", *(f"{own.pooled[key]:.3f}" for key in keys)] for images, own in found]
    told = "The same training, with as many steps, on some of the images; on the same validation images, at IoU 0.5."
    return f"<p>{told}</p>\n{_table(f'<tr>{head}</tr>', rows)}"


def _image_table(scores: Scores) -> str:
    thresholds = [matching.iou_threshold for matching in scores.images[0].matchings]
    measures = ("precision", "recall", "f1", "ap")
    top = "".join(f'<th colspan="{len(measures)}">IoU at least {threshold:g}</th>' for threshold in thresholds)
    names = "".join(f"<th>{name}</th>" for name in ("Precision", "Recall", "F1", "AP") * len(thresholds))
    keys = [score_key(measure, threshold) for threshold in thresholds for measure in measures]
    rows = [
        [escape(image.image), f"{image.matchings[0].true_objects:,}"]
        + [_score(matching, measure) for matching in image.matchings for measure in measures]
        for image in scores.images
    ]
    total = f"{sum(image.matchings[0].true_objects for image in scores.images):,}"
    together = [
        [name, objects, *(f"{own[key]:.3f}" for key in keys)]
        for name, objects, own in (("all together", total, scores.pooled), ("mean of the images", "", scores.mean))
    ]
    head = f'<tr><th rowspan="2">Image</th><th rowspan="2">Objects</th>{top}</tr>\n<tr>{names}</tr>'
    return _table(head, rows, together)


def _score(matching: Matching, measure: str) -> str:
    empty = not matching.true_objects and not matching.predicted_objects
    return "–" if empty else f"{getattr(matching, measure):.3f}"


def _table(head: str, rows: Sequence[Sequence[str]], last: Sequence[Sequence[str]] = ()) -> str:
    """Return a table; the cells are HTML."""
    lines = [f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows]
    lines += [f'<tr class="all">{"".join(f"<td>{cell}</td>" for cell in row)}</tr>' for row in last]
    body = "\n".join(lines)
    return f'<div class="wide"><table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _rows(facts: Iterable[tuple[str, str]], kind: str) -> str:
    body = "\n".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts)
    return f'<table class="{kind}">\n{body}\n</table>'


def _picture(title: str, png: bytes) -> str:
    return f'<img alt="{escape(title)}" src="data:image/png;base64,{b64encode(png).decode("ascii")}">'


def _citations(sources: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(source)}</li>" for source in sources)
    return f"<p>If a figure of yours rests on this model, cite those who invented its method:</p><ul>{items}</ul>"


def _number(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
