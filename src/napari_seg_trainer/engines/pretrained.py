"""Models that an engine brings, to be fetched on first use."""

from importlib.resources import files
from pathlib import Path

from napari_seg_trainer.schema._base import FrozenModel


class PretrainedModel(FrozenModel):
    """A built-in model of an engine.

    Attributes
    ----------
    name : str
        What users call it.
    title : str
        What it is good for, in a few words.
    url : str
        Where its zip archive is, or its file of weights: ``"https://..."``, or ``"package:NAME/PATH"`` of one that
        comes along in a package.
    checksum : str
        Of that file, such as ``"sha256:..."``; None where none is published.
    channels : tuple of str
        Names of its inputs; of a model of this project, its card names them.
    is_starter : bool
        Whether trainings start from it by themselves where it suits the images.
    """

    name: str
    title: str
    url: str
    checksum: str | None
    channels: tuple[str, ...] = ()
    is_starter: bool = False

    @property
    def is_archive(self) -> bool:
        """Whether it comes as a zip archive."""
        return self.url.endswith(".zip")

    def file(self) -> Path | None:
        """Return the file that comes along in a package; None for one that is to be fetched."""
        kind, _, place = self.url.partition(":")
        package, _, inside = place.partition("/")
        return Path(str(files(package) / inside)) if kind == "package" else None
