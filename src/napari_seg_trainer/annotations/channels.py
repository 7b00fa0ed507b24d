"""Which of an image's channels are meant: the one match for trainings, predictions and forms."""

from collections.abc import Collection, Sequence

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.schema.job import ChannelInput
from napari_seg_trainer.schema.model_card import ModelCard

Wanted = str | int
"""A channel by its name, or by its number from 0."""


def unnamed(place: int) -> str:
    """Return what a channel is called that has no name of its own."""
    return f"channel {place}"


def all_unnamed(count: int) -> tuple[str, ...]:
    """Return what `count` channels are called that have no names of their own."""
    return tuple(map(unnamed, range(count)))


def match(wanted: Sequence[str], available: Sequence[Collection[str]]) -> list[int | None]:
    """Return the place of each wanted channel; None where it is not there, or not clear which one is meant.

    Parameters
    ----------
    wanted : sequence of str
        Names. Upper and lower case count as the same where that is unambiguous.
    available : sequence of collection of str
        The names by which each channel is known; the first is its own.

    Notes
    -----
    Channels of files that have no names, as many as are wanted, are taken in their order.
    """
    if wanted and [next(iter(names)) for names in available] == [*all_unnamed(len(wanted))]:
        return list(range(len(wanted)))
    return [_find(name, available) for name in wanted]


def places_of(wanted: Sequence[Wanted], available: Sequence[str], where: str) -> tuple[int, ...]:
    """Return the places of the wanted channels among an image's, each found by itself.

    Parameters
    ----------
    wanted : sequence of str or int
    available : sequence of str
        The image's channel names.
    where : str
        The image's name, for messages.

    Raises
    ------
    DataError
        If one is not there.
    """
    return tuple(_place(one, available, where) for one in wanted)


def input_places(
    inputs: Sequence[str], available: Sequence[str], where: str, use: Sequence[str] = ()
) -> tuple[int, ...]:
    """Return which of an image's channels feed a model's inputs.

    Parameters
    ----------
    inputs : sequence of str
        The inputs' names.
    available, where
        As for `places_of`.
    use : sequence of str
        Names or numbers that the user chose, one for each input; the inputs' own names without.

    Raises
    ------
    DataError
        If one is not there.
    """
    if use:
        return places_of([parse(text, available) for text in use], available, where)
    found = match(inputs, [(name,) for name in available])
    return tuple(
        places_of([name], available, where)[0] if place is None else place
        for name, place in zip(inputs, found, strict=True)
    )


def parse(text: str, available: Sequence[str]) -> Wanted:
    """Return the channel that a text means: a name, or else a number."""
    return int(text) if text.isdecimal() and text not in available else text


def _place(wanted: Wanted, available: Sequence[str], where: str) -> int:
    if isinstance(wanted, int):
        if wanted < len(available):
            return wanted
        raise DataError(
            f"Image {where!r} has {len(available)} channel(s), so there is no channel {wanted}. Counting begins at 0."
        )
    place = _find(wanted, [(name,) for name in available])
    if place is None:
        there = ", ".join(repr(channel) for channel in available)
        raise DataError(f"Image {where!r} has no channel {wanted!r}, only {there}. Choose one of these by name.")
    return place


def _find(name: str, available: Sequence[Collection[str]]) -> int | None:
    exact = [place for place, names in enumerate(available) if name in names]
    plain = _plain(name)
    alike = [place for place, names in enumerate(available) if plain in map(_plain, names)]
    return next((found[0] for found in (exact, alike) if len(found) == 1), None)


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
    inputs = tuple(ChannelInput(name=each.name, normalization=each.normalization) for each in parent.channels)
    strange = any(given.name not in available for given in inputs)
    if strange and most is not None:
        count = min(most, len(available))
        inputs = (*inputs, *[inputs[-1]] * count)[:count]
        available = available[:count]
    if strange and len(inputs) == len(available):
        # a foreign model does not name its channels: take them as they come
        return tuple(
            given.replace(name=name, index=i) for i, (given, name) in enumerate(zip(inputs, available, strict=True))
        )
    return inputs


def places_of_inputs(available: Sequence[str], inputs: Sequence[ChannelInput], where: str) -> tuple[int, ...]:
    """Return the places of a job's inputs among an image's channels.

    Raises
    ------
    DataError
        If one is missing.
    """
    return places_of([given.name if given.index is None else given.index for given in inputs], available, where)
