"""Which images are for training and which for validation."""

from collections import Counter
from collections.abc import Sequence
from typing import Self

import numpy as np

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.schema._base import FrozenModel


class Split(FrozenModel):
    """Names of the images on each side, kept with the run.

    Attributes
    ----------
    seed : int
        What the draw was made from.
    training, validation : tuple of str
        Image names, such as ``"annotations_nuclei/cell_01"``.
    """

    seed: int
    training: tuple[str, ...]
    validation: tuple[str, ...]

    @classmethod
    def draw(cls, names: Sequence[str], fields: Sequence[str], fraction: float, seed: int) -> Self:
        """Draw whole fields of view for validation.

        Parameters
        ----------
        names, fields : sequence of str
            Each image's name and its field of view; images of one field of view never part.
        fraction : float
            Wanted share of validation images, 0 to 1; at least one image is on each side.
        seed : int
            The same seed and images give the same split.

        Returns
        -------
        Split

        Raises
        ------
        DataError
            If all images come from a single field of view.
        """
        wanted = min(max(1, round(fraction * len(names))), len(names) - 1)
        if len(set(fields)) < 2:
            field, first = fields[0] if fields else "none", names[0] if names else "none"
            raise DataError(
                f"All {len(names)} images come from one field of view ({field!r}), such as {first!r}, so none is left "
                "for validation. Add an image of another field, or choose a folder of validation data."
            )
        chosen = _draw_fields(Counter(fields), wanted, seed)
        return cls(
            seed=seed,
            training=tuple(name for name, field in zip(names, fields, strict=True) if field not in chosen),
            validation=tuple(name for name, field in zip(names, fields, strict=True) if field in chosen),
        )


def _draw_fields(sizes: Counter[str], wanted: int, seed: int) -> set[str]:
    shuffled = np.random.default_rng(seed).permutation(sorted(sizes))
    chosen: set[str] = set()
    count = 0
    for field in map(str, shuffled):
        if count + sizes[field] <= wanted:
            chosen.add(field)
            count += sizes[field]
    return chosen or {min(map(str, shuffled), key=lambda field: sizes[field])}
