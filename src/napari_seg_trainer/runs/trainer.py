"""The training process: a run's job becomes data, the engine learns, the best epoch becomes a model in the library."""

import logging
import shutil
from functools import partial
from pathlib import Path

from napari_seg_trainer.annotations.patches import samples_per_epoch
from napari_seg_trainer.engines.protocol import Engine, EngineSpec, TrainingData, TrainingTask
from napari_seg_trainer.engines.registry import engine_spec, load_engine, parse_parameters
from napari_seg_trainer.errors import JobError, RunError, SegTrainerError
from napari_seg_trainer.files import write_text
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.model_folder import LibraryModel
from napari_seg_trainer.library.pretrained import resolve_pretrained
from napari_seg_trainer.library.problems import disk_problem
from napari_seg_trainer.runs.baseline import settle_baseline
from napari_seg_trainer.runs.checkpoint import cancelled, read_state, tell_missing_epoch
from napari_seg_trainer.runs.context import Cancelled, Lost, RunContext, RunReporter
from napari_seg_trainer.runs.curve_training import learn_curve
from napari_seg_trainer.runs.dataset import Dataset, open_dataset
from napari_seg_trainer.runs.length import Plan
from napari_seg_trainer.runs.life import Life, TakenError
from napari_seg_trainer.runs.model_making import ModelMaking
from napari_seg_trainer.runs.previews import PreviewWriter
from napari_seg_trainer.runs.run import OwnRun, Run
from napari_seg_trainer.runs.scoring import Scoring
from napari_seg_trainer.runs.start import Start, choose_start, look_at_start
from napari_seg_trainer.runs.turn import wait_for_turn
from napari_seg_trainer.schema.events import Event, Failed, Stopped
from napari_seg_trainer.schema.job import AUTOMATIC, Hyperparameters, TrainingJob

_log = logging.getLogger(__name__)


def train_run(run: Run) -> Event:
    """Train what the run's job asks for, in this process, and return the attempt's last event.

    A run with a checkpoint goes on from it. Whatever goes wrong becomes a `Failed` event with one line for the user;
    tracebacks go to the log.

    Raises
    ------
    RunError
        If another process trains the run.
    OSError
        If its folder cannot be written.
    """
    try:
        with Life(run.folder) as life:
            run.claim(locks=life.locks)
            return _trained(OwnRun(run.folder, life))
    except TakenError as error:
        raise RunError(f"Run {run.id!r} is being trained by another process.") from error


