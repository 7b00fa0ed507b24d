"""The JSON file beside an annotated image, as Celldetective has it and with more of our own."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from napari_seg_trainer.annotations.region import Region
from napari_seg_trainer.errors import DataError, one_line
from napari_seg_trainer.files import read_bytes

NO_UNIT = "pixel"
FOLDER_CHANNELS = "channels.json"
"""A file with the names of the channels of all images in its folder."""

_NAMES = TypeAdapter(tuple[str, ...])
MAX_BYTES = 16 * 2**20

Name = Annotated[str, AfterValidator(one_line)]
"""Shown to people, and written to files of our own."""


class Sidecar(BaseModel):
    """What is in a sidecar; unknown entries are passed over.

    Attributes
    ----------
    channels : tuple of str, optional
        A name for each channel of the image.
    spatial_calibration : float, optional
        µm per pixel. Celldetective needs one; where it is not known, it is 1, with the unit ``"pixel"``.
    spatial_calibration_unit : str, optional
        µm, if not given.
    frame : int, optional
        Frame of the time lapse.
    field_of_view : str, optional
        Id of the field of view.
    sources : tuple of str
        Names of the layers that the image was made from.
    source_file : str, optional
        The file that the first of these was opened from.
    annotated_region : Region, optional
        Which part of the image is annotated; all of it, if not given.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    channels: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    spatial_calibration: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    spatial_calibration_unit: str | None = None
    frame: int | None = None
    field_of_view: Name | None = None
    sources: tuple[Name, ...] = ()
    source_file: Name | None = None
    annotated_region: Region | None = None

    @property
    def pixel_size(self) -> float | None:
        """µm per pixel, None where it is not known."""
        return None if self.spatial_calibration_unit == NO_UNIT else self.spatial_calibration


def read_sidecar(path: Path | None) -> Sidecar:
    """Read a sidecar; without one, nothing is known.

    Raises
    ------
    DataError
        If the file is unreadable, no JSON object, or an entry is of the wrong kind.
    """
    if path is None:
        return Sidecar()
    way_out = "Correct it, or remove the file."
    try:
        content = json.loads(read_bytes(path, MAX_BYTES).decode("utf-8-sig"))
    except OSError as error:
        raise DataError(
            f"Sidecar '{path}' cannot be read: {error.strerror or error}. Check its permissions, or remove it."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"Sidecar '{path}' is not valid JSON ({' '.join(str(error).split())}). {way_out}") from error
    if not isinstance(content, dict):
        raise DataError(f"Sidecar '{path}' holds a {type(content).__name__}, not an object {{...}}. {way_out}")
    try:
        return Sidecar.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        entry = ".".join(map(str, first["loc"]))
        raise DataError(f"Sidecar '{path}': entry {entry!r} is not usable ({first['msg']}). {way_out}") from error


def example_names(count: int) -> str:
    """Return the content of such a file, for messages."""
    return json.dumps([f"channel {place}" for place in range(count)])


def names_beside(image: Path) -> tuple[str, ...]:
    """Return the channel names that a folder has for all of its images, in a file ``channels.json``; none without one.

    Raises
    ------
    DataError
        If that file is broken.
    """
    file = image.with_name(FOLDER_CHANNELS)
    if not file.is_file():
        return ()
    try:
        names = _NAMES.validate_json(read_bytes(file))
    except (OSError, ValidationError, ValueError) as error:
        raise DataError(f"'{file}' must contain the channel names, such as {example_names(2)}. Correct it.") from error
    if not names or not all(map(str.strip, names)) or len(set(names)) < len(names):
        raise DataError(f"'{file}' must contain different channel names, such as {example_names(2)}. Correct it.")
    return names
