"""From the best epoch to a model in the library: exported, scored, judged, described."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from napari_seg_trainer.engines.protocol import Engine, EngineSpec, TrainingData
from napari_seg_trainer.errors import DataError, LibraryError, RunError
from napari_seg_trainer.evaluation.advice import find_reasons, worst_images
from napari_seg_trainer.evaluation.comparison import LearningCurve
from napari_seg_trainer.evaluation.report import write_report
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.evaluation.verdict import course_of, give_verdict, is_worse
from napari_seg_trainer.files import write_text
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.runs.baseline import ScoredBaseline
from napari_seg_trainer.runs.checkpoint import epoch_folder
from napari_seg_trainer.runs.context import RunContext
from napari_seg_trainer.runs.dataset import Dataset
from napari_seg_trainer.runs.model_scores import score_model, scored_images
from napari_seg_trainer.runs.previews import MODEL, PreviewWriter
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.versions import versions
from napari_seg_trainer.schema.events import Evaluated, Event, Finished, Stopped, Verdict
from napari_seg_trainer.schema.model_card import ModelCard


@dataclass(frozen=True, eq=False)
class ModelMaking:
    """What a model is made of once its training is over.

    Attributes
    ----------
    run : OwnRun
    spec : EngineSpec
    engine : Engine
    library : ModelLibrary
    dataset : Dataset
    data : TrainingData
    context : RunContext
    previews : PreviewWriter
    parent : LibraryModel, optional
        The pretrained model.
    baseline : ScoredBaseline
    curve : LearningCurve, optional
    """

    run: Run
    spec: EngineSpec
    engine: Engine
    library: ModelLibrary
    dataset: Dataset
    data: TrainingData
    context: RunContext
    previews: PreviewWriter
    parent: LibraryModel | None
    baseline: ScoredBaseline
    curve: LearningCurve | None

    def make(self) -> Event:
        """Make the model, and return the attempt's last event.

        Raises
        ------
        LibraryError
            If it cannot go into the library; it then waits in the run's folder.
        RunError
            If not even the first epoch had losses that make sense.
        """
        context, data = self.context, self.data
        best = context.best_epoch
        if best is None:
            if context.diverged:
                raise RunError(f"No model was created: {context.diverged}.")
            return Stopped(reason="stopped before the first epoch ended", model=None, best_epoch=None)
        folder = self.run.folder / "model"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.engine.export(epoch_folder(self.run, best), data, folder, context)
        scored = scored_images(data.validation)
        self.previews.choose(scored)  # during the training, fewer may have been scored for lack of time
        progress, keep = partial(context.progress, "evaluating validation images"), partial(self.previews.keep, MODEL)
        scores, examples = score_model(self.engine, folder, scored, progress, keep)
        self.run.append(Evaluated(dataset="validation", images=len(scores.images), scores=scores.told))
        tested = self._test(folder)
        verdict = self._judge(scores, tested)
        card = self._card(scores).replace(verdict=verdict, test_images=len(tested.images), test_scores=tested.told)
        write_text(folder / "job.json", self.run.job.model_dump_json(indent=2))
        write_text(folder / "split.json", self.dataset.split.model_dump_json(indent=2))
        write_report(folder, card, self.run.events(), examples, scores, self.curve, self.spec.citations)
        stopped = context.obey()
        try:
            model = self.library.register(folder, card)
        except LibraryError as error:
            raise LibraryError(f"{error} The finished model is in '{folder}'.") from error
        if stopped:
            return Stopped(reason="stopped by the user", model=model.name, best_epoch=best)
        if context.diverged:
            return Stopped(reason=context.diverged, model=model.name, best_epoch=best)
        if context.early_stop and not context.has_all_epochs:
            return Stopped(reason="the validation loss no longer improved", model=model.name, best_epoch=best)
        return Finished(model=model.name, best_epoch=best)

    def _judge(self, scores: Scores, tested: Scores) -> tuple[str, ...]:
        """Say in plain words how good the model is."""
        worst = tuple(image.image for image in worst_images(scores))
        reasons = find_reasons(
            self.data.training,
            [prepared for prepared in self.data.validation if prepared.name in worst],
            lambda done, total: self.context.progress("comparing the worst images with the others", done, total),
        )
        course = course_of(self.run.events())
        baseline, also = self.baseline, {other.name: other.scores for other in self.baseline.also}
        verdict = give_verdict(scores, course, baseline.name, baseline.scores, tested, reasons, self.curve, also)
        simple = baseline.simple
        is_simple_better = simple is not None and is_worse(scores, simple.scores)
        self.run.append(Verdict(sentences=verdict, worst=worst, is_simple_better=is_simple_better))
        return verdict

    def _test(self, folder: Path) -> Scores:
        """Score the model on the test images, if there are any; nothing is chosen by it."""
        if not self.dataset.held_out:
            return Scores.of(())
        try:
            images = self.dataset.prepare_held_out(self.run.folder / "prepared" / "test", self.context.progress)
        except DataError as error:  # hours may have passed since they were looked at; the model is not lost by that
            self.context.log(f"The model was not evaluated on the test images: {error}", "warning")
            return Scores.of(())
        scores, _ = score_model(self.engine, folder, images, partial(self.context.progress, "evaluating test images"))
        self.run.append(Evaluated(dataset="test", images=len(scores.images), scores=scores.told))
        return scores

    def _card(self, scores: Scores) -> ModelCard:
        diameters, _ = self.dataset.object_sizes()
        return ModelCard(
            name=self.run.job.name,
            engine=self.spec.id,
            created=datetime.now(UTC),
            channels=self.dataset.channels,
            axes=self.dataset.axes,
            pixel_size=self.dataset.pixel_size,
            object_diameter=float(sorted(diameters)[len(diameters) // 2]),
            parent=self.parent.name if self.parent else None,
            run=self.run.id,
            epochs=self.context.last_epoch,
            best_epoch=self.context.best_epoch,
            training_images=len(self.dataset.split.training),
            validation_images=len(self.dataset.split.validation),
            scores=scores.told,
            hyperparameters=self.context.hyperparameters,
            seed=self.run.job.seed,
            versions=versions(self.spec),
            data={image.name: image.content for image in self.dataset.images},
        )
