"""The training process: a run's job becomes data, the engine learns, the best epoch becomes a model in the library."""

import logging
import shutil
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from napari_seg_trainer.annotations.patches import samples_per_epoch
from napari_seg_trainer.engines.protocol import Engine, EngineSpec, TrainingData, TrainingTask
from napari_seg_trainer.engines.registry import engine_spec, load_engine, parse_parameters
from napari_seg_trainer.errors import DataError, JobError, LibraryError, RunError, SegTrainerError
from napari_seg_trainer.evaluation.advice import find_reasons, worst_images
from napari_seg_trainer.evaluation.comparison import LearningCurve
from napari_seg_trainer.evaluation.report import write_report
from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.evaluation.verdict import course_of, give_verdict
from napari_seg_trainer.files import write_text
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.pretrained import resolve_pretrained
from napari_seg_trainer.library.problems import disk_problem
from napari_seg_trainer.runs.baseline import Baseline, settle_baseline
from napari_seg_trainer.runs.checkpoint import cancelled, epoch_folder, read_state, tell_missing_epoch
from napari_seg_trainer.runs.context import Cancelled, RunContext
from napari_seg_trainer.runs.curve_training import learn_curve
from napari_seg_trainer.runs.dataset import Dataset, open_dataset
from napari_seg_trainer.runs.model_scores import score_model, scored_images
from napari_seg_trainer.runs.previews import MODEL, PreviewWriter
from napari_seg_trainer.runs.run import OwnRun, Run
from napari_seg_trainer.runs.scoring import Scoring
from napari_seg_trainer.runs.turn import wait_for_turn
from napari_seg_trainer.schema.events import Evaluated, Event, Failed, Finished, Stopped, Verdict
from napari_seg_trainer.schema.job import Hyperparameters, TrainingJob
from napari_seg_trainer.schema.model_card import ModelCard

_log = logging.getLogger(__name__)


def train_run(run: Run) -> Event:
    """Train what the run's job asks for, in this process, and return the attempt's last event.

    A run with a checkpoint goes on from it. Whatever goes wrong becomes a `Failed` event with one line for the user;
    tracebacks go to the log.
    """
    run.claim()
    run = OwnRun(run.folder)
    try:
        last: Event = _Training(run).work()
    except Cancelled:
        shutil.rmtree(run.folder / "model", ignore_errors=True)
        last = cancelled(run)
    except SegTrainerError as error:
        _log.info("the run failed", exc_info=True)
        last = Failed(message=str(error))
    except OSError as error:
        _log.exception("the run failed")
        last = Failed(message=disk_problem(error, Path(error.filename) if error.filename else run.folder))
    except MemoryError:
        _log.exception("the run failed")
        last = Failed(message="The memory is full. Use a smaller batch size or patch size, or close other programs.")
    except Exception as error:  # noqa: BLE001 - whatever an engine raises ends in the run's last event
        _log.exception("the run failed")
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        last = Failed(message=f"The training broke off ({reason}). The details are in '{run.folder / 'log.txt'}'.")
    shutil.rmtree(run.folder / "prepared", ignore_errors=True)
    run.append(last)
    return last


