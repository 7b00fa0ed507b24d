"""Floor 5: the same work from a shell (typer, rich)."""

from napari_seg_trainer.cli.app import app, main

__all__ = ["app", "main"]
