"""Which of an image's channels are meant: the one match for trainings, predictions and forms."""

from collections.abc import Collection, Iterable, Sequence

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.schema.job import ChannelInput
from napari_seg_trainer.schema.model_card import ModelCard, ModelChannel

Names = Sequence[str]
"""What a channel may be called; the first is its own name, and the others count where there is none of that name."""
_WAY_OUT = (
    "Give the name of {0!r} in those images (--channel '{0}={1}', or below the channel in the training form), or "
    "train on channels that all images have."
)


COLOURS = ("red", "green", "blue")
GREY = "grey"
"""What the one channel of a picture is called whose colours are equal."""


def unnamed(place: int) -> str:
    """Return what a channel is called that has no name of its own."""
    return f"channel {place}"


def all_unnamed(count: int) -> tuple[str, ...]:
    """Return what `count` channels are called that have no names of their own."""
    return tuple(map(unnamed, range(count)))


def known_as(channels: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the names by which each of an image's channels may be found, its own first.

    The one channel of a grey picture is each of its colours, too: a model that takes three finds it three times. It has
    as little a name of its own as that of any other file of one channel.
    """
    if len(channels) == 1 and channels[0] in (GREY, unnamed(0)):
        return [tuple(dict.fromkeys((channels[0], GREY, unnamed(0), *COLOURS)))]
    return [(name,) for name in channels]


def distinct_sets(images: Iterable[Names]) -> tuple[tuple[str, ...], ...]:
    """Return each set of channels that an image has, in the images' order; the first is what a model takes by default.

    A grey picture among coloured ones, such as one of nothing, does not decide that.
    """
    sets = dict.fromkeys(map(tuple, images))
    first = next(iter(sets), ())
    if first == (GREY,) and COLOURS in sets:
        sets = dict.fromkeys([COLOURS, *sets])
    return tuple(sets)


def match(wanted: Sequence[Names], available: Sequence[Collection[str]]) -> list[int | None]:
    """Return the place of each wanted channel; None where it is not there, or not clear which one is meant.

    Parameters
    ----------
    wanted : sequence of sequence of str
        Their names. Upper and lower case count as the same where that is unambiguous.
    available : sequence of collection of str
        The names by which each channel is known; the first is its own.

    Notes
    -----
    Channels of files that have no names, as many as are wanted, are taken in their order; that of a grey picture has
    none of its own.
    """
    own = tuple(next(iter(names)) for names in available)
    if wanted and own in (all_unnamed(len(wanted)), (GREY,) * len(wanted)):
        return list(range(len(wanted)))
    return [_find(names, available) for names in wanted]


def input_places(
    inputs: Sequence[Names], available: Sequence[str], where: str, use: Sequence[str] = ()
) -> tuple[int, ...]:
    """Return which of an image's channels feed a model's inputs.

    Parameters
    ----------
    inputs : sequence of sequence of str
        The inputs' names.
    available : sequence of str
        The image's channel names.
    where : str
        The image's name, for messages.
    use : sequence of str
        Names or numbers that the user chose, one for each input; the inputs' own names without.

    Raises
    ------
    DataError
        If one is not there.
    """
    if use:
        return tuple(_chosen_place(text, available, where) for text in use)
    found = match(inputs, known_as(available))
    return tuple(
        _named_place(names, available, where) if place is None else place
        for names, place in zip(inputs, found, strict=True)
    )


def _chosen_place(text: str, available: Sequence[str], where: str) -> int:
    """Return the place of the channel that a text means: a name, or else a number."""
    if text.isdecimal() and text not in available:
        return _numbered_place(int(text), available, where)
    return _named_place((text,), available, where)


def _numbered_place(number: int, available: Sequence[str], where: str) -> int:
    if number < len(available):
        return number
    raise DataError(
        f"Image {where!r} has {len(available)} channel(s), so there is no channel {number}. Channels are counted "
        "from 0."
    )


def _named_place(names: Names, available: Sequence[str], where: str, else_do: str = "") -> int:
    place = _find(names, known_as(available))
    if place is None:
        there = ", ".join(repr(channel) for channel in available)
        way_out = else_do or "Choose one of these by name."
        raise DataError(f"Image {where!r} has no channel {names[0]!r}, only {there}. {way_out}")
    return place


def _find(names: Names, available: Sequence[Collection[str]]) -> int | None:
    own = _find_one(names[0], available)
    if own is not None:
        return own
    others = {_find_one(name, available) for name in names[1:]} - {None}
    return others.pop() if len(others) == 1 else None


def _find_one(name: str, available: Sequence[Collection[str]]) -> int | None:
    exact = [place for place, names in enumerate(available) if name in names]
    plain = _plain(name)
    alike = [place for place, names in enumerate(available) if plain in map(_plain, names)]
    return next((found[0] for found in (exact, alike) if len(found) == 1), None)


def is_same_name(one: str, other: str) -> bool:
    """Whether two names differ at most in upper and lower case."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return name.casefold().strip()


def default_inputs(
    available: Sequence[str], parent: ModelCard | None, most: int | None = None
) -> tuple[ChannelInput, ...]:
    """Return the model's inputs where the job names none: the pretrained model's, or else all of the first image.

    Parameters
    ----------
    available : sequence of str
        The first image's channels.
    parent : ModelCard, optional
        Of the pretrained model.
    most : int, optional
        How many channels the engine takes at most, where that does not depend on the pretrained model.
    """
    if parent is None:
        return tuple(ChannelInput(name=name) for name in available)
    inputs = tuple(map(as_input, parent.channels))
    strange = any(not set(given.names) & set(available) for given in inputs)
    if strange and most is not None:
        count = min(most, len(available))
        inputs = (*inputs, *[inputs[-1]] * count)[:count]
        available = available[:count]
    if strange and len(inputs) == len(available):
        # a foreign model does not name its channels: take them as they come
        return tuple(
            given.replace(name=name, other_names=(), index=i)
            for i, (given, name) in enumerate(zip(inputs, available, strict=True))
        )
    return inputs


def as_input(channel: ModelChannel) -> ChannelInput:
    """Return a model's channel as the input of a job."""
    return ChannelInput(name=channel.name, other_names=channel.other_names, normalization=channel.normalization)


def as_channel(given: ChannelInput) -> ModelChannel:
    """Return a job's input as a model's channel."""
    return ModelChannel(name=given.name, other_names=given.other_names, normalization=given.normalization)


def places_of_inputs(available: Sequence[str], inputs: Sequence[ChannelInput], where: str) -> tuple[int, ...]:
    """Return the places of a job's inputs among an image's channels, each found by itself.

    Raises
    ------
    DataError
        If one is missing.
    """
    return tuple(
        _named_place(given.names, available, where, _WAY_OUT.format(given.name, available[0]))
        if given.index is None
        else _numbered_place(given.index, available, where)
        for given in inputs
    )