class _Training:
    """What one training needs to hand from stage to stage."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.job: TrainingJob = run.job
        self.spec: EngineSpec = engine_spec(self.job.engine)
        self.library = ModelLibrary()
        self.library.check_new_name(self.job.name)
        parse_parameters(self.spec, self.job.hyperparameters)

    def work(self) -> Event:
        tell_missing_epoch(self.run)
        early = RunContext(self.run, 0, 0)
        early.obey()
        if wait_for_turn(self.run, early) and early.last_epoch == 0:
            return Stopped(reason="stopped while it waited for another training", model=None, best_epoch=None)
        parent = self._parent(early)
        dataset = open_dataset(self.job, parent.card if parent else None, early.progress, self._free_channels())
        self._check_channels(dataset)
        self._check_axes(dataset)
        self._check_split(dataset)
        warnings = sum(image.warnings() for image in dataset.images)
        if warnings:
            early.log(f"The data check has {warnings} warning(s); 'napari-seg-trainer check' lists them.", "warning")
        write_text(self.run.folder / "split.json", dataset.split.model_dump_json(indent=2))
        parameters = self._parameters(dataset, early)
        engine = load_engine(self.spec)
        data = self._prepare(dataset, early)
        baseline = settle_baseline(self.run, engine, parent, data, early.progress)
        names = [channel.name for channel in dataset.channels]
        self.previews = PreviewWriter(self.run, names, dataset.pixel_size, partial(early.log, level="warning"))
        scoring = Scoring(data.validation, baseline, self.previews)
        context = RunContext(self.run, len(data.training), len(data.validation), scoring)
        start = parent.folder if parent else None
        task = TrainingTask(len(dataset.channels), parameters, self.job.seed, start)
        # a run that is to keep what it has, trains no further
        if not (context.obey() and context.last_epoch):
            engine.train(task, data, context)
        curve = None
        if self.job.learning_curve:
            curve = learn_curve(context, self.run, partial(load_engine, self.spec), task, data)
        return self._conclude(engine, dataset, data, context, parent, baseline, curve)

    def _parent(self, context: RunContext) -> LibraryModel | None:
        chosen = self.job.pretrained
        if chosen is None and not self.spec.base:
            return None
        return resolve_pretrained(
            self.spec.base if chosen is None else chosen,
            self.job.engine,
            self.library,
            lambda done, total: context.progress("downloading the pretrained model", done, total or done + 1),
        )

    def _free_channels(self) -> int | None:
        return self.spec.channels[1] if self.spec.free_channels else None

    def _check_channels(self, dataset: Dataset) -> None:
        least, most = self.spec.channels
        count = len(dataset.channels)
        if count < least or (most is not None and count > most):
            allowed = f"{least}" if most == least else f"{least} to {most or 'any number of'}"
            raise JobError(f"{self.spec.title} takes {allowed} channels, not {count}. Choose them with --channel.")

    def _check_axes(self, dataset: Dataset) -> None:
        if dataset.axes not in self.spec.axes:
            wanted = " or ".join(self.spec.axes)
            raise JobError(f"{self.spec.title} is trained on {wanted}, and the images are {dataset.axes}.")

    def _check_split(self, dataset: Dataset) -> None:
        """Refuse to go on with other images: some that taught might now validate."""
        if read_state(self.run) is None or self.run.split == dataset.split:
            return
        before, now = (len(split.training) + len(split.validation) for split in (self.run.split, dataset.split))
        raise JobError(
            f"The images are not those that the run began with ({before} then, {now} now). "
            "Put the folder back as it was, or start a new training."
        )

    def _parameters(self, dataset: Dataset, context: RunContext) -> Hyperparameters:
        parameters = parse_parameters(self.spec, self.job.hyperparameters)
        images = len(dataset.split.training)
        samples = samples_per_epoch(images, parameters.augmentation)
        if parameters.batch_size <= samples:
            return parameters
        if "batch_size" in self.job.hyperparameters:
            raise JobError(
                f"Batch size {parameters.batch_size} is larger than the {samples} samples of an epoch ({images} "
                f"training images, augmentation factor {parameters.augmentation:g}). Use {samples} or less."
            )
        context.log(f"The batch size is {samples}, as there are only {samples} samples in an epoch.")
        return parameters.replace(batch_size=samples)

    def _prepare(self, dataset: Dataset, context: RunContext) -> TrainingData:
        folder = self.run.folder / "prepared"
        diameters, extents = dataset.object_sizes()
        return TrainingData(
            training=dataset.prepare(dataset.split.training, folder / "training", context.progress),
            validation=dataset.prepare(dataset.split.validation, folder / "validation", context.progress),
            object_diameters=diameters,
            object_extents=extents,
            axes=dataset.axes,
        )

    def _conclude(
        self,
        engine: Engine,
        dataset: Dataset,
        data: TrainingData,
        context: RunContext,
        parent: LibraryModel | None,
        baseline: Baseline,
        curve: LearningCurve | None,
    ) -> Event:
        best = context.best_epoch
        if best is None:
            if context.last_epoch == 0:
                return Stopped(reason="stopped before the first epoch had ended", model=None, best_epoch=None)
            raise RunError("The validation loss was never a number. Use a smaller learning rate.")
        folder = self.run.folder / "model"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        engine.export(epoch_folder(self.run, best), data, folder, context)
        scored = scored_images(data.validation)
        self.previews.choose(scored)  # there may not have been time to score so many before
        progress, keep = partial(context.progress, "scoring validation images"), partial(self.previews.keep, MODEL)
        scores, examples = score_model(engine, folder, scored, progress, keep)
        self.run.append(Evaluated(dataset="validation", images=len(scores.images), scores=scores.told))
        tested = self._test(engine, dataset, folder, context)
        verdict = self._judge(data, scores, tested, baseline, curve, context)
        card = self._card(dataset, context, scores, parent).replace(
            verdict=verdict, test_images=len(tested.images), test_scores=tested.told
        )
        write_text(folder / "job.json", self.job.model_dump_json(indent=2))
        write_text(folder / "split.json", dataset.split.model_dump_json(indent=2))
        write_report(folder, card, self.run.events(), examples, scores, curve, self.spec.citations)
        stopped = context.obey()
        try:
            model = self.library.register(folder, card)
        except LibraryError as error:
            raise LibraryError(f"{error} The finished model waits in '{folder}'.") from error
        if stopped:
            return Stopped(reason="you asked for it", model=model.name, best_epoch=best)
        if context.early_stop and not context.has_all_epochs:
            return Stopped(reason="the validation loss no longer improved", model=model.name, best_epoch=best)
        return Finished(model=model.name, best_epoch=best)

    def _judge(
        self,
        data: TrainingData,
        scores: Scores,
        tested: Scores,
        baseline: Baseline,
        curve: LearningCurve | None,
        context: RunContext,
    ) -> tuple[str, ...]:
        """Say in plain words how good the model is."""
        worst = tuple(image.image for image in worst_images(scores))
        reasons = find_reasons(
            data.training,
            [prepared for prepared in data.validation if prepared.name in worst],
            lambda done, total: context.progress("comparing the worst images with the others", done, total),
        )
        course = course_of(self.run.events())
        verdict = give_verdict(scores, course, baseline.name, baseline.scores, tested, reasons, curve)
        self.run.append(Verdict(sentences=verdict, worst=worst))
        return verdict

    def _test(self, engine: Engine, dataset: Dataset, folder: Path, context: RunContext) -> Scores:
        """Score the model on the test images, if there are any; nothing is chosen by it."""
        if not dataset.held_out:
            return Scores.of(())
        try:
            images = dataset.prepare_held_out(self.run.folder / "prepared" / "test", context.progress)
        except DataError as error:  # hours may have passed since they were looked at; the model is not lost by that
            context.log(f"The model is not scored on the test images: {error}", "warning")
            return Scores.of(())
        scores, _ = score_model(engine, folder, images, partial(context.progress, "scoring test images"))
        self.run.append(Evaluated(dataset="test", images=len(scores.images), scores=scores.told))
        return scores

    def _card(self, dataset: Dataset, context: RunContext, scores: Scores, parent: LibraryModel | None) -> ModelCard:
        diameters, _ = dataset.object_sizes()
        return ModelCard(
            name=self.job.name,
            engine=self.spec.id,
            created=datetime.now(UTC),
            channels=dataset.channels,
            axes=dataset.axes,
            pixel_size=dataset.pixel_size,
            object_diameter=float(sorted(diameters)[len(diameters) // 2]),
            parent=parent.name if parent else None,
            run=self.run.id,
            epochs=context.last_epoch,
            best_epoch=context.best_epoch,
            training_images=len(dataset.split.training),
            validation_images=len(dataset.split.validation),
            scores=scores.told,
            hyperparameters=context.hyperparameters,
            seed=self.job.seed,
            versions=_versions(self.spec),
            data={image.name: image.content for image in dataset.images},
        )


def _versions(spec: EngineSpec) -> dict[str, str]:
    found = {}
    for package in ("napari-seg-trainer", *spec.packages, "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
