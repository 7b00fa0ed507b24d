"""Models side by side, and whether their scores can be compared. Knows no Qt."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from napari_seg_trainer.annotations.split import Split
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.napari_plugin.models.summary import ListedModel, facts, hyperparameters

_EVALUATE = "To compare them, score them on one annotation folder, below."


@dataclass(frozen=True)
class ComparedFact:
    """One fact, and what it is for each model; empty where a model does not have it."""

    title: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether the models differ in it."""
        return len(set(self.values)) > 1


def compare(models: Sequence[ListedModel]) -> list[ComparedFact]:
    """Return everything that the cards of some models tell, fact by fact."""
    told = [facts(listed) | hyperparameters(listed) for listed in models]
    titles = dict.fromkeys(title for own in told for title in own)
    return [ComparedFact(title, tuple(own.get(title, "") for own in told)) for title in titles]


def validation_note(models: Sequence[LibraryModel]) -> str:
    """Return on which images the models were scored: on the same ones, so that their scores can be compared, or not."""
    images = [_validation_images(model) for model in models]
    unknown = next((model.name for model, own in zip(models, images, strict=True) if not own), None)
    if unknown is not None:
        return f"It is not known on which images {unknown!r} was scored, so the scores may not be comparable."
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
        split = Split.model_validate_json((model.folder / "split.json").read_bytes())
    except (OSError, ValidationError):  # models from elsewhere have none
        return set()
    return {model.card.data[name] for name in split.validation if name in model.card.data}
