"""What the export says: before, while it writes, and after."""

import os
from collections.abc import Sequence
from pathlib import Path

from napari_seg_trainer.annotations.replaced import Replaced, There
from napari_seg_trainer.napari_plugin.export.defaults import FolderContent
from napari_seg_trainer.napari_plugin.export.plan import ExportPlan, Item

_BREAK = "\u200b"  # where a long file name may be broken into lines


def preview(items: Sequence[Item], folder: Path, content: FolderContent) -> str:
    """Say what an export would write, and where."""
    taken = existing(items, content)
    after = content.images + len(items) - len(taken)
    if len(items) == 1:
        what = f"{items[0].stem}.tif and its mask".replace("_", f"_{_BREAK}")
    else:
        what = f"{len(items)} images and their masks"
    text = f"Writes {what} to {short(folder)} ({content.images} → {_images(after)})."
    if not taken:
        return text
    count = "It already exists" if len(items) == 1 else f"{len(taken)} of them already exist"
    return f"{text} {count}: you will be asked before anything is replaced."


def existing(items: Sequence[Item], content: FolderContent) -> list[Item]:
    """Return the items of which a file is there already."""
    return [item for item in items if any(os.path.normcase(name) in content.names for name in item.file_names)]


def question(there: Sequence[There], plan: ExportPlan, new_name: str) -> str:
    """Ask what is to happen where annotated images have the names of those to be exported.

    Parameters
    ----------
    there : sequence of There
    plan : ExportPlan
    new_name : str
        What the image can be called where another one has its name; empty where all are the same.
    """
    where = short(plan.folder)
    if new_name:
        other = _of(next(one for one in there if not one.same))
        return f"{other} in {where} is another image than {plan.labelled.name!r}, which can be called {new_name!r}."
    one = _of(there[0])
    what = f"{one} has" if len(there) == 1 else f"{len(there)} images, {one} among them, have"
    layers = f"{plan.labels.name!r} on {plan.labelled.name!r}"
    return (
        f"{what} annotations in {where} already. Replace them by the layer {layers}? The replaced files are kept "
        "in a folder next to it and can be restored."
    )


def _of(one: There) -> str:
    return f"{one.stem!r} ({one.made:%Y-%m-%d %H:%M})"


def progress(done: int, items: int, seconds: float) -> str:
    """Say how far it is, and from the third image on, how long it takes yet."""
    text = f"{done} of {items}"
    return f"{text}, {_duration(seconds / done * (items - done))} left" if 2 < done < items else text


def outcome(done: int, items: int, folder: Path) -> str:
    """Say what was written; not all of it where the user stopped, or something went wrong."""
    if done == items:
        return f"Wrote {done} annotated image{'s' if done > 1 else ''} to {short(folder)}."
    return f"Wrote {done} of {items} annotated images to {short(folder)}."


def undone(images: int, replaced: Replaced) -> str:
    """Say what was brought back, and where the other version is now."""
    where = f"{replaced.aside.name!r} beside it"
    return f"Restored {_images(images)} in {short(replaced.folder)}. The other version is in {where}."


def short(folder: Path) -> str:
    """Return the end of a path, which identifies it better than its beginning."""
    return str(folder) if len(folder.parts) <= 3 else f"…{os.sep}{os.path.join(*folder.parts[-2:])}"


def _images(count: int) -> str:
    return f"{count} image" if count == 1 else f"{count} images"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
