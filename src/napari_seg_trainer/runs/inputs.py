"""Which channels feed the model; light, as forms ask it, too."""

from collections.abc import Sequence

from napari_seg_trainer.annotations.channels import places_of
from napari_seg_trainer.schema.job import ChannelInput
from napari_seg_trainer.schema.model_card import ModelCard


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
