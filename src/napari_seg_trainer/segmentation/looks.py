"""What distinguishes kinds of images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def looks_of(image: NDArray[Any], labels: NDArray[np.int32]) -> tuple[float, ...]:
    """Return how large an image (CYX) is, how its intensities are spread, and how many objects (YX) it has, how large.

    Sizes and numbers are logarithms, so that ratios count.
    """
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    low, middle, high, top = np.percentile(image[0].astype(np.float32), (1, 50, 90, 99.8))
    span = max(float(top - low), 1e-9)
    typical = float(np.log(np.median(areas))) if areas.size else 0.0
    return (
        float(np.log(labels.size)),
        float(middle - low) / span,
        float(high - low) / span,
        float(np.log1p(areas.size)),
        typical,
    )
