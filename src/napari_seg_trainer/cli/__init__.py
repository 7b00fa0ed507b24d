"""Floor 5: the same work from a shell (typer, rich)."""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command ``napari-seg-trainer``; its modules are loaded only now, as `command_line` needs few of them."""
    try:
        from napari_seg_trainer.cli.app import main as run
    except KeyboardInterrupt:  # while it loads; `run` sees to the rest
        sys.exit(130)
    run()
