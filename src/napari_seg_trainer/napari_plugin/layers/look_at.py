"""Moving the viewer to an object."""

import numpy as np
from napari import Viewer
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_seg_trainer.annotations.findings import Finding
from napari_seg_trainer.napari_plugin.layers.grids import shape_of, shown_index
from napari_seg_trainer.napari_plugin.layers.outline import bounds_of, show_outline

CLOSE = 2.0
"""Screen pixels for one pixel of the image, at least, so that a small object is seen."""
CLOSEST = 20.0
"""Screen pixels for one pixel of the image, at most."""
SHOWN_SIZE = 200.0
"""Screen pixels that an object takes which is shown."""


def look_at(
    viewer: Viewer,
    layer: Layer,
    finding: Finding,
    *,
    frame: int = 0,
    frames: Layer | None = None,
    offset: tuple[int, int] = (0, 0),
) -> None:
    """Move the viewer to what a finding is about, outline its object, and make it the one that is painted.

    Parameters
    ----------
    viewer : Viewer
    layer : Layer
        Labels, or an image without; it becomes the active layer.
    finding : Finding
        Without a position only its frame is shown.
    frame : int
        Which plane, counted through all axes but the last two.
    frames : Layer, optional
        In which layer it is counted; in `layer` if not given.
    offset : (int, int)
        Where the finding's image begins in the layer: y and x, pixels.
    """
    layer.visible = True
    viewer.layers.selection.active = layer
    if isinstance(layer, Labels) and finding.label is not None:
        layer.selected_label = finding.label
    counted = layer if frames is None else frames
    leading = shape_of(counted)[:-2]
    index = np.unravel_index(frame, leading) if leading else ()
    place = np.add(finding.position or (0, 0), offset)
    world, pixel = _world(viewer, counted, np.array([*index, *place], float))
    displayed = viewer.dims.displayed
    for axis, value in enumerate(world):
        if axis + viewer.dims.ndim - len(world) not in displayed:
            viewer.dims.set_point(axis + viewer.dims.ndim - len(world), value)
    if finding.position is None:
        return
    camera = viewer.scene.camera
    centre = np.concatenate([viewer.dims.point[: viewer.dims.ndim - len(world)], world])
    camera.center = tuple(centre[list(displayed)])
    own = tuple(int(one) for one in index) if layer is counted else shown_index(viewer, layer)
    found = None
    if isinstance(layer, Labels) and finding.label is not None and list(displayed) == sorted(displayed):
        found = bounds_of(layer, own, finding.label, (place[0], place[1]))
    if found is None or not isinstance(layer, Labels):
        camera.zoom = max(camera.zoom, CLOSE / pixel)
    else:
        camera.zoom = min(CLOSEST, max(CLOSE, SHOWN_SIZE / found.size)) / pixel
        show_outline(viewer, layer, own, found, 1 / (camera.zoom * pixel))


def _world(viewer: Viewer, layer: Layer, point: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return where a pixel of a layer is in the viewer's world, and how wide it is there."""
    factors = np.ones(layer.ndim)
    if viewer.dims.units is not None:
        for axis, (own, shown) in enumerate(zip(layer.units, viewer.dims.units[-layer.ndim :], strict=True)):
            if own.is_compatible_with(shown):
                factors[axis] = (1 * own).to(shown).magnitude
    return np.asarray(layer.data_to_world(point)) * factors, abs(float(layer.scale[-1] * factors[-1]))
