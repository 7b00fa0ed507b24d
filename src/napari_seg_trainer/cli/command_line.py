"""The command that starts the same training, for a terminal or a cluster."""

import json
from collections.abc import Iterator

from pydantic import JsonValue

from napari_seg_trainer.annotations.channels import unnamed
from napari_seg_trainer.cli.console import in_shell
from napari_seg_trainer.cli.options import join_names, parse_value
from napari_seg_trainer.engines.registry import DEFAULT_ENGINE
from napari_seg_trainer.schema.job import SCRATCH, ChannelInput, Normalization, TrainingJob

# hyperparameters with an option of their own, and what the option takes
_OPTIONS: dict[str, type[int] | type[float]] = {
    "epochs": int,
    "minutes": float,
    "batch_size": int,
    "learning_rate": float,
    "augmentation": float,
    "early_stopping": int,
}


def command_line(job: TrainingJob) -> str:
    """Return the command that trains this job, quoted for this system's shell.

    The job's own fields are left out where they have their default. Of the hyperparameters all that the job gives are
    named: an engine, and a pretrained model, may distinguish given ones from others.

    Parameters
    ----------
    job : TrainingJob

    Returns
    -------
    str
        ``napari-seg-trainer train --name ...``, with absolute folders, so that it holds in any folder.
    """
    return in_shell("napari-seg-trainer", "train", *_words(job))


def _words(job: TrainingJob) -> Iterator[str]:
    for option, value in _options(job):
        # a value that begins with a dash would look like an option
        yield from (f"--{option}={value}",) if value.startswith("-") else (f"--{option}", value)
    if job.learning_curve:
        yield "--learning-curve"


def _options(job: TrainingJob) -> Iterator[tuple[str, str]]:
    yield "name", job.name
    if job.engine != DEFAULT_ENGINE:
        yield "engine", job.engine
    for folder in job.data:
        yield "data", str(folder.absolute())
    for name in job.builtin:
        yield "builtin", name
    for folder in job.validation_data:
        yield "validation-data", str(folder.absolute())
    for folder in job.test_data:
        yield "test-data", str(folder.absolute())
    yield from _channels(job.channels)
    for field in ("pixel_size", "validation_split", "pretrained", "seed"):
        value = getattr(job, field)
        if value != TrainingJob.model_fields[field].default:
            yield field.replace("_", "-"), SCRATCH if value is None else str(value)
    for name, setting in job.hyperparameters.items():
        yield _hyperparameter(name, setting)


def _channels(channels: tuple[ChannelInput, ...]) -> Iterator[tuple[str, str]]:
    for channel in channels:
        yield "channel", _channel(channel)
    scalings = [channel.normalization for channel in channels]
    if any(scaling != Normalization() for scaling in scalings):
        for scaling in scalings if len(set(scalings)) > 1 else scalings[:1]:
            words = (",clip" if scaling.clip else "") + (",skip-zeros" if scaling.skip_zeros else "")
            yield "normalization", f"{scaling.mode}:{scaling.low!r},{scaling.high!r}{words}"


def _channel(channel: ChannelInput) -> str:
    """Return the shortest text that means this channel, as `parse_channel` reads it."""
    text = join_names(channel.names)
    if channel.index is not None:
        return str(channel.index) if channel.name == unnamed(channel.index) else f"{channel.index}:{text}"
    head = text.partition(":")[0]
    is_plain = all(map(str.strip, channel.names)) and head and not head.isdecimal()
    return text if is_plain else f":{text}"


def _hyperparameter(name: str, value: JsonValue) -> tuple[str, str]:
    kind = _OPTIONS.get(name)
    whole = type(value) is int and abs(value) < 2**53  # a float holds it exactly
    if kind is not None and (type(value) is kind or whole):
        return name.replace("_", "-"), repr(value)
    is_plain = isinstance(value, str) and "\0" not in value and parse_value(value) == value
    return "set", f"{name}={value}" if is_plain else f"{name}={json.dumps(value)}"
