"""Training, and watching it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from napari_seg_trainer.api import make_job, read_job
from napari_seg_trainer.cli.console import AsJson, print_json, print_table, say
from napari_seg_trainer.cli.options import parse_settings, read_channels
from napari_seg_trainer.cli.watch import watch
from napari_seg_trainer.errors import JobError, RunError
from napari_seg_trainer.files import write_text
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.problems import explained
from napari_seg_trainer.runs.launch import launch, yield_to_others
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run, find_run, list_runs
from napari_seg_trainer.runs.trainer import train_run
from napari_seg_trainer.schema.events import EpochEnded, Failed, Finished, Started, Stopped
from napari_seg_trainer.schema.job import TrainingJob

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its model's name, or its folder.")]


def train(
    job: Annotated[Path | None, typer.Argument(metavar="[JOB.json]", help="A job file, instead of options.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new model.")] = None,
    data: Annotated[list[Path] | None, typer.Option(help="Annotation folder; may be given several times.")] = None,
    builtin: Annotated[list[str] | None, typer.Option(help="Built-in dataset, such as nuclei_dsb2018.")] = None,
    engine: Annotated[str | None, typer.Option(help="What to train; stardist by default.")] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="Channel (name, or number from 0); once for each input. Default: all.")
    ] = None,
    normalization: Annotated[
        list[str] | None,
        typer.Option(help="percentile:1,99.8 (the default) or values:0,4000; ',clip' cuts off what lies outside."),
    ] = None,
    pixel_size: Annotated[float | None, typer.Option(help="µm per pixel to bring all images to.")] = None,
    epochs: Annotated[int | None, typer.Option(help="How often to go through all images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples at once. Less needs less memory.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Size of the steps.")] = None,
    augmentation: Annotated[float | None, typer.Option(help="Samples an epoch, as a multiple of the images.")] = None,
    early_stopping: Annotated[int | None, typer.Option(help="Stop after so many epochs without progress.")] = None,
    validation_split: Annotated[
        float | None, typer.Option(help="Share of the images that validates; 0.2 by default.")
    ] = None,
    validation_data: Annotated[
        list[Path] | None, typer.Option(help="Annotation folder to validate on, in place of a share of the images.")
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="Model to start from: in the library, a folder, or built-in (2D_versatile_fluo).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same split and the same training; 0 by default.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="The engine's own parameter, such as rays=64."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write the job file NAME.job.json and stop.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the training to end.")] = False,
    json: AsJson = False,
    run: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Train a model on annotated images.

    The training runs in a process of its own: Ctrl-C here only stops watching. The model is then in the library.

    Example: napari-seg-trainer train --data annotations_nuclei --name my-nuclei
    """
    if run is not None:
        _train_here(Run(run))
        return
    options: dict[str, Any] = {
        "name": name,
        "data": data,
        "builtin": builtin,
        "validation_data": validation_data,
        "pixel_size": pixel_size,
        "pretrained": pretrained,
        "engine": engine,
        "validation_split": validation_split,
        "seed": seed,
        "channels": read_channels(channel or (), normalization or (), data or (), builtin or ()),
    }
    own: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "augmentation": augmentation,
        "early_stopping": early_stopping,
    }
    hyperparameters = _given(own) | parse_settings(settings or ())
    if job is None:
        _require(name, data or builtin)
        chosen = make_job(hyperparameters=hyperparameters, **({"engine": "stardist"} | _given(options)))
    elif _given(options) or hyperparameters:
        raise typer.BadParameter("Give a job file or options, not both: change the file instead.")
    else:
        chosen = read_job(job)
    if dry_run:
        _write_job(chosen, json)
        return
    started = launch(chosen)
    if json:
        print_json({"run": started.id, "folder": started.folder})
    else:
        say(f"Run {started.id}")
    if not detach:
        raise typer.Exit(watch(started, json))


def follow(run: RunName, json: AsJson = False) -> None:
    """Watch a training, from its beginning; Ctrl-C only stops watching."""
    raise typer.Exit(watch(find_run(run), json))


def stop(run: RunName, json: AsJson = False) -> None:
    """Ask a training to stop; its best epoch becomes the model."""
    found = find_run(run)
    state = found.state()
    if state not in ACTIVE_STATES:
        raise RunError(f"Run {found.id!r} is {state} already: there is nothing to stop.")
    found.request_stop()
    if json:
        print_json({"run": found.id, "stop": "requested"})
    else:
        say(f"Run {found.id} will stop soon and keep its best epoch.")


def runs(json: AsJson = False) -> None:
    """List all trainings, the newest first."""
    rows = [_summary(run) for run in list_runs()]
    if json:
        print_json({"runs": rows})
    elif not rows:
        say("There are no runs yet. 'napari-seg-trainer train --help' says how to start one.")
    else:
        print_table(
            ("run", "state", "epoch", "validation loss", "what happened"),
            [
                (
                    row["run"],
                    row["state"],
                    row["epochs"],
                    "" if row["val_loss"] is None else f"{row['val_loss']:.3f}",
                    row["note"],
                )
                for row in rows
            ],
        )


def _summary(run: Run) -> dict[str, Any]:
    events = run.events()
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    total = next((event.epochs for event in events if isinstance(event, Started)), None)
    best = [event.metrics["val_loss"] for event in epochs if event.is_best]
    last = events[-1] if events else None
    note = ""
    if isinstance(last, Failed):
        note = last.message
    elif isinstance(last, Finished | Stopped) and last.model is not None:
        note = f"model {last.model}"
    return {
        "run": run.id,
        "state": str(run.state()),
        "epochs": f"{epochs[-1].epoch if epochs else 0} of {total or '?'}",
        "val_loss": best[-1] if best else None,
        "note": note,
        "folder": str(run.folder),
    }


def _train_here(run: Run) -> None:
    """Be the training process of a run."""
    yield_to_others()
    if isinstance(train_run(run), Failed):
        raise typer.Exit(1)


def _require(name: str | None, data: object) -> None:
    if name is None:
        raise typer.BadParameter("Give the new model a name: --name NAME.")
    if not data:
        raise typer.BadParameter("Say what to train on: --data FOLDER or --builtin NAME.")


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that the user gave."""
    return {name: value for name, value in options.items() if value not in (None, ())}


def _write_job(job: TrainingJob, json: bool) -> None:
    ModelLibrary().check_new_name(job.name)
    path = Path(f"{job.name}.job.json")
    if path.exists():
        raise JobError(f"'{path}' exists already. Move it away, or choose another name.")
    with explained(path.absolute().parent, JobError):
        write_text(path.absolute(), job.model_dump_json(indent=2) + "\n")
    if json:
        print_json({"job": path})
    else:
        say(f"Job written to {path}. Train it with: napari-seg-trainer train {path}")
