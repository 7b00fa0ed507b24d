"""What an image file says of itself: names of channels and the pixel size. All of it may be missing or nonsense."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from napari_seg_trainer.annotations.channels import all_unnamed
from napari_seg_trainer.errors import one_line

if TYPE_CHECKING:
    from tifffile import TiffFile

# inches are none: 72 or 300 pixels an inch say how a picture is printed
_MICROMETRES = {
    "µm": 1.0, "μm": 1.0, "\\u00b5m": 1.0, "um": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometre": 1.0, "nm": 1e-3, "pm": 1e-6, "å": 1e-4, "mm": 1e3, "cm": 1e4, "m": 1e6,
}  # fmt: skip


@dataclass(frozen=True)
class Metadata:
    """Channel names (empty where the file says none) and pixel size in µm."""

    names: tuple[str, ...] = ()
    pixel_size: float | None = None


def read_metadata(tif: "TiffFile") -> Metadata:
    """Return what OME-XML, ImageJ's description or a shaped description of an open TIFF says."""
    if tif.is_ome and tif.ome_metadata:
        return _from_ome(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata:
        return Metadata(_imagej_names(tif.imagej_metadata), _imagej_pixel_size(tif, tif.imagej_metadata))
    return Metadata(_shaped_names(tif))


def ome_needs(tif: "TiffFile") -> tuple[int, set[str]]:
    """Return how many planes OME-XML describes, and which other files hold some of them.

    Raises
    ------
    ValueError
        If it is damaged, or defines entities, which may unfold without end.
    """
    if not tif.is_ome or not tif.ome_metadata:
        return 0, set()
    if "<!DOCTYPE" in tif.ome_metadata:
        raise ValueError("it has a document type declaration, which is not allowed in OME-XML")
    try:
        root = ElementTree.fromstring(tif.ome_metadata)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is damaged ({error})") from error
    sizes = [[_count(pixels.get(f"Size{axis}")) for axis in "CZT"] for pixels in root.iterfind(".//{*}Pixels")]
    parts = list(root.iterfind(".//{*}TiffData"))
    counts = [_count(part.get(name)) for part in parts for name in ("PlaneCount", "NumPlanes")]
    names = {uuid.get("FileName", "") for uuid in root.iterfind(".//{*}UUID")}
    return max([*map(math.prod, sizes), *counts], default=0), names - {""}


def channel_names(known: Iterable[str], count: int) -> tuple[str, ...]:
    """Return `count` different names: the known ones, numbered where they repeat, or ``"channel 0"`` and so on."""
    stripped = [one_line(name.strip()) for name in known]
    if len(stripped) != count or not all(stripped):
        return all_unnamed(count)
    names: list[str] = []
    for name in stripped:
        number, unique = 2, name
        while unique in names:
            number, unique = number + 1, f"{name} {number}"
        names.append(unique)
    return tuple(names)


def _from_ome(xml: str) -> Metadata:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return Metadata()
    pixels = root.find(".//{*}Pixels")
    if pixels is None:
        return Metadata()
    names = tuple(channel.get("Name", "") for channel in pixels.findall("{*}Channel"))
    size = _positive(pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeXUnit", "µm"))
    return Metadata(names, size)


def _imagej_names(description: Mapping[str, Any]) -> tuple[str, ...]:
    labels = description.get("Labels")
    if isinstance(labels, str):
        labels = [labels]
    if not isinstance(labels, list):
        return ()
    return tuple(_after_counter(str(label)) for label in labels)


def _after_counter(label: str) -> str:
    # Fiji puts a counter such as "c:1/3 - " before the name that the microscope gave, and may write more below it
    label = label.strip().partition("\n")[0]
    counter, dash, name = label.partition(" - ")
    return name if dash and "/" in counter and counter[:2] in {"c:", "z:", "t:"} else label


def _imagej_pixel_size(tif: "TiffFile", description: Mapping[str, Any]) -> float | None:
    tag = tif.pages.first.tags.get("XResolution")
    if tag is None:
        return None
    try:
        pixels, units = tag.value
        return _positive(units / pixels, str(description.get("unit", "")))
    except (TypeError, ValueError, ZeroDivisionError):
        return None


def _shaped_names(tif: "TiffFile") -> tuple[str, ...]:
    for description in tif.shaped_metadata or ():
        names = description.get("channels", description.get("channel_names"))
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return tuple(names)
    return ()


def _count(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 20 else 1


def _positive(value: Any, unit: str) -> float | None:
    factor = _MICROMETRES.get(unit.strip().casefold())
    try:
        size = float(value) * (factor or math.nan)
    except (TypeError, ValueError):
        return None
    return size if math.isfinite(size) and size > 0 else None
