"""From words on the command line to the fields of a job."""

import csv
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import typer
from pydantic import JsonValue, ValidationError

from napari_seg_trainer.annotations.builtin import builtin_folder
from napari_seg_trainer.annotations.channels import unnamed
from napari_seg_trainer.annotations.folder import open_folders
from napari_seg_trainer.engines.registry import describe
from napari_seg_trainer.errors import JobError
from napari_seg_trainer.schema.job import ChannelInput, Normalization

_WORDS = {"clip": "clip", "skip-zeros": "skip_zeros"}


def read_channels(
    channels: Sequence[str], normalizations: Sequence[str], data: Sequence[Path], builtin: Sequence[str]
) -> tuple[ChannelInput, ...]:
    """Return the model's inputs from ``--channel`` and ``--normalization``.

    One normalization holds for all channels; else there must be one for each. A normalization without channels is for
    those of the first image.

    Raises
    ------
    typer.BadParameter
        If their numbers do not fit.
    JobError
        If a normalization is impossible.
    DataError
        If the first image is needed and cannot be read.
    """
    parsed = [parse_normalization(text) for text in normalizations] or [Normalization()]
    if not channels and normalizations:
        folders = [*data, *(builtin_folder(name) for name in builtin)]
        channels = open_folders(folders)[0].read().channels if folders else ()
    if len(parsed) not in (1, len(channels)) and channels:
        raise typer.BadParameter(f"There are {len(channels)} channels but {len(parsed)} normalizations.")
    each = parsed * len(channels) if len(parsed) == 1 else parsed
    return tuple(parse_channel(text, how) for text, how in zip(channels, each, strict=True)) if channels else ()


def parse_channel(text: str, how: Normalization) -> ChannelInput:
    """Return the input that a text means.

    ``dapi`` is a name, ``0`` the first channel, ``0:dapi`` the first channel under this name, ``:0`` the name "0".
    ``dapi=hoechst`` has another name where there is no dapi. A name with such a sign stands in quotes, as in CSV.

    Raises
    ------
    JobError
        If a name is empty, or a channel by number has several.
    """
    index, colon, name = text.partition(":")
    if not colon and index.isdecimal():
        name = unnamed(int(index))
    elif not colon or not (index.isdecimal() or index == ""):
        index, name = "", text
    names = split_names(name)
    if not all(names) or (name == text and not all(map(str.strip, names))):
        raise JobError("A channel name is empty. Give a name, or a number starting from 0.")
    try:
        return ChannelInput(
            name=names[0], other_names=tuple(names[1:]), index=int(index) if index else None, normalization=how
        )
    except ValidationError as error:
        raise JobError(f"{describe(error)}.") from error


def split_names(text: str) -> list[str]:
    """Return the names in ``dapi=hoechst``; there is at least one, which may be empty.

    Raises
    ------
    JobError
        If a quote is not where CSV has one.
    """
    if not {"=", '"'} & set(text):
        return [text]
    try:
        (names,) = csv.reader(StringIO(text, newline=""), delimiter="=", strict=True)
    except (csv.Error, ValueError) as error:
        raise JobError(
            f"Channel {text!r} is not clear. Put a name that holds = or a quote between quotes, as in a CSV file."
        ) from error
    return names


def join_names(names: Sequence[str]) -> str:
    """Return the text that `split_names` reads as these names."""
    text = StringIO(newline="")
    csv.writer(text, delimiter="=").writerow(names)
    return text.getvalue().removesuffix("\r\n")


def parse_normalization(text: str) -> Normalization:
    """Return the normalization that ``percentile:1,99.8``, ``values:0,4000`` or ``percentile:1,99.8,clip`` means.

    Behind the numbers may stand ``clip``, ``skip-zeros`` or both.

    Raises
    ------
    typer.BadParameter
        If the text has another form.
    JobError
        If the numbers are impossible.
    """
    mode, _, rest = text.partition(":")
    parts = rest.split(",")
    words = {part for part in parts[2:] if part in _WORDS}
    try:
        low, high = (float(part) for part in [part for part in parts if part not in words])
    except ValueError:
        raise typer.BadParameter(f"{text!r}: write percentile:1,99.8 or values:0,4000, with ,clip if wanted.") from None
    if mode not in ("percentile", "values"):
        raise typer.BadParameter(f"{text!r}: begin with 'percentile:' or 'values:'.")
    try:
        return Normalization.model_validate(
            {"mode": mode, "low": low, "high": high, **{_WORDS[word]: True for word in words}}
        )
    except ValidationError as error:
        raise JobError(f"{describe(error)}.") from error


def parse_settings(settings: Sequence[str]) -> dict[str, JsonValue]:
    """Return the parameters in ``--set NAME=VALUE``; a value is JSON, or else text.

    Raises
    ------
    typer.BadParameter
        If there is no ``=``.
    """
    found: dict[str, JsonValue] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {setting}: write NAME=VALUE, such as --set rays=64.")
        found[name.strip().replace("-", "_")] = parse_value(text)
    return found


def parse_value(text: str) -> Any:
    """Return the JSON value that a text is, or else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
