"""Which files of a folder belong together.

Three conventions are known: Celldetective's (``STEM.tif``, ``STEM_labelled.tif``, ``STEM.json``), Cellpose's
(``STEM.tif`` or ``STEM_img.tif`` with ``STEM_masks.tif``, ``STEM_cp_masks.png`` or ``STEM_seg.npy``, also in a folder
``masks``) and StarDist's (``images/NAME.tif`` with ``masks/NAME.tif``). Other usual endings of masks are known, too.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_seg_trainer.annotations.annotated_image import LABELS_SUFFIX
from napari_seg_trainer.annotations.file_names import (
    is_by_product,
    mask_ending,
    stem_of,
    stems,
    without_channel,
    without_image_ending,
    without_mask_ending,
)
from napari_seg_trainer.annotations.pixels import IMAGE_SUFFIXES
from napari_seg_trainer.annotations.seg_npy import SEG_SUFFIX
from napari_seg_trainer.annotations.sidecar import FOLDER_CHANNELS
from napari_seg_trainer.annotations.together import finish_interrupted
from napari_seg_trainer.errors import DataError

Layout = Literal["celldetective", "cellpose", "stardist", "other"]
LAYOUT_TITLES: dict[str, str] = {
    "celldetective": "Celldetective", "cellpose": "Cellpose", "stardist": "StarDist", "other": "masks by their names",
}  # fmt: skip

_CONVENTIONS: dict[str, Layout] = {LABELS_SUFFIX: "celldetective", "_masks": "cellpose"}
_EXPECTED = "STEM.tif with STEM_labelled.tif, STEM_masks.tif or STEM_seg.npy, or images/NAME.tif with masks/NAME.tif"


@dataclass(frozen=True)
class Pair:
    """The files of one annotated image.

    Attributes
    ----------
    image, labels : Path
    sidecar : Path, optional
        The JSON file beside the image, where there is one.
    stem : str
    more : tuple of Path
        Files with further channels of the image, one each.
    older : tuple of Path
        Other masks of the image, the newest first; none is newer than `labels`.
    """

    image: Path
    labels: Path
    sidecar: Path | None
    stem: str
    more: tuple[Path, ...] = ()
    older: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes
    ----------
    layout : str
        ``"celldetective"``, ``"cellpose"``, ``"stardist"`` or ``"other"``; the commonest where a folder mixes them.
    pairs : tuple of Pair
        Sorted by stem.
    unpaired : tuple of Path
        Images without a mask and masks without an image.
    """

    layout: str
    pairs: tuple[Pair, ...]
    unpaired: tuple[Path, ...]


@dataclass
class _Files:
    """The files of one folder, by stem: of images, by that of the image that a mask is of, and of JSON files."""

    images: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    masks: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    sidecars: dict[str, Path] = field(default_factory=dict)


def list_pairs(folder: Path) -> Listing:
    """List the annotated images of a folder; their content is not looked at.

    Parameters
    ----------
    folder : Path
        An annotation folder of any known layout. Hidden and temporary files are passed over.

    Returns
    -------
    Listing

    Raises
    ------
    DataError
        If the folder is missing, unreadable, empty, without any pair, or if it is not clear what belongs together.
    """
    listing = _scan(folder)
    if listing.pairs:
        return listing
    raise DataError(_nothing_found(folder, listing))


def list_images(folder: Path) -> list[Path]:
    """Return the images in a folder, by name; masks, and what segmentation programs leave beside images, are none.

    Raises
    ------
    DataError
        If the folder is missing, unreadable or empty.
    """
    files = _sort(entry for entry in _entries(folder) if not os.path.isdir(entry))
    return sorted(path for paths in files.images.values() for path in paths)


def masks_of(folder: Path, stem: str) -> list[Path]:
    """Return the masks in a folder that belong to an image of this stem, whatever program they come from."""
    return _sort(_files_of(folder)).masks.get(stem, [])


def without_masks(images: Iterable[Path]) -> list[Path]:
    """Return those images that have no mask beside them; each folder is listed once."""
    masks: dict[Path, Mapping[str, object]] = {}
    kept = []
    for image in images:
        if image.parent not in masks:
            masks[image.parent] = _sort(_files_of(image.parent)).masks
        if not any(stem in masks[image.parent] for stem in stems(image)):
            kept.append(image)
    return kept


def sidecar_of(image: Path, there: Mapping[str, Path] | None = None) -> Path | None:
    """Return the JSON file beside an image, which is called like it; None where there is none.

    Parameters
    ----------
    image : Path
    there : mapping of str to Path, optional
        The JSON files in its folder, by their stems, if they are known.
    """
    if there is None:
        there = {stem: beside for stem in stems(image) if (beside := image.with_name(f"{stem}.json")).is_file()}
    return next((there[stem] for stem in stems(image) if stem in there), None)


