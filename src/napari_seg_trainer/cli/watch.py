"""A run's progress: bars on a screen, lines where there is none, events as JSON on request."""

import sys
from collections.abc import Iterable

from rich.progress import BarColumn, Progress, TaskID

from napari_seg_trainer.cli.console import Words, duration, err, in_shell, out, say, show_error
from napari_seg_trainer.pages import VERDICT
from napari_seg_trainer.runs.run import Run
from napari_seg_trainer.runs.summaries import how_stopped
from napari_seg_trainer.schema import events
from napari_seg_trainer.schema.events import Event

_BESIDE = " " * 11
_SIMPLE = "'napari-seg-trainer keep RUN --simple-method' adds the simple method to the library."
"""Before what belongs to the epoch above."""
_MEASURES = (("AP", "ap50"), ("F1", "f1_50"))

Happenings = Iterable[Event | None]


def watch(run: Run, json: bool = False, offset: int = 0) -> int:
    """Show a run until it ends or the user presses Ctrl-C; return the command's exit status.

    What stands before byte `offset` of its events is not shown.
    """
    happenings = run.follow(offset=offset)
    try:
        if json:
            _print_events(happenings)
        elif out.is_terminal:
            _show_bars(happenings)
        else:
            _print_lines(happenings)
    except KeyboardInterrupt:
        name = in_shell(run.id)
        err.print(f"The training continues. 'napari-seg-trainer follow {name}' shows it, 'stop {name}' ends it.")
        return 130
    return _conclude(run, json)


def _print_events(happenings: Happenings) -> None:
    for event in happenings:
        if event is not None:
            sys.stdout.write(event.model_dump_json() + "\n")
            sys.stdout.flush()


def _print_lines(happenings: Happenings) -> None:
    epochs: int | None = None
    stage = ""
    for event in happenings:
        if isinstance(event, events.Started):
            epochs = event.epochs
            say(_started(event))
        elif isinstance(event, events.EpochEnded):
            epochs = event.epochs or epochs
            say(_epoch(event, epochs))
        elif isinstance(event, events.Evaluated | events.Baseline | events.Verdict):
            for line in _scored(event):
                say(line)
        elif isinstance(event, events.Log):
            say(f"{'Note' if event.level == 'info' else 'Warning'}: {event.message}")
        elif isinstance(event, events.Progress) and event.stage not in (stage, "training"):
            stage = event.stage
            say(f"{stage}…")


def _show_bars(happenings: Happenings) -> None:
    columns = (Words("{task.description}"), BarColumn(), Words("{task.fields[note]}"))
    epochs: int | None = None
    with Progress(*columns, console=out, transient=True) as progress:
        whole: TaskID = progress.add_task("preparing", total=None, note="")
        part: TaskID = progress.add_task("", total=1, note="", visible=False)
        for event in happenings:
            if isinstance(event, events.Started):
                epochs = event.epochs
                progress.console.print(_started(event), markup=False)
                progress.update(
                    whole, description="training", total=epochs, completed=event.epoch - 1, note="measuring…"
                )
            elif isinstance(event, events.EpochEnded):
                epochs = event.epochs or epochs
                left = "measuring…" if event.seconds_left is None else f"{duration(event.seconds_left)} left"
                note = f"epoch {_of(event.epoch, epochs)}, {left}"
                progress.update(whole, completed=event.epoch, total=epochs, note=note)
                progress.update(part, visible=False)
                progress.console.print(_epoch(event, epochs))
            elif isinstance(event, events.Progress):
                progress.update(part, description=event.stage, completed=event.done, total=event.total, visible=True)
                if event.seconds_left is not None:
                    note = f"epoch {_of(event.epoch or 0, epochs)}, {duration(event.seconds_left)} left"
                    progress.update(whole, note=note)
            elif isinstance(event, events.Evaluated | events.Baseline | events.Verdict):
                for line in _scored(event):
                    progress.console.print(line, markup=False)
            elif isinstance(event, events.Log):
                progress.console.print(event.message, markup=False)


def _started(event: events.Started) -> str:
    begin = "" if event.epoch == 1 else f"continuing with epoch {event.epoch}: "
    many = "epochs" if event.epochs is None else f"{'at most ' * event.is_limit}{event.epochs} epochs"
    return (
        f"{begin}{many} of {event.steps_per_epoch} steps on {event.training_images} images "
        f"({event.validation_images} validate), on {event.device}"
    )


def _of(epoch: int, epochs: int | None) -> str:
    return f"{epoch:>3}" if epochs is None else f"{epoch:>3} of {epochs}"


def _epoch(event: events.EpochEnded, epochs: int | None) -> str:
    left = "estimating the time left" if event.seconds_left is None else f"{duration(event.seconds_left)} left"
    best = "  best so far" if event.is_best else ""
    loss, validation = event.metrics["loss"], event.metrics["val_loss"]
    return f"epoch {_of(event.epoch, epochs)}  loss {loss:.4f}  validation loss {validation:.4f}  {left}{best}"


def _scored(event: events.Evaluated | events.Baseline | events.Verdict) -> tuple[str, ...]:
    """Return what scores and a verdict say, in lines."""
    if isinstance(event, events.Verdict):
        if event.epoch is not None:
            return tuple(f"{_BESIDE}{said}" for said in event.sentences)
        hint = (_SIMPLE,) if event.is_simple_better else ()
        return *event.sentences, *hint, f"What this means: {VERDICT}"
    numbers = ", ".join(f"{name} {event.scores[key]:.3f}" for name, key in _MEASURES if key in event.scores)
    if isinstance(event, events.Baseline):
        return (f"Baseline: {event.name}, with {numbers} at IoU 0.5",)
    if event.dataset != "validation":
        return (f"{event.dataset.capitalize()} images: {numbers} at IoU 0.5 on {event.images}",)
    return (f"{_BESIDE}{numbers} at IoU 0.5 on {event.images} validation images",) if event.epoch else ()


def _conclude(run: Run, json: bool) -> int:
    last = run.outcome()
    problem = _problem(run, last)
    if problem:
        show_error(problem)
        return 1
    if not json and isinstance(last, events.Finished | events.Stopped):
        if isinstance(last, events.Stopped):
            say(how_stopped(last))
        if last.model is None:
            say(f"No model was created. 'napari-seg-trainer resume {in_shell(run.id)}' continues the training.")
        else:
            say(f"Model {last.model!r} is in the library (best epoch: {last.best_epoch}).")
            say(f"Use it: napari-seg-trainer segment {in_shell(last.model)} IMAGE.tif --output segmented")
    return 0


def _problem(run: Run, last: Event | None) -> str | None:
    if isinstance(last, events.Failed):
        return last.message
    if isinstance(last, events.TERMINAL_EVENTS):
        return None
    log = run.folder / "log.txt"
    return (
        f"Run {run.id!r} was interrupted: its process ended. '{log}' may show why. "
        f"'napari-seg-trainer resume {in_shell(run.id)}' continues it, 'keep' makes a model from its best epoch."
    )
