"""Segmentation without learning, which a trained model has to beat: Otsu's threshold and a watershed.

Where a model is worse than that, a training can leave it in the library as a model of its own.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, ValidationError

from napari_seg_trainer.engines.protocol import EngineSpec, PredictionSettings
from napari_seg_trainer.errors import LibraryError
from napari_seg_trainer.files import read_bytes
from napari_seg_trainer.schema._base import FrozenModel
from napari_seg_trainer.schema.job import Hyperparameters

NAME = "the simple method (Otsu and watershed)"
FILE = "classical.json"
"""Of a model: what its `Classical` is."""
_SMOOTHING, _APART, _SMALLEST = 0.05, 0.4, 0.2


def segment_classically(image: NDArray[np.float32], diameter: float) -> NDArray[np.int32]:
    """Return the bright objects in a channel.

    What is brighter than Otsu's threshold (Otsu 1979) is cut into objects by a watershed on the distance to the
    background (Meyer 1994), from peaks that lie apart by at least two fifths of a diameter.

    Parameters
    ----------
    image : NDArray of float32, axes YX
    diameter : float
        Of typical objects, pixels.

    Returns
    -------
    NDArray of int32, axes YX
    """
    from scipy import ndimage  # these take half a second to import
    from skimage.feature import peak_local_max
    from skimage.filters import threshold_otsu
    from skimage.segmentation import watershed

    smooth = ndimage.gaussian_filter(np.nan_to_num(image), _SMOOTHING * diameter)
    if smooth.min() == smooth.max():
        return np.zeros(image.shape, np.int32)
    bright = ndimage.binary_fill_holes(smooth > threshold_otsu(smooth))
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(bright), _SMOOTHING * diameter)
    peaks = peak_local_max(distance, min_distance=max(1, round(_APART * diameter)), labels=ndimage.label(bright)[0])
    seeds = np.zeros(image.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels: NDArray[np.int32] = watershed(-distance, seeds, mask=bright).astype(np.int32)
    areas = np.bincount(labels.ravel())
    labels[areas[labels] < np.pi * (_SMALLEST * diameter) ** 2] = 0
    return labels


class Classical(FrozenModel):
    """How the method segments.

    Attributes
    ----------
    diameter : float
        Of typical objects, pixels of the images as they are prepared.
    objects : {"bright", "dark"}
        Whether objects are brighter or darker than the background.
    """

    diameter: Annotated[FiniteFloat, Field(gt=0, le=10_000)]
    objects: Literal["bright", "dark"] = "bright"

    def segment(self, plane: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return the objects (YX, 0 for background) in a normalized channel (YX)."""
        return segment_classically(plane if self.objects == "bright" else -plane, self.diameter)


class ClassicalSettings(PredictionSettings):
    """What can be changed for a prediction; None means as it was in the training."""

    diameter: Annotated[FiniteFloat, Field(gt=0, le=10_000)] | None = Field(
        None,
        title="Diameter",
        description="Diameter of typical objects, in pixels of the image at the model's pixel size. Raise it if "
        "objects are split; lower it if touching objects are merged.",
    )
    objects: Literal["bright", "dark"] | None = Field(
        None, title="Objects", description="Whether the objects are brighter or darker than the background."
    )

    @classmethod
    def of_model(cls, folder: Path) -> Self:
        """Return the values of the model in a folder."""
        try:
            own = _read(folder)
        except LibraryError:
            return cls()
        return cls(diameter=own.diameter, objects=own.objects)


class ClassicalPredictor:
    """The method on the first channel of an image."""

    def __init__(self, own: Classical) -> None:
        self._own = own

    def predict(self, image: NDArray[np.float32], settings: PredictionSettings | None = None) -> NDArray[np.int32]:
        """Return the instances (YX, 0 for background) of a normalized image (CYX)."""
        given = settings.model_dump(exclude_none=True) if settings is not None else {}
        return self._own.replace(**given).segment(image[0])


class ClassicalEngine:
    """Loads what a training has left; it cannot be trained itself."""

    def load(self, folder: Path) -> ClassicalPredictor:
        """Return the method as it is in a model's folder.

        Raises
        ------
        LibraryError
            If its file is missing or damaged.
        """
        return ClassicalPredictor(_read(folder))


def _read(folder: Path) -> Classical:
    try:
        return Classical.model_validate_json(read_bytes(folder / FILE))
    except (OSError, ValidationError) as error:
        raise LibraryError(f"'{folder / FILE}' is missing or damaged. Add the model again, or delete it.") from error


SPEC = EngineSpec(
    id="simple-method",
    title="Simple method",
    good_for="Evenly bright objects on an even background. Needs no training: Otsu's threshold and a watershed.",
    parameters=Hyperparameters,
    channels=(1, 1),
    location="napari_seg_trainer.engines.classical:ClassicalEngine",
    prediction=ClassicalSettings,
    packages=("scikit-image",),
    citations=(
        "Otsu N. A Threshold Selection Method from Gray-Level Histograms. IEEE Transactions on Systems, Man, and "
        "Cybernetics 1979, 9, 62-66. doi:10.1109/TSMC.1979.4310076",
    ),
    trains=False,
)
