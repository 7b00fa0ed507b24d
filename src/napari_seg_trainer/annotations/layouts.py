"""Which files of a folder belong together.

Three conventions are known: Celldetective's (``STEM.tif``, ``STEM_labelled.tif``, ``STEM.json``), Cellpose's
(``STEM.tif`` or ``STEM_img.tif`` with ``STEM_masks.tif``, ``STEM_cp_masks.png`` or ``STEM_seg.npy``) and StarDist's
(``images/NAME.tif`` with ``masks/NAME.tif``).
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from napari_seg_trainer.annotations.annotated_image import LABELS_SUFFIX
from napari_seg_trainer.annotations.pixels import IMAGE_SUFFIXES
from napari_seg_trainer.annotations.seg_npy import SEG_SUFFIX
from napari_seg_trainer.annotations.together import finish_interrupted
from napari_seg_trainer.errors import DataError

Layout = Literal["celldetective", "cellpose", "stardist"]

# a mask ending and its convention; the first that a stem has counts, as in Cellpose
_MASK_ENDINGS: dict[str, Layout] = {LABELS_SUFFIX: "celldetective", "_masks": "cellpose", "_cp_masks": "cellpose"}
_BY_PRODUCTS = ("_flows", "_cp_output", "_outlines", "_cp_outlines", "_cp_flows")
_IMAGE_ENDING = "_img"
_EXPECTED = "STEM.tif with STEM_labelled.tif, STEM_masks.tif or STEM_seg.npy, or images/NAME.tif with masks/NAME.tif"


@dataclass(frozen=True)
class Pair:
    """The files of one annotated image; `sidecar` is the JSON file beside it, where there is one."""

    image: Path
    labels: Path
    sidecar: Path | None
    stem: str


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes
    ----------
    layout : str
        ``"celldetective"``, ``"cellpose"`` or ``"stardist"``; the commonest where a folder mixes them.
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
    images: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    masks: dict[str, list[tuple[Path, Layout]]] = field(default_factory=lambda: defaultdict(list))
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
    return [path for path, _ in _sort(_files_of(folder)).masks.get(stem, ())]


def without_masks(images: Iterable[Path]) -> list[Path]:
    """Return those images that have no mask beside them; each folder is listed once."""
    masks: dict[Path, Mapping[str, object]] = {}
    kept = []
    for image in images:
        if image.parent not in masks:
            masks[image.parent] = _sort(_files_of(image.parent)).masks
        if stem_of(image) not in masks[image.parent]:
            kept.append(image)
    return kept


def stem_of(path: Path) -> str:
    """Return the file name without its extension (``.ome.tif`` is one)."""
    return path.stem[:-4] if path.stem.lower().endswith(".ome") else path.stem


def _scan(folder: Path) -> Listing:
    entries = _entries(folder)
    subfolders = {entry.name.lower(): entry for entry in entries if os.path.isdir(entry)}
    # a folder with the name of a sidecar is told of when it is read
    flat = _sort(path for path in entries if path.suffix.lower() == ".json" or not os.path.isdir(path))
    found, unpaired = _match(flat)
    if "images" in subfolders and (subfolders.keys() & {"masks", "labels"}):
        masks = subfolders.get("masks") or subfolders["labels"]
        more, others = _match_folders(subfolders["images"], masks)
        found, unpaired = [*found, *more], [*unpaired, *others]
    _check_unique([pair for pair, _ in found])
    _check_names([pair for pair, _ in found])
    layouts = Counter(layout for _, layout in found)
    layout = layouts.most_common(1)[0][0] if layouts else "celldetective"
    return Listing(layout, tuple(sorted((pair for pair, _ in found), key=lambda p: p.stem)), tuple(sorted(unpaired)))


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


def _sort(paths: Iterable[Path]) -> _Files:
    files = _Files()
    for path in paths:
        name, stem = path.name.lower(), stem_of(path)
        ending = next((end for end in reversed(_MASK_ENDINGS) if stem.lower().endswith(end)), None)
        if name.endswith(SEG_SUFFIX):
            files.masks[path.name[: -len(SEG_SUFFIX)]].append((path, "cellpose"))
        elif name.endswith(".json"):
            files.sidecars[stem] = path
        elif not name.endswith(IMAGE_SUFFIXES) or stem.lower().endswith(_BY_PRODUCTS):
            continue
        elif ending is not None:
            files.masks[stem[: -len(ending)]].append((path, _MASK_ENDINGS[ending]))
        else:
            files.images[stem].append(path)
    return files


def _match(files: _Files) -> tuple[list[tuple[Pair, Layout]], list[Path]]:
    """Pair what lies in one folder; also return what is left over."""
    found: list[tuple[Pair, Layout]] = []
    unpaired: list[Path] = []
    used: set[str] = set()
    for stem, masks in files.masks.items():
        image_stem = next((name for name in (stem, stem + _IMAGE_ENDING) if name in files.images), None)
        if image_stem is None:
            unpaired.extend(path for path, _ in masks)
            continue
        mask, layout = _one_mask(stem, masks)
        image = _one_image(mask, files.images[image_stem])
        sidecar = files.sidecars.get(image_stem, files.sidecars.get(stem))
        found.append((Pair(image, mask, sidecar, stem), layout))
        used.add(image_stem)
    unpaired.extend(path for stem, paths in files.images.items() if stem not in used for path in paths)
    return found, unpaired


def _match_folders(images: Path, masks: Path) -> tuple[list[tuple[Pair, Layout]], list[Path]]:
    pictures, labels = (_by_stem(folder) for folder in (images, masks))
    sidecars = {stem_of(path): path for path in _files_of(images) if path.suffix.lower() == ".json"}
    found: list[tuple[Pair, Layout]] = []
    for stem in pictures.keys() & labels.keys():
        if len(labels[stem]) > 1:
            raise DataError(_ambiguous(stem, "masks", labels[stem]))
        image = _one_image(labels[stem][0], pictures[stem])
        found.append((Pair(image, labels[stem][0], sidecars.get(stem), stem), "stardist"))
    single = [path for stem in pictures.keys() ^ labels.keys() for path in (pictures.get(stem) or labels[stem])]
    return found, single


def _files_of(folder: Path) -> list[Path]:
    try:
        return [path for path in _entries(folder) if not os.path.isdir(path)]
    except DataError:
        # an empty or locked folder of images pairs nothing; the listing then says that there are no pairs
        return []


def _by_stem(folder: Path) -> Mapping[str, list[Path]]:
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in _files_of(folder):
        if path.name.lower().endswith(IMAGE_SUFFIXES):
            stems[stem_of(path)].append(path)
    return dict(stems)


def _one_mask(stem: str, masks: list[tuple[Path, Layout]]) -> tuple[Path, Layout]:
    pictures = [mask for mask in masks if not mask[0].name.lower().endswith(SEG_SUFFIX)]
    for ending in _MASK_ENDINGS:
        chosen = [mask for mask in pictures if stem_of(mask[0]).lower() == f"{stem}{ending}".lower()]
        if len(chosen) > 1 or (chosen and len({layout for _, layout in masks}) > 1):
            raise DataError(_ambiguous(stem, "masks", [path for path, _ in masks]))
        if chosen:
            return chosen[0]
    return masks[0]


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
            raise DataError(f"The name of '{path}' is not text: some of its bytes are not UTF-8. Rename it.") from error


def _ambiguous(stem: str, what: str, paths: Iterable[Path]) -> str:
    names = " and ".join(f"'{path}'" for path in paths)
    return f"{stem!r} has several {what}: {names}. Keep one of them."


def _nothing_found(folder: Path, listing: Listing) -> str:
    inner = [path.name for path in _entries(folder) if os.path.isdir(path) and _has_pairs(path)]
    if inner:
        return f"Folder '{folder}' holds no annotated images itself, but its folder {inner[0]!r} does. Choose that one."
    left = f" ({len(listing.unpaired)} images or masks without a partner)" if listing.unpaired else ""
    return f"Folder '{folder}' holds no image with its mask{left}. Expected are {_EXPECTED}."


def _has_pairs(folder: Path) -> bool:
    try:
        return bool(_scan(folder).pairs)
    except DataError:
        return False
