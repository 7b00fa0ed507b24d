"""Segmentation without learning, which a trained model has to beat: Otsu's threshold and a watershed."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NAME = "Otsu and watershed"
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
    from skimage.feature import peak_local_max  # these take half a second to import
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
