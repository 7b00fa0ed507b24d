"""Starting a training."""

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_seg_trainer.api import make_job, read_job
from napari_seg_trainer.cli.console import AsJson, in_shell, print_json, say
from napari_seg_trainer.cli.options import parse_settings, read_channels
from napari_seg_trainer.cli.runs import Detach
from napari_seg_trainer.cli.watch import watch
from napari_seg_trainer.engines.registry import DEFAULT_ENGINE, check_installed, engine_spec
from napari_seg_trainer.errors import JobError
from napari_seg_trainer.files import write_text
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.runs.launch import launch
from napari_seg_trainer.schema.job import Hyperparameters, TrainingJob

Job = Annotated[Path | None, typer.Argument(metavar="[JOB.json]", help="Job file, in place of options.")]
Name = Annotated[str | None, typer.Option(help="Name of the new model.")]
Data = Annotated[list[Path] | None, typer.Option(help="Annotation folder; may be given several times.")]
Builtin = Annotated[list[str] | None, typer.Option(help="Built-in dataset, such as nuclei_dsb2018.")]
EngineId = Annotated[str | None, typer.Option(help=f"Engine to train; {DEFAULT_ENGINE} by default.")]
Channel = Annotated[
    list[str] | None,
    typer.Option(
        help="Channel: a name, a number from 0, or both (0:dapi takes the first as 'dapi'); once for each input. "
        "dapi=hoechst: called hoechst where there is no dapi. Default: all."
    ),
]
Scaling = Annotated[
    list[str] | None,
    typer.Option(
        help="percentile:1,99.8 (the default) or values:0,4000; ',clip' cuts off what lies outside, "
        "',skip-zeros' leaves out pixels of 0. "
        "Once for all channels, or once for each."
    ),
]
PixelSize = Annotated[float | None, typer.Option(help="Rescale all images to this pixel size (µm).")]
Epochs = Annotated[
    int | None, typer.Option(help="Number of passes over the images; by default until the model no longer improves.")
]
Minutes = Annotated[float | None, typer.Option(help="Approximate total training time in minutes.")]
BatchSize = Annotated[int | None, typer.Option(help="Samples per step. Smaller needs less memory.")]
LearningRate = Annotated[float | None, typer.Option(help="Size of each training step.")]
Augmentation = Annotated[float | None, typer.Option(help="Samples per epoch, as a multiple of the number of images.")]
EarlyStopping = Annotated[int | None, typer.Option(help="Stop after this many epochs without improvement.")]
SplitShare = Annotated[float | None, typer.Option(help="Fraction of the images used for validation; 0.2 by default.")]
ValidationData = Annotated[
    list[Path] | None, typer.Option(help="Annotation folder for validation, in place of a fraction of the images.")
]
TestData = Annotated[
    list[Path] | None, typer.Option(help="Annotation folder for a final test; never used for model selection.")
]
Pretrained = Annotated[
    str | None,
    typer.Option(
        help="Model to start from: in the library, a folder, or built-in (2D_versatile_fluo); or 'scratch'. By default "
        "the starter model that finds most of the annotated objects, if one finds enough."
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Random seed; the same seed gives the same split and the same training. 0 by default."),
]
LearningCurve = Annotated[
    bool | None,
    typer.Option(
        "--learning-curve",
        help="Afterwards, also train on a half and a quarter of the images, to estimate whether more would help. "
        "Takes about three times as long.",
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Engine-specific parameter, such as rays=64.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write the job file NAME.job.json and exit.")]


def train(
    job: Job = None,
    name: Name = None,
    data: Data = None,
    builtin: Builtin = None,
    engine: EngineId = None,
    channel: Channel = None,
    normalization: Scaling = None,
    pixel_size: PixelSize = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    augmentation: Augmentation = None,
    early_stopping: EarlyStopping = None,
    validation_split: SplitShare = None,
    validation_data: ValidationData = None,
    test_data: TestData = None,
    pretrained: Pretrained = None,
    seed: Seed = None,
    learning_curve: LearningCurve = None,
    settings: Settings = None,
    dry_run: DryRun = False,
    detach: Detach = False,
    json: AsJson = False,
) -> None:
    """Train a model on annotated images.

    The training runs in its own process: Ctrl-C only ends the display here. The finished model is in the library.

    Example: napari-seg-trainer train --data annotations_nuclei --name my-nuclei
    """
    given = {option: value for option, value in locals().items() if value is not None}
    fields = {option: given[option] for option in given.keys() & TrainingJob.model_fields.keys()}
    hyperparameters = {option: given[option] for option in given.keys() & Hyperparameters.model_fields.keys()}
    hyperparameters |= parse_settings(settings or ())
    if job is None:  # before images are read
        check_installed(engine_spec(engine or DEFAULT_ENGINE))
    channels = read_channels(channel or (), normalization or (), data or (), builtin or ())
    if channels:
        fields["channels"] = channels
    chosen = _choose(job, fields, hyperparameters)
    if dry_run:
        _write_job(chosen, json)
    else:
        _start(chosen, json, detach)


def _choose(job: Path | None, fields: dict[str, Any], hyperparameters: dict[str, Any]) -> TrainingJob:
    """Return the job that the user wants, from a file or from options."""
    if job is not None:
        if fields or hyperparameters:
            raise typer.BadParameter("Give either a job file or options, not both: edit the file instead.")
        return read_job(job)
    if "name" not in fields:
        raise typer.BadParameter("Give the new model a name: --name NAME.")
    if not fields.keys() & {"data", "builtin"}:
        raise typer.BadParameter("Choose the training data: --data FOLDER or --builtin NAME.")
    for folders in fields.keys() & {"data", "validation_data", "test_data"}:  # the job holds in any folder
        fields[folders] = [folder.absolute() for folder in fields[folders]]
    return make_job(hyperparameters=hyperparameters, **({"engine": DEFAULT_ENGINE} | fields))


def _start(job: TrainingJob, json: bool, detach: bool) -> None:
    run = launch(job)
    if json:
        print_json({"run": run.id, "folder": run.folder})
    else:
        say(f"Run {run.id}")
    if not detach:
        raise typer.Exit(watch(run, json))


def _write_job(job: TrainingJob, json: bool) -> None:
    ModelLibrary().check_new_name(job.name)
    path = Path(f"{job.name}.job.json")
    if path.exists():
        raise JobError(f"'{path}' already exists. Move it, or choose another name.")
    with explained(path.absolute().parent, JobError):
        write_text(path.absolute(), job.model_dump_json(indent=2) + "\n")
    if json:
        print_json({"job": path})
    else:
        say(f"Job written to {path}. Train it with: {in_shell('napari-seg-trainer', 'train', path)}")