def _trained(run: OwnRun) -> Event:
    try:
        last: Event = _Training(run).work()
    except Lost:
        _log.warning("Another process has taken over run '%s': this one stops.", run.id)
        return Failed(message=f"Run {run.id!r} has been taken over by another process.")
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
        last = Failed(message="Out of memory. Use a smaller batch size or patch size, or close other programs.")
    except Exception as error:  # noqa: BLE001 - whatever an engine raises ends in the run's last event
        _log.exception("the run failed")
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        last = Failed(message=f"The training failed ({reason}). The details are in '{run.folder / 'log.txt'}'.")
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
        early = RunReporter(self.run)
        early.obey()
        if wait_for_turn(self.run, early) and early.last_epoch == 0:
            return Stopped(reason="stopped while waiting for another training", model=None, best_epoch=None)
        plan = Plan(parse_parameters(self.spec, self.job.hyperparameters).length)
        # frameworks take their time, also where all is well
        early.progress(f"loading {self.spec.title}", 0, 1)
        engine = load_engine(self.spec)
        start, dataset = self._begin(engine, early)
        parent = start.model
        self._check_axes(dataset)
        self._check_split(dataset)
        warnings = sum(image.warnings() for image in dataset.images)
        if warnings:
            early.log(f"The data check has {warnings} warning(s); 'napari-seg-trainer check' lists them.", "warning")
        write_text(self.run.folder / "split.json", dataset.split.model_dump_json(indent=2))
        parameters = self._parameters(dataset, early)
        data = self._prepare(dataset, early)
        parameters = parameters.completed(start.facts(data))
        baseline = settle_baseline(self.run, engine, parent, data, early.progress)
        names = [channel.name for channel in dataset.channels]
        previews = PreviewWriter(self.run, names, dataset.pixel_size, partial(early.log, level="warning"))
        scoring = Scoring(data.validation, baseline, previews)
        context = RunContext(self.run, len(data.training), len(data.validation), scoring, plan)
        task = TrainingTask(len(dataset.channels), parameters, self.job.seed, parent.folder if parent else None)
        # a run that is to keep what it has, trains no further
        if not (context.obey() and context.last_epoch):
            context.progress("building the network", 0, 1)
            engine.train(task, data, context)
        curve = None
        if self.job.learning_curve:
            curve = learn_curve(context, self.run, partial(load_engine, self.spec), task, data)
        making = ModelMaking(
            self.run, self.spec, engine, self.library, dataset, data, context, previews, parent, baseline, curve
        )
        return making.make()

    def _begin(self, engine: Engine, context: RunReporter) -> tuple[Start, Dataset]:
        """Return the model to start from, which may have to be chosen, and the images as it takes them."""
        looks = any(model.is_starter for model in self.spec.pretrained)
        if self.job.pretrained == AUTOMATIC and looks:
            dataset = open_dataset(self.job, None, context.progress, self._free_channels())
            self._check_channels(dataset)
            start = choose_start(self.job, self.spec, dataset, engine, context.progress)
            context.log(start.reason)
            self.run.keep(pretrained=start.model.name if start.model else None)
            self.job = self.run.job
            if start.model is None:
                return start, dataset
        parent = self._parent(context)
        dataset = open_dataset(self.job, parent.card if parent else None, context.progress, self._free_channels())
        self._check_channels(dataset)
        # in a run that goes on, what follows from it is fixed
        if parent is None or not looks or context.last_epoch:
            return Start(parent, ""), dataset
        return look_at_start(parent, self.job, self.spec, dataset, engine), dataset

    def _parent(self, context: RunReporter) -> LibraryModel | None:
        chosen = None if self.job.pretrained == AUTOMATIC else self.job.pretrained
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
            raise JobError(f"{self.spec.title} is for {wanted}, and the images are {dataset.axes}.")

    def _check_split(self, dataset: Dataset) -> None:
        """Refuse to go on with other images: some training images might now validate."""
        if read_state(self.run) is None or self.run.split == dataset.split:
            return
        before, now = (len(split.training) + len(split.validation) for split in (self.run.split, dataset.split))
        raise JobError(
            f"The images have changed since the run began ({before} then, {now} now). "
            "Put the folder back as it was, or start a new training."
        )

    def _parameters(self, dataset: Dataset, context: RunReporter) -> Hyperparameters:
        state = read_state(self.run)
        # what was chosen by itself when the run began stays so
        known = {} if state is None else state.hyperparameters
        begun = {name: known[name] for name in self.spec.parameters.model_fields if known.get(name) is not None}
        given = self.job.hyperparameters.items()
        asked = {name: value for name, value in given if value is not None or name not in begun}
        parameters = parse_parameters(self.spec, begun | asked)
        images = len(dataset.split.training)
        samples = samples_per_epoch(images, parameters.augmentation)
        if parameters.batch_size <= samples:
            return parameters
        if "batch_size" in self.job.hyperparameters:
            raise JobError(
                f"Batch size {parameters.batch_size} is larger than the {samples} samples of an epoch ({images} "
                f"training images, augmentation factor {parameters.augmentation:g}). Use {samples} or less."
            )
        context.log(f"The batch size is {samples}, because an epoch has only {samples} samples.")
        return parameters.replace(batch_size=samples)

    def _prepare(self, dataset: Dataset, context: RunReporter) -> TrainingData:
        folder = self.run.folder / "prepared"
        diameters, extents = dataset.object_sizes()
        return TrainingData(
            training=dataset.prepare(dataset.split.training, folder / "training", context.progress),
            validation=dataset.prepare(dataset.split.validation, folder / "validation", context.progress),
            object_diameters=diameters,
            object_extents=extents,
            axes=dataset.axes,
        )
