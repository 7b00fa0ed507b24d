"""How far a command has come with many images, and the time left, on a screen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TimeRemainingColumn

from napari_seg_trainer.cli.console import Words, err, out


@contextmanager
def counting(
    what: str, before: str = "loading the model", parts: bool = False
) -> Iterator[Callable[[float, int], None]]:
    """Show a bar while something goes on; nothing is shown where there is no screen.

    Parameters
    ----------
    what : str
        What is done to each.
    before : str
        What is done until the first call.
    parts : bool
        Show percent instead of how many, as of bytes; so it is for a single one, too.

    Yields
    ------
    callable
        Called with how many are done, parts of one included, and how many there are.
    """
    columns = (Words("{task.description}…"), BarColumn(), Words("{task.fields[note]}"), TimeRemainingColumn())
    # lines that are printed meanwhile stand above the bar, if they go through the same console
    console = out if out.is_terminal else err
    with Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(before, total=None, note="")

        def tell(done: float, total: int) -> None:
            note = f"{done / max(total, 1):.0%}" if parts or total == 1 else f"{int(done)} of {total}"
            progress.update(task, description=what, completed=done, total=total, note=note)

        yield tell
