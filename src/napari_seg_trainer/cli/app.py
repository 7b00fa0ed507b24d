"""The command line: the same work from a shell."""

import errno
import io
import logging
import os
import sys
import traceback
from contextlib import suppress
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from napari_seg_trainer.cli.console import fail, say
from napari_seg_trainer.cli.data import check
from napari_seg_trainer.cli.demo import demo
from napari_seg_trainer.cli.library import delete_model, export_model, import_model, models, rename_model
from napari_seg_trainer.cli.runs import cancel, delete_run, follow, keep, resume, runs, stop
from napari_seg_trainer.cli.share import export_bioimageio
from napari_seg_trainer.cli.train import train
from napari_seg_trainer.cli.use import compare, evaluate, report, segment, suggest
from napari_seg_trainer.errors import SegTrainerError
from napari_seg_trainer.paths import NoHomeError, home
from napari_seg_trainer.priority import set_variables

app = typer.Typer(
    name="napari-seg-trainer",
    help="Train a segmentation model on your own corrected images, and segment with it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        say(f"napari-seg-trainer {version('napari-seg-trainer')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Have options that need no command."""


COMMANDS = {
    "Train": (demo, check, train),
    "Trainings": (runs, follow, stop, cancel, resume, keep, delete_run),
    "Use a model": (segment, suggest, evaluate, compare, report),
    "Model library": (models, rename_model, delete_model, export_model, import_model, export_bioimageio),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def main() -> NoReturn:
    """Run a command and exit with 0, with 1 where data or a model cannot be used, with 2 for wrong usage."""
    set_variables()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal of few letters shows the others as codes
        sys.stdout.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        try:
            app()
        finally:
            _flush()
    except SegTrainerError as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # who reads has had enough
        _give_up_printing()
        sys.exit(1)
    except NoHomeError as error:
        fail(f"'{error.filename}': {error.strerror}.")
    except OSError as error:
        _give_up_printing()
        fail(_about_surroundings(error) or f"{_first_line(error)}. {_keep_traceback()}")
    except Exception as error:  # noqa: BLE001 - the last resort: one line for the user, the traceback to the log
        fail(f"{_first_line(error)}. {_keep_traceback()}")
    sys.exit(0)


def _flush() -> None:
    """Print what waits to be: that it cannot be is reported too late where Python itself finds it at its end."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _give_up_printing() -> None:
    """Have what could not be printed go nowhere, so that it is not tried again at the end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(nowhere, sys.stdout.fileno())
        finally:
            os.close(nowhere)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _about_surroundings(error: OSError) -> str:
    """Return what is wrong with where the command runs, and no fault of the program; else nothing."""
    try:
        os.getcwd()
    except OSError:
        return "The current folder no longer exists: it was deleted, or its disk was removed. Change to another folder."
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
        return f"The output cannot be written: {error.strerror}. Redirect it elsewhere."
    return ""


def _keep_traceback() -> str:
    path = home() / "log.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    except OSError:
        return "This is a bug in napari-seg-trainer. Please report it."
    return f"This is a bug in napari-seg-trainer: please report it with the end of '{path}'."
