"""What the commands share: where text goes, JSON, errors, tables."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Task, TextColumn
from rich.table import Table
from rich.text import Text

from napari_seg_trainer.evaluation.scores import Scores
from napari_seg_trainer.schema.texts import visible


class _Clean(Console):
    """Shows what cannot be seen as its code: texts may be from strangers' files, and move the cursor or worse."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Make of a text what is printed; everything that is printed goes through here."""
        return super().render_str(visible(text), **options)


class Words(TextColumn):
    """Words beside a bar."""

    def render(self, task: Task) -> Text:
        """Return them as they are, but for what cannot be seen."""
        return Text(visible(self.text_format.format(task=task)))


out = _Clean(highlight=False, emoji=False, soft_wrap=True)
err = _Clean(stderr=True, highlight=False, emoji=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]


def in_shell(*words: object) -> str:
    """Return the words of a command as this system's shell takes them: names may have spaces."""
    texts = [str(word) for word in words]
    return subprocess.list2cmdline(texts) if os.name == "nt" else shlex.join(texts)


def say(text: str) -> None:
    """Print a line as it is."""
    out.print(escape(text))


def print_json(value: Any) -> None:
    """Print one JSON object on a line; NaN and infinity stay what they are."""
    out.print(json.dumps(value, default=str), markup=False)
    out.file.flush()


def show_error(message: str) -> None:
    """Print an error for the user."""
    err.print(f"[bold red]Error:[/] {escape(message)}")


def show_warning(message: str) -> None:
    """Print a warning for the user."""
    err.print(f"[bold yellow]Warning:[/] {escape(message)}")


def fail(message: str) -> NoReturn:
    """Print an error for the user and exit with status 1."""
    show_error(message)
    sys.exit(1)


def confirm(question: str, yes: bool) -> None:
    """Ask before something is lost, unless `yes`; where nobody can answer, ``--yes`` is needed.

    Raises
    ------
    typer.Abort
        If the answer is no.
    typer.BadParameter
        If nobody can be asked.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} There is no terminal to confirm in: add --yes.")
    typer.confirm(visible(question), abort=True, err=True)


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    out.print(table)


def print_scores(scores: Scores) -> None:
    """Print each image's AP and the pooled scores."""
    print_table(
        ("image", "objects", "found", "AP50", "AP70", "AP90"),
        [
            (
                score.image,
                str(score.matchings[0].true_objects),
                str(score.matchings[0].predicted_objects),
                *(f"{score.scores[key]:.2f}" for key in ("ap50", "ap70", "ap90")),
            )
            for score in scores.images
        ],
    )
    say("")
    say(f"All {len(scores.images)} images together")
    print_table(
        ("IoU", "precision", "recall", "F1", "AP", "AP, mean of images"),
        [
            (
                f"0.{iou // 10}",
                *(f"{scores.pooled[key]:.3f}" for key in (f"precision{iou}", f"recall{iou}", f"f1_{iou}", f"ap{iou}")),
                f"{scores.mean[f'ap{iou}']:.3f}",
            )
            for iou in (50, 70, 90)
        ],
    )


def duration(seconds: float) -> str:
    """Return a time such as ``4:12`` or ``1:04:12``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