def _scan(folder: Path) -> Listing:
    entries = _entries(folder)
    subfolders = {entry.name.lower(): entry for entry in entries if os.path.isdir(entry)}
    # a folder with the name of a sidecar is reported when it is read
    flat = _sort(path for path in entries if path.suffix.lower() == ".json" or not os.path.isdir(path))
    found, unpaired = _match(flat)
    masks = subfolders.get("masks") or subfolders.get("labels")
    if masks is not None:
        # without a folder of images, they lie beside that of the masks
        inner = _sort(_files_of(subfolders["images"]), all_images=True) if "images" in subfolders else flat
        more, others = _match_folders(inner, masks, {pair.image for pair, _ in found})
        found, unpaired = [*found, *more], [*({*unpaired} - {pair.image for pair, _ in more}), *others]
    _check_unique([pair for pair, _ in found])
    _check_names([pair for pair, _ in found])
    layouts = Counter(layout for _, layout in found)
    layout = layouts.most_common(1)[0][0] if layouts else "celldetective"
    pairs = tuple(sorted((pair for pair, _ in found), key=lambda p: p.stem))
    return Listing(layout, pairs, tuple(sorted(set(unpaired))))


def _entries(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)
        if finish_interrupted(folder, names):
            names = os.listdir(folder)
    except FileNotFoundError as error:
        raise DataError(f"Folder '{folder}' does not exist. Check the path.") from error
    except NotADirectoryError as error:
        raise DataError(f"'{folder}' is a file. Choose the folder that holds the annotated images.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"Folder '{folder}' cannot be read: {reason}. Check its permissions.") from error
    kept = [name for name in names if not name.startswith(".") and not name.endswith(("~", ".tmp", ".part"))]
    if not kept:
        raise DataError(f"Folder '{folder}' is empty. Export annotations into it, or choose another folder.")
    return [folder / name for name in sorted(kept)]


def _sort(paths: Iterable[Path], *, all_images: bool = False) -> _Files:
    """Distinguish images, masks and JSON files by their names; in a folder of images, all pictures are some."""
    files = _Files()
    for path in paths:
        name, stem = path.name.lower(), stem_of(path)
        if name.endswith(".json"):
            if name == FOLDER_CHANNELS:
                continue
            files.sidecars[path.stem] = path
        elif name.endswith(SEG_SUFFIX):
            files.masks[path.name[: -len(SEG_SUFFIX)]].append(path)
        elif not name.endswith(IMAGE_SUFFIXES) or is_by_product(stem):
            continue
        elif all_images or without_mask_ending(stem) == stem:
            files.images[stem].append(path)
        else:
            files.masks[without_mask_ending(stem)].append(path)
    return files


def _match(files: _Files) -> tuple[list[tuple[Pair, Layout]], list[Path]]:
    """Pair what lies in one folder; also return what is left over."""
    found: list[tuple[Pair, Layout]] = []
    unpaired: list[Path] = []
    used: set[Path] = set()
    by_name, parts = _by_name(files.images), _channel_files(files.images)
    masks_by_stem: dict[str, list[Path]] = defaultdict(list)
    for stem, masks in files.masks.items():
        # x.ome_labelled.tif is the mask of x.ome.tif; where x.tif is there too, x_labelled.tif is that one's
        plain = stem if stem in by_name or not stem.lower().endswith(".ome") else stem[:-4]
        masks_by_stem[plain] += masks
    for stem, masks in masks_by_stem.items():
        mask, *older = _newest_first(masks)
        channels = parts.get(stem, []) if stem not in by_name else [_one_image(mask, by_name[stem])]
        if not channels:
            unpaired.extend(masks)
            continue
        sidecar = sidecar_of(channels[0], files.sidecars) or files.sidecars.get(stem)
        plain = without_image_ending(stem_of(channels[0])) if len(channels) == 1 else stem
        found.append((Pair(channels[0], mask, sidecar, plain, tuple(channels[1:]), tuple(older)), _convention(mask)))
        used.update(channels, by_name.get(stem, ()))
    unpaired.extend(path for paths in files.images.values() for path in paths if path not in used)
    return found, unpaired


def _by_name(images: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Return images by all that their masks may be called; a name that is one's own is not another's."""
    found: dict[str, list[Path]] = defaultdict(list)
    for rank in range(4):
        taken = set(found)
        for path in (path for paths in images.values() for path in paths):
            name = next(iter(stems(path)[rank : rank + 1]), None)
            if name is not None and name not in taken:
                found[name].append(path)
    return dict(found)


def _channel_files(images: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Return images of several files with a channel each, by what is the same in their names."""
    parts: dict[str, list[Path]] = defaultdict(list)
    for stem, paths in images.items():
        if without_channel(stem) and len(paths) == 1:
            parts[without_channel(stem)].append(paths[0])
    return {stem: sorted(paths) for stem, paths in parts.items()}


def _newest_first(masks: Iterable[Path]) -> list[Path]:
    def age(mask: Path) -> tuple[float, str]:
        try:
            return -mask.stat().st_mtime, mask.name
        except OSError:
            return 0.0, mask.name

    return sorted(masks, key=age)


def _convention(mask: Path) -> Layout:
    if mask.name.lower().endswith(SEG_SUFFIX):
        return "cellpose"
    ending = mask_ending(stem_of(mask))
    return "cellpose" if ending.startswith("_cp_masks") else _CONVENTIONS.get(ending, "other")


def _match_folders(images: _Files, folder: Path, taken: Iterable[Path]) -> tuple[list[tuple[Pair, Layout]], list[Path]]:
    """Pair images with the masks in a folder of their own, which are called alike, with an ending or without."""
    masks: dict[str, list[Path]] = defaultdict(list)
    for path in _files_of(folder):
        if path.name.lower().endswith(IMAGE_SUFFIXES) and not is_by_product(stem_of(path)):
            masks[stem_of(path)].append(path)
    by_ending: dict[str, list[Path]] = defaultdict(list)
    for stem, paths in masks.items():
        by_ending[without_mask_ending(stem)] += paths
    found: list[tuple[Pair, Layout]] = []
    used: set[Path] = set(taken)
    for stem, pictures in images.images.items():
        names = [stem, without_image_ending(stem)]
        alike = next((some[name] for some in (masks, by_ending) for name in names if name in some), None)
        if alike is None or not used.isdisjoint(pictures):
            continue
        mask, *older = _newest_first(alike)
        image = _one_image(mask, pictures)
        layout: Layout = "cellpose" if _convention(mask) == "cellpose" else "stardist"
        found.append((Pair(image, mask, sidecar_of(image, images.sidecars), names[-1], (), tuple(older)), layout))
        used.update(pictures, alike)
    single = [path for paths in (*images.images.values(), *masks.values()) for path in paths if path not in used]
    return found, single


def _files_of(folder: Path) -> list[Path]:
    try:
        return [path for path in _entries(folder) if not os.path.isdir(path)]
    except DataError:
        # an empty or locked folder of images pairs nothing; the listing then says that there are no pairs
        return []


def _one_image(mask: Path, images: list[Path]) -> Path:
    alike = [path for path in images if path.suffix.lower() == mask.suffix.lower()]
    for candidates in (images, alike):
        if len(candidates) == 1:
            return candidates[0]
    raise DataError(_ambiguous(stem_of(images[0]), "images", images))


def _check_unique(pairs: list[Pair]) -> None:
    for stem, count in Counter(pair.stem for pair in pairs).items():
        if count > 1:
            raise DataError(_ambiguous(stem, "images", [pair.image for pair in pairs if pair.stem == stem]))


def _check_names(pairs: list[Pair]) -> None:
    """Refuse names that cannot be written into a run's files."""
    for path in (path for pair in pairs for path in (pair.image, pair.labels)):
        try:
            str(path).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"The name of '{path}' is not valid UTF-8. Rename it.") from error


def _ambiguous(stem: str, what: str, paths: Iterable[Path]) -> str:
    names = " and ".join(f"'{path}'" for path in paths)
    return f"{stem!r} has several {what}: {names}. Keep one of them."


def _nothing_found(folder: Path, listing: Listing) -> str:
    inner = [path.name for path in _entries(folder) if os.path.isdir(path) and _has_pairs(path)]
    if inner:
        return f"Folder '{folder}' holds no annotated images itself, but its folder {inner[0]!r} does. Choose that one."
    if not listing.unpaired:
        return f"Folder '{folder}' holds no image with its mask. Expected are {_EXPECTED}."
    count, way_out = len(listing.unpaired), way_to_pair(listing.unpaired[0])
    return f"Folder '{folder}' holds no image with its mask ({count} images or masks without a partner). {way_out}"


def way_to_pair(path: Path) -> str:
    """Return what to call the partner of an image or a mask that has none."""
    stem = stem_of(path)
    own = path.name[: -len(SEG_SUFFIX)] if path.name.lower().endswith(SEG_SUFFIX) else without_mask_ending(stem)
    if own != stem:
        return f"Put the image that {path.name!r} belongs to beside it, called '{own}.tif'."
    return f"Name the mask of {path.name!r} '{stem}_labelled.tif', '{stem}_masks.tif' or '{stem}_seg.npy'."


def _has_pairs(folder: Path) -> bool:
    try:
        return bool(_scan(folder).pairs)
    except DataError:
        return False
