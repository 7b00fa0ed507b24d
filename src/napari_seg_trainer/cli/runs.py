"""Looking at trainings, stopping them, and going on with them."""

from typing import Annotated, Any

import typer

from napari_seg_trainer.cli.console import AsJson, Yes, confirm, err, in_shell, print_json, print_table, say
from napari_seg_trainer.cli.watch import watch
from napari_seg_trainer.errors import RunError
from napari_seg_trainer.runs import control
from napari_seg_trainer.runs.run import ACTIVE_STATES, Run, find_run, list_runs
from napari_seg_trainer.schema.events import EpochEnded, Failed, Finished, Started, Stopped

RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its model's name, or its folder.")]

Detach = Annotated[bool, typer.Option("--detach", help="Return at once instead of waiting for the training to end.")]

Force = Annotated[
    bool,
    typer.Option(
        "--force",
        help="Take a run that seems to be trained on another computer for interrupted. If it is trained there, that "
        "ends, and what it has not kept is lost.",
    ),
]


SimpleMethod = Annotated[
    bool,
    typer.Option(
        "--simple-method",
        help="Instead, make a model of the simple method (Otsu threshold and watershed) that the training's model was "
        "compared with.",
    ),
]


def follow(run: RunName, json: AsJson = False) -> None:
    """Show a training from its start; Ctrl-C only ends the display."""
    raise typer.Exit(watch(find_run(run), json))


def stop(run: RunName, json: AsJson = False) -> None:
    """Stop a training; its best epoch becomes the model."""
    found = find_run(run)
    state = found.state()
    if state not in ACTIVE_STATES:
        raise RunError(f"Run {found.id!r} is {state} already: there is nothing to stop.")
    found.request_stop()
    if json:
        print_json({"run": found.id, "stop": "requested"})
    else:
        say(f"Run {found.id} will stop soon and keep its best epoch.")


def cancel(run: RunName, json: AsJson = False) -> None:
    """Cancel a training without making a model; 'resume' can continue it."""
    found = find_run(run)
    with err.status("waiting for the training to end…"):
        last = control.cancel(found)
    if json:
        print_json({"run": found.id, "state": found.state(), "model": None if isinstance(last, Failed) else last.model})
    elif isinstance(last, Stopped) and last.model is None:
        say(f"Run {found.id} is cancelled. 'napari-seg-trainer resume {in_shell(found.id)}' continues it.")
    else:
        say(f"Run {found.id} had {found.state()} already.")


def resume(run: RunName, detach: Detach = False, force: Force = False, json: AsJson = False) -> None:
    """Continue a training that was interrupted, stopped, cancelled or failed, after its last completed epoch."""
    found = find_run(run)
    control.resume(found, force=force)
    _tell_and_watch(found, detach, json)


def _tell_and_watch(run: Run, detach: bool, json: bool) -> None:
    if json:
        print_json({"run": run.id, "folder": run.folder})
    else:
        say(f"Run {run.id}")
    if not detach:
        raise typer.Exit(watch(run, json, run.attempt_begin()))


def keep(
    run: RunName,
    simple_method: SimpleMethod = False,
    detach: Detach = False,
    force: Force = False,
    json: AsJson = False,
) -> None:
    """Make a model of the best epoch of a training that was interrupted, cancelled or failed."""
    found = find_run(run)
    if simple_method:
        from napari_seg_trainer.runs.baseline import keep_simple_method  # what scores is slow to import

        model = keep_simple_method(found)
        if json:
            print_json({"model": model.name})
        else:
            say(f"Model '{model.name}' is in the library.")
        return
    control.keep(found, force=force)
    _tell_and_watch(found, detach, json)


def delete_run(run: RunName, yes: Yes = False, force: Force = False, json: AsJson = False) -> None:
    """Delete a training's curves and weights. Its model stays in the library."""
    found = find_run(run)
    control.check_deletable(found, force=force)
    confirm(f"Delete run {found.id!r} permanently?", yes)
    control.delete_run(found, force=force)
    if json:
        print_json({"deleted": found.id})
    else:
        say(f"Run {found.id} is deleted.")


def runs(json: AsJson = False) -> None:
    """List all trainings, newest first."""
    rows = [_row(run) for run in list_runs()]
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


def _row(run: Run) -> dict[str, Any]:
    """Return what is listed of a run; of one that cannot be read, why."""
    try:
        return _summary(run)
    except RunError as error:
        said = {"state": "cannot be read", "epochs": "", "val_loss": None, "note": str(error)}
        return {"run": run.id, **said, "folder": str(run.folder)}


def _summary(run: Run) -> dict[str, Any]:
    events = run.events()
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    told = [event.epochs for event in events if isinstance(event, Started | EpochEnded) and event.epochs]
    best = [event.metrics["val_loss"] for event in epochs if event.is_best]
    last = run.outcome()
    note = ""
    if isinstance(last, Failed):
        note = last.message
    elif isinstance(last, Finished | Stopped) and last.model is not None:
        note = f"model {last.model}"
    elif isinstance(last, Stopped):
        note = f"no model: {last.reason}"
    return {
        "run": run.id,
        "state": str(run.state()),
        "epochs": f"{epochs[-1].epoch if epochs else 0} of {told[-1] if told else '?'}",
        "val_loss": best[-1] if best else None,
        "note": note,
        "folder": str(run.folder),
    }
