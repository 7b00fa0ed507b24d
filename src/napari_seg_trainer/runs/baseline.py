"""What a training has to beat, scored on its validation images before the first epoch."""

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import product

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from napari_seg_trainer.annotations.prepare import PreparedImage
from napari_seg_trainer.annotations.selection import evenly
from napari_seg_trainer.engines.classical import FILE, NAME, SPEC, Classical
from napari_seg_trainer.engines.protocol import Engine, TrainingData
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.evaluation.scores import Scores, score_image
from napari_seg_trainer.files import read_bytes, write_text
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.runs.dataset import OnStage
from napari_seg_trainer.runs.model_scores import scored_images
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.versions import versions
from napari_seg_trainer.schema import events
from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.model_card import ModelCard

MOST_PIXELS = 4 << 20
"""Of validation images that are looked at, so that this takes no long part of a short training."""


class ScoredBaseline(FrozenModel):
    """The pretrained model, or else a classical method.

    Attributes
    ----------
    name : str
    scores : Scores
        Of some or all of the validation images.
    also : tuple of ScoredBaseline
        What the model is compared with as well: where a pretrained model is to be beaten, the classical method.
    classical : Classical, optional
        How the classical method segments, where it is that.
    channel : int
        On which of the channels it does so.
    """

    name: str
    scores: Scores
    also: "tuple[ScoredBaseline, ...]" = ()
    classical: Classical | None = None
    channel: int = 0

    @property
    def simple(self) -> "ScoredBaseline | None":
        """The classical method, if it was scored."""
        return next((one for one in (self, *self.also) if one.classical is not None), None)


BASELINE_FILE = "baseline.json"


def read_baseline(run: Run) -> ScoredBaseline | None:
    """Return what a run has to beat; None as long as that is not known."""
    try:
        return ScoredBaseline.model_validate_json(read_bytes(run.folder / BASELINE_FILE))
    except (OSError, ValidationError):
        return None


def keep_simple_method(run: Run, library: ModelLibrary | None = None) -> LibraryModel:
    """Add the classical method to the library as a model, as a run's model was compared with it; once.

    Parameters
    ----------
    run : Run
        One that has made a model, which must still be in the library.
    library : ModelLibrary, optional
        The user's library if not given.

    Raises
    ------
    RunError
        If the run has not scored the classical method, or its model is gone.
    LibraryError
        If the library cannot be written.
    """
    library = library or ModelLibrary()
    baseline = read_baseline(run)
    simple = None if baseline is None else baseline.simple
    if simple is None or simple.classical is None:
        raise RunError(f"Run {run.id!r} was not compared with the simple method. Train again to compare them.")
    trained = next((model for model in library if model.card.run == run.id), None)
    if trained is None:
        raise RunError(f"The model of run {run.id!r} is not in the library any more. Train again.")
    name = f"{run.job.name}-simple"
    there = library.find(name)
    if there is not None and there.card.engine == SPEC.id and there.card.data == trained.card.data:
        return there
    card = ModelCard(
        name=library.free_name(name),
        engine=SPEC.id,
        created=datetime.now(UTC),
        channels=trained.card.channels[simple.channel : simple.channel + 1],
        pixel_size=trained.card.pixel_size,
        object_diameter=trained.card.object_diameter,
        validation_images=len(simple.scores.images),
        scores=simple.scores.told,
        versions=versions(SPEC),
        data=trained.card.data,
    )
    folder = run.folder / "simple"
    shutil.rmtree(folder, ignore_errors=True)
    with explained(folder):
        folder.mkdir()
        write_text(folder / FILE, simple.classical.model_dump_json())
        write_text(folder / "split.json", run.split.model_dump_json(indent=2))
    return library.register(folder, card)


def settle_baseline(
    run: Run, engine: Engine, parent: LibraryModel | None, data: TrainingData, progress: OnStage
) -> ScoredBaseline:
    """Return what a run has to beat; it is scored once, and kept in the run's folder.

    Parameters
    ----------
    run : Run
    engine : Engine
    parent : LibraryModel, optional
        The model that the training starts from. Without one, and beside it, it is Otsu's threshold and a watershed, on
        the channel on which they do best, for bright or for dark objects.
    data : TrainingData
    progress : callable
        Called with the stage, how many images are done, and how many there are.
    """
    file = run.folder / BASELINE_FILE
    known = read_baseline(run)
    if known is not None:
        return known
    # among those that the model will be scored on
    scored = scored_images(data.validation)
    images = evenly(scored, len(scored), MOST_PIXELS)
    found = _classical(data, images, progress)
    if parent:
        found = _of_parent(engine, parent, images, progress).replace(also=(found,))
    write_text(file, found.model_dump_json())
    for one in (found, *found.also):
        run.append(events.Baseline(name=one.name, images=len(images), scores=one.scores.told))
    return found


def _of_parent(
    engine: Engine, parent: LibraryModel, images: Sequence[PreparedImage], progress: OnStage
) -> ScoredBaseline:
    predict = engine.load(parent.folder).predict
    return ScoredBaseline(name=f"the model '{parent.name}'", scores=_scores(images, predict, progress))


def _classical(data: TrainingData, images: Sequence[PreparedImage], progress: OnStage) -> ScoredBaseline:
    diameter = float(np.median(data.object_diameters))

    def scored(channel: int, classical: Classical) -> ScoredBaseline:
        scores = _scores(images, lambda image: classical.segment(image[channel]), progress)
        return ScoredBaseline(name=NAME, scores=scores, classical=classical, channel=channel)

    ways = [Classical(diameter=diameter), Classical(diameter=diameter, objects="dark")]
    tried = [scored(channel, way) for channel, way in product(range(len(images[0].image)), ways)]
    return max(tried, key=lambda one: one.scores.pooled["ap50"])


def _scores(
    images: Sequence[PreparedImage], predict: Callable[[NDArray[np.float32]], NDArray[np.int32]], progress: OnStage
) -> Scores:
    found = []
    for done, prepared in enumerate(images):
        progress("evaluating the baseline", done, len(images))
        found.append(score_image(prepared.name, prepared.labels, predict(np.asarray(prepared.image))))
    progress("evaluating the baseline", len(images), len(images))
    return Scores.of(found)
