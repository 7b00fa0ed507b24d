"""What files are, by their names alone: images, masks, channels of an image, by-products of other programs."""

import re
from pathlib import Path

# cellpose puts a user's suffix behind its ending
_MASK_ENDING = re.compile(r"(_labelled|_cp_masks(?:_\w+)?|_masks|[_-]masks?|[_-]labels?)$", re.IGNORECASE)
# what cellpose writes beside an image, or finds in what it has written
_BY_PRODUCT = re.compile(r"_((?i:(cp_)?(flows|outlines|cellprob|ncolor)|cp_output)|dP)(?i:(_cp)?_masks(_\w+)?|_seg)?$")
_IMAGE_ENDING = re.compile(r"_(img|image)$", re.IGNORECASE)
_CHANNEL_ENDING = re.compile(r"[_-](?P<mark>(?:w|ch|c)\d{1,2})(?P<name>[A-Za-z][\w-]*)?$", re.IGNORECASE)


def stem_of(path: Path) -> str:
    """Return the file name without its extension (``.ome.tif`` is one)."""
    return path.stem[:-4] if path.stem.lower().endswith(".ome") else path.stem


def without_mask_ending(name: str) -> str:
    """Return a name without ``_labelled``, ``_cp_masks`` and the like."""
    return _MASK_ENDING.sub("", name) or name


def channel_in_name(path: Path) -> str:
    """Return what a file's name says of its one channel: ``DAPI`` of ``a_w1DAPI.tif``, ``ch00`` of ``a_ch00.tif``."""
    told = _CHANNEL_ENDING.search(stem_of(path))
    return (told["name"] or told["mark"]) if told else ""


def stems(image: Path) -> list[str]:
    """Return what the files that belong to an image may be called, the likeliest first."""
    stems = [image.stem, stem_of(image)]
    return list(dict.fromkeys([*stems, *(_IMAGE_ENDING.sub("", stem) for stem in stems)]))


def mask_ending(name: str) -> str:
    """Return the ending that makes a name that of a mask, in lower case; empty if there is none."""
    told = _MASK_ENDING.search(name)
    return told[0].lower() if told else ""


def without_image_ending(name: str) -> str:
    """Return a name without ``_img`` or ``_image``."""
    return _IMAGE_ENDING.sub("", name)


def is_by_product(name: str) -> bool:
    """Whether a file of this name (without its extension) is one that Cellpose writes besides masks."""
    return _BY_PRODUCT.search(name) is not None


def without_channel(name: str) -> str:
    """Return a name without the part that names a channel, such as ``_w1``; empty if nothing does."""
    told = _CHANNEL_ENDING.search(name)
    return name[: told.start()] if told else ""
