"""Passing models on to other programs."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from napari_seg_trainer.annotations.image_file import read_image
from napari_seg_trainer.annotations.prepare import rescale_image
from napari_seg_trainer.cli.console import AsJson, err, print_json, say
from napari_seg_trainer.cli.quiet import frameworks_logged
from napari_seg_trainer.cli.use import Channels, Model
from napari_seg_trainer.library.bioimageio.export import export_bioimageio as write_package
from napari_seg_trainer.library.bioimageio.process import LICENSES
from napari_seg_trainer.library.pretrained import open_model
from napari_seg_trainer.schema.model_card import ModelCard
from napari_seg_trainer.segmentation.request import SegmentRequest, fit


def export_bioimageio(
    model: Model,
    file: Annotated[Path, typer.Argument(metavar="FILE.zip", help="Zip file to write.")],
    author: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Author of the model; may be given several times. You, by default."),
    ] = None,
    license: Annotated[str, typer.Option(help=f"License: {', '.join(LICENSES)}.")] = LICENSES[0],
    image: Annotated[
        Path | None, typer.Option(help="Example image whose central crop will be public; a synthetic one by default.")
    ] = None,
    channel: Channels = None,
    pixel_size: Annotated[
        float | None, typer.Option(help="Pixel size of the image in µm, if its file does not contain it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an existing file.")] = False,
    json: AsJson = False,
) -> None:
    """Write a model to a zip file in the format of the BioImage Model Zoo (bioimage.io).

    It contains the network, a test image, documentation, and the files that the engine's own package needs.
    """
    opened = open_model(model)
    example = None if image is None else _example(opened.card, image, tuple(channel or ()), pixel_size)
    with frameworks_logged(), err.status("exporting…"):
        path = write_package(opened, file, authors=author or (), license=license, image=example, overwrite=overwrite)
    if json:
        print_json({"model": opened.name, "file": path})
    else:
        say(f"Model {opened.name!r} is in {path}.")


def _example(card: ModelCard, path: Path, use: tuple[str, ...], pixel_size: float | None) -> NDArray[Any]:
    """Return the model's channels of an image (CYX), at the model's pixel size."""
    image = read_image(path)
    size = image.pixel_size if pixel_size is None else pixel_size
    how = fit(card, image.data, SegmentRequest(image.channels, size, use, str(path)))
    return rescale_image(image.data[list(how.places)].astype(np.float32), how.factor)
