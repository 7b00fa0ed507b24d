"""Files that take far more time or memory than their size suggests, or are cut short: refused by their headers."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seg_trainer.annotations.metadata import ome_needs
from napari_seg_trainer.errors import DataError
from napari_seg_trainer.files import read_bytes

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

MAX_BYTES = 4 * 2**30
"""Largest image (bytes in memory) that is read."""

MAX_COMPRESSION = 5000
MAX_PLANES = 2**20
MAX_PAGES = 4096
"""Of a TIFF file, each with tags of its own: what holds more is no single frame, and takes minutes to look at."""
MAX_SCANS = 100
_SMALL = 64 * 2**20
_LARGE, _LARGE_COMPRESSION = 2**30, 200
"""What is larger in memory is refused if it has shrunk to less than a two hundredth of that in its file."""
WAY_OUT = "Export the image again, or remove it."


def check_pages(path: Path, tif: "TiffFile") -> None:
    """Refuse a file of very many pages; from one to the next, only the place of the next one is read."""
    kind, file = tif.tiff, tif.filehandle
    place = 8 if kind.is_bigtiff else 4
    for _ in range(MAX_PAGES + 1):
        file.seek(place)
        told = file.read(kind.offsetsize)
        offset = int.from_bytes(told, "little" if kind.byteorder == "<" else "big")
        if len(told) < kind.offsetsize or not 0 < offset < file.size:
            return  # the last one; or damage, which the reader reports
        file.seek(offset)
        tags = int.from_bytes(file.read(kind.tagnosize), "little" if kind.byteorder == "<" else "big")
        place = offset + kind.tagnosize + tags * kind.tagsize
    raise DataError(f"'{path}' has more than {MAX_PAGES} pages, or is damaged. Export single frames as images.")


def check_ome(path: Path, tif: "TiffFile") -> None:
    """Refuse what tifffile would make lists of without end for, or wait for without end."""
    try:
        planes, others = ome_needs(tif)
    except ValueError as error:
        raise DataError(f"The OME-XML in '{path}' cannot be used: {error}. {WAY_OUT}") from error
    if planes > MAX_PLANES:
        raise DataError(f"'{path}' declares {planes} planes, or is damaged. Export single frames as images.")
    for name in others:
        other = path.parent / name
        if os.path.lexists(other) and not other.is_file():
            raise DataError(f"'{path}' refers to '{other}' for pixels, which is not a file. {WAY_OUT}")


def check_size(path: Path, nbytes: int) -> None:
    """Refuse what takes more memory than is allowed (bytes), or far more than the file has."""
    size = path.stat().st_size
    if nbytes > MAX_BYTES:
        raise DataError(f"'{path}' would take {nbytes / 2**30:.0f} GiB of memory, or is damaged. Export crops instead.")
    if nbytes > _SMALL and nbytes > size * MAX_COMPRESSION:
        raise DataError(f"'{path}' declares {nbytes / 2**20:.0f} MiB of pixels but has only {size} bytes. {WAY_OUT}")
    if nbytes > _LARGE and nbytes > size * _LARGE_COMPRESSION:
        raise DataError(
            f"'{path}' has {size / 1e6:.1f} MB and would take {nbytes / 2**30:.1f} GiB of memory. If that is intended, "
            "save it without compression, or export crops."
        )


def check_complete(path: Path, series: "TiffPageSeries") -> None:
    """Refuse what tifffile would silently fill with zeros."""
    size = path.stat().st_size
    if series.dataoffset is not None:
        complete = series.dataoffset + series.nbytes <= size
    else:
        complete = all(page is not None and _page_is_complete(page, size) for page in series.pages)
    if not complete:
        raise DataError(f"TIFF file '{path}' is cut short: pixels are missing at its end. {WAY_OUT}")


def _page_is_complete(page: Any, size: int) -> bool:
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if sum(page.databytecounts) > 2 * page.nbytes + _SMALL // 1024:
        return False  # compressed, it is never so much more than the pixels: it would unpack to far more
    return bool(segments) and all(offset > 0 and count > 0 and offset + count <= size for offset, count in segments)


def check_scans(path: Path) -> None:
    """Refuse a JPEG that goes through all of its pixels very often: a progressive one does so about ten times."""
    if read_bytes(path, MAX_BYTES).count(b"\xff\xda") > MAX_SCANS:
        raise DataError(f"'{path}' encodes its pixels more than {MAX_SCANS} times, or is damaged. {WAY_OUT}")
