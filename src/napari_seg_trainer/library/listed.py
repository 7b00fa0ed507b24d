"""What is said of models, in a line or in a table. Knows no Qt."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.engines.protocol import EngineSpec
from napari_seg_trainer.engines.registry import engine_specs, missing
from napari_seg_trainer.files import read_bytes
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.pretrained import fetch, starters
from napari_seg_trainer.schema.job import Normalization
from napari_seg_trainer.schema.model_card import ModelCard
from napari_seg_trainer.schema.parameters import parameters_of

Facts = dict[str, str]
"""What is known of a model, by what it is called, in the order in which it is reported."""

PLAIN_WORDS = "In plain words"
"""The fact that is sentences."""
_MISTAKES = ("missed", "extra", "merged", "split")
_IOU_PERCENT = (50, 70, 90)
_MEASURES = {"AP": "ap", "F1": "f1_", "Precision": "precision", "Recall": "recall", "Panoptic quality": "pq"}
_EVALUATE = "To compare them, score them on the same annotation folder, below."


@dataclass(frozen=True)
class ListedModel:
    """A model in the library, with the engine that runs it.

    Attributes
    ----------
    model : LibraryModel
    spec : EngineSpec, optional
        None if there is no such engine here.
    lacks : tuple of str
        What the engine needs and is not installed, by import name.
    """

    model: LibraryModel
    spec: EngineSpec | None = None
    lacks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self.model.card

    @property
    def kind(self) -> str:
        """What people call its engine."""
        return self.spec.title if self.spec else self.card.engine

    @property
    def ap50(self) -> float | None:
        """Its average precision at IoU 0.5 on the validation images, if it was scored."""
        return self.card.scores.get("ap50")

    @property
    def line(self) -> str:
        """The card in one line, such as ``StarDist · 1 channel · 0.325 µm · AP50 0.91``."""
        channels = len(self.card.channels)
        parts = [
            self.kind,
            "1 channel" if channels == 1 else f"{channels} channels",
            f"{self.card.pixel_size:.3g} µm" if self.card.pixel_size else "any pixel size",
            "" if self.ap50 is None else f"AP50 {self.ap50:.2f}",
        ]
        return " · ".join(filter(None, parts))


def list_models(library: ModelLibrary) -> list[ListedModel]:
    """Return all models that can be read, the newest first.

    Raises
    ------
    LibraryError
        If the library's folder cannot be read.
    """
    specs = engine_specs()
    lacks = {name: missing(spec) for name, spec in specs.items()}
    models = sorted(library, key=lambda model: model.card.created, reverse=True)
    return [ListedModel(model, specs.get(model.card.engine), lacks.get(model.card.engine, ())) for model in models]


def list_starters() -> list[ListedModel]:
    """Return the models that come along, of the engines that are installed.

    Raises
    ------
    LibraryError
        If one cannot be unpacked.
    """
    return [ListedModel(fetch(model, spec), spec) for spec, model in starters()]


def day(moment: datetime, now: datetime) -> str:
    """Return when something was, in short: ``today``, ``Mon`` within a week, ``14 Oct`` in this year, ``Oct 2025``."""
    local, today = moment.astimezone(), now.astimezone().date()
    days = (today - local.date()).days
    if days in (0, 1):
        return ("today", "yesterday")[days]
    if 1 < days < 7:
        return f"{local:%a}"
    return f"{local.day} {local:%b}" if local.year == today.year else f"{local:%b %Y}"


def facts(listed: ListedModel) -> Facts:
    """Return what is on a model's card, its hyperparameters apart."""
    card = listed.card
    scaling = dict.fromkeys(_scaling(channel.normalization) for channel in card.channels)
    told = {
        PLAIN_WORDS: "\n".join(card.verdict),
        "Kind": listed.kind,
        "Made": f"{card.created.astimezone():%Y-%m-%d %H:%M}",
        "Start model": card.parent or "scratch",
        "Channels": ", ".join(channel.name for channel in card.channels),
        "Intensities": "\n".join(scaling),
        "Pixel size": f"{card.pixel_size:.4g} µm" if card.pixel_size else "any",
        "Typical object": f"{card.object_diameter:.1f} pixels" if card.object_diameter else "",
        "Images": f"{card.training_images} + {card.validation_images} to validate" if card.training_images else "",
        "Best epoch": f"{card.best_epoch} of {card.epochs}" if card.epochs else "",
    }
    return {name: text for name, text in (told | _scores(card)).items() if text}


