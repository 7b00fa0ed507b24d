"""The models in the library: listing, renaming, deleting, giving away and taking in."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from napari_seg_trainer.cli.console import AsJson, Yes, confirm, err, print_json, print_table, say
from napari_seg_trainer.cli.counting import counting
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.library.archive import SUFFIX
from napari_seg_trainer.library.archive import export_model as write_archive
from napari_seg_trainer.library.archive import import_model as read_archive
from napari_seg_trainer.library.library import ModelLibrary
from napari_seg_trainer.library.pretrained import open_model, starters

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a model in the library.")]


def models(json: AsJson = False) -> None:
    """List the models in the library."""
    library = ModelLibrary()
    found = sorted(library, key=lambda model: model.card.created, reverse=True)
    broken = library.broken()
    if json:
        cards = [model.card.model_dump(mode="json") | {"folder": str(model.folder)} for model in found]
        print_json({"models": cards, "broken": broken})
        return
    if not found:
        say(
            f"The model library ({library.folder}) is empty. "
            "'napari-seg-trainer train --help' says how to make a model."
        )
    else:
        print_table(
            ("name", "engine", "channels", "pixel size", "AP50", "made"),
            [
                (
                    model.name,
                    model.card.engine,
                    ", ".join(channel.name for channel in model.card.channels),
                    f"{model.card.pixel_size:g} µm" if model.card.pixel_size else "any",
                    f"{model.card.scores['ap50']:.2f}" if "ap50" in model.card.scores else "",
                    model.card.created.astimezone().strftime("%Y-%m-%d %H:%M"),
                )
                for model in found
            ],
        )
    along = ", ".join(model.name for _, model in starters())
    if along:
        say(f"Included starter models, which can be used by name: {along}.")
    for reason in broken.values():
        err.print(f"[yellow]Warning:[/] {escape(reason)}")


def rename_model(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Name of a model in the library.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")],
    json: AsJson = False,
) -> None:
    """Rename a model in the library."""
    _check_own(old)
    model = ModelLibrary().rename(old, new)
    if json:
        print_json({"model": model.name, "old": old, "folder": model.folder})
    else:
        say(f"Model {old!r} is now {model.name!r}.")


def _check_own(name: str) -> None:
    if name not in ModelLibrary() and any(name == model.name for _, model in starters()):
        raise LibraryError(f"Model {name!r} comes with this program: it can be neither renamed nor deleted.")


def delete_model(model: ModelName, yes: Yes = False, json: AsJson = False) -> None:
    """Permanently delete a model from the library."""
    library = ModelLibrary()
    _check_own(model)
    library.require(model)
    confirm(f"Delete model {model!r} permanently?", yes)
    library.delete(model)
    if json:
        print_json({"deleted": model})
    else:
        say(f"Model {model!r} is deleted.")


def export_model(
    model: ModelName,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE.segmodel]", help="File to write; MODEL.segmodel by default."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Overwrite an existing file.")] = False,
    json: AsJson = False,
) -> None:
    """Export a model to a single file, to share it.

    It is a zip file, even if its name ends in .segmodel: napari recognises models by that extension.
    """
    found = open_model(model)
    file = Path(f"{found.name}{SUFFIX}") if file is None else file
    with counting("exporting", "exporting", parts=True) as progress:
        path = write_archive(found, file, overwrite=overwrite, progress=progress)
    if json:
        print_json({"model": found.name, "file": path})
    else:
        say(f"Model {found.name!r} is in {path}.")


def import_model(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A model file or folder; those of StarDist and Celldetective work too."),
    ],
    name: Annotated[str | None, typer.Option(help="Name of the model in the library.")] = None,
    json: AsJson = False,
) -> None:
    """Copy a model from a file or a folder into the library.

    If the name is taken, a number is added, such as nuclei-2.
    """
    with counting("importing", "importing", parts=True) as progress:
        model = read_archive(path, name=name, progress=progress)
    if json:
        print_json({"model": model.name, "folder": model.folder})
    else:
        say(f"Model {model.name!r} is in the library.")