def hyperparameters(listed: ListedModel) -> Facts:
    """Return how a model was trained, with the versions of what trained it."""
    card = listed.card
    known = parameters_of(listed.spec.parameters) if listed.spec else {}
    told = {}
    for name, value in card.hyperparameters.items():
        parameter = known.get(name)
        title = parameter.title if parameter else name.replace("_", " ").capitalize()
        told[title] = (parameter.text(value) if parameter else str(value)) if value is not None else "none"
    if card.seed is not None:
        told["Seed"] = str(card.seed)
    if card.versions:
        told["Made with"] = "\n".join(f"{package} {version}" for package, version in card.versions.items())
    return told


def _scores(card: ModelCard) -> Facts:
    told = {}
    for title, key in _MEASURES.items():
        values = [card.scores.get(f"{key}{percent}") for percent in _IOU_PERCENT]
        if any(value is not None for value in values):
            told[title] = " ".join("–" if value is None else f"{value:.2f}" for value in values)
    heading = " ".join(f"{percent / 100:g}" for percent in _IOU_PERCENT)
    tests = [card.test_scores.get(f"ap{percent}") for percent in _IOU_PERCENT]
    if card.test_images and any(value is not None for value in tests):
        tested = " ".join("–" if value is None else f"{value:.2f}" for value in tests)
        told[f"AP on {card.test_images} test images"] = tested
    if "missed" in card.scores:
        told["Mistakes"] = ", ".join(f"{card.scores[kind]:.0f} {kind}" for kind in _MISTAKES if kind in card.scores)
    return {"Scores at IoU": heading, **told} if told else {}


def _scaling(normalization: Normalization) -> str:
    unit = "percentiles" if normalization.mode == "percentile" else "values"
    clip = ", clipped" if normalization.clip else ""
    zeros = ", without zeros" if normalization.skip_zeros else ""
    return f"{unit} {normalization.low:g} to {normalization.high:g}{clip}{zeros}"


@dataclass(frozen=True)
class ComparedFact:
    """One fact, and what it is for each model; empty where a model does not have it."""

    title: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the models differ in it."""
        return len(set(self.values)) > 1


def side_by_side(models: Sequence[ListedModel]) -> list[ComparedFact]:
    """Return everything that is on the cards of some models, fact by fact."""
    told = [facts(listed) | hyperparameters(listed) for listed in models]
    titles = dict.fromkeys(title for own in told for title in own)
    return [ComparedFact(title, tuple(own.get(title, "") for own in told)) for title in titles]


def validation_note(models: Sequence[LibraryModel]) -> str:
    """Return on which images the models were scored: on the same ones, so that their scores can be compared, or not."""
    images = [_validation_images(model) for model in models]
    unknown = next((model.name for model, own in zip(models, images, strict=True) if not own), None)
    if unknown is not None:
        return f"It is unknown on which images {unknown!r} was scored, so the scores may not be comparable."
    common = set.intersection(*images)
    if all(own == common for own in images):
        count = "the same validation image" if len(common) == 1 else f"the same {len(common)} validation images"
        return f"All were scored on {count}: the scores can be compared."
    counts = ", ".join(f"{model.name!r} on {len(own)}" for model, own in zip(models, images, strict=True))
    shared = f"{len(common)} of them in common" if common else "none of them in common"
    return f"The scores cannot be compared, as they are on different images: {counts}, {shared}. {_EVALUATE}"


def _validation_images(model: LibraryModel) -> set[str]:
    """Return the content hashes of the images that a model was scored on; none if that is not known."""
    if not model.card.scores:
        return set()
    try:
        split = Split.model_validate_json(read_bytes(model.folder / "split.json"))
    except (OSError, ValidationError):  # models from elsewhere have none
        return set()
    return {model.card.data[name] for name in split.validation if name in model.card.data}
