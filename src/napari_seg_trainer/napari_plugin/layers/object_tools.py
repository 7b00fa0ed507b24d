"""Corrections of one object at a time, each of which napari's undo takes back. Knows no Qt."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.layers import Labels
from numpy.typing import NDArray
from scipy import ndimage

from napari_seg_trainer.errors import DataError
from napari_seg_trainer.napari_plugin.layers.annotated_part import new_region, region_for
from napari_seg_trainer.napari_plugin.layers.grids import shape_of, shown_index, to_layer
from napari_seg_trainer.napari_plugin.layers.object_masks import box_around, line_mask, pieces_of, surroundings

_EDIT, _MARK, _BOTH = "edit", "mark", "both"


class ObjectTools:
    """What can be done to the objects of a layer, in the plane that is shown.

    If only what somebody has looked at counts, each object that is accepted, corrected or drawn is painted, with what
    surrounds it, into the layer of the annotated part.

    Parameters
    ----------
    viewer : Viewer
    layer : Labels
        With a NumPy array as data.
    """

    def __init__(self, viewer: Viewer, layer: Labels) -> None:
        self.layer = layer
        self._viewer = viewer
        self.marks = False
        self._own = False
        self._done: list[str] = []
        self._undone: list[str] = []
        layer.events.paint.connect(self._drawn)

    def release(self) -> None:
        """Follow the layer no more."""
        self.layer.events.paint.disconnect(self._drawn)

    @property
    def region(self) -> Labels | None:
        """The layer of the annotated part, if there is one that fits; the labels may have new data."""
        region = region_for(self.layer, self._viewer.layers)
        return region if region is not None and shape_of(region) == shape_of(self.layer) else None

    def begin_marking(self) -> Labels:
        """Have only what is looked at from now on count as annotated; return the layer that shows it."""
        region = self.region
        if region is None:
            region = new_region(self.layer)
            active = self._viewer.layers.selection.active
            self._viewer.layers.insert(self._viewer.layers.index(self.layer), region)
            self._viewer.layers.selection.active = active
        self.marks = True
        return region

    def label_at(self, position: Sequence[float]) -> int:
        """Return the label at a place of the world, 0 for none."""
        pixel = np.round(to_layer(position, self._viewer.dims.units, self.layer)[-2:]).astype(int)
        plane = self._plane()
        if (pixel < 0).any() or (pixel >= plane.shape).any():
            return 0
        return int(plane[tuple(pixel)])

    def pixels_of(self, positions: Sequence[Sequence[float]]) -> NDArray[np.float64]:
        """Return places of the world in pixels of the layer's plane (N × YX)."""
        return np.array([to_layer(one, self._viewer.dims.units, self.layer)[-2:] for one in positions])

    # what is done to objects

    def accept(self, label: int) -> None:
        """Count an object as looked at."""
        self.begin_marking()
        self._mark([label], edited=False)

    def delete(self, label: int) -> None:
        """Make an object background."""
        around = surroundings(self._plane(), label)
        edited = self._set(self._plane() == label, 0)
        self._mark([], around, edited=edited)

    def join(self, label: int, other: int) -> None:
        """Give an object the number of another one."""
        if label != other:
            edited = self._set(self._plane() == other, label)
            self._mark([label], edited=edited)

    def grow(self, label: int) -> None:
        """Let an object have one more pixel on each side, where there is background."""
        plane = self._plane()
        grown, window = np.zeros(plane.shape, bool), box_around(plane == label, 1)
        grown[window] = ndimage.binary_dilation(plane[window] == label) & (plane[window] == 0)
        edited = self._set(grown, label)
        self._mark([label], edited=edited)

    def shrink(self, label: int) -> None:
        """Take one pixel from an object on each side.

        Raises
        ------
        DataError
            If nothing would be left of it.
        """
        mask = self._plane() == label
        window, outside = box_around(mask, 1), np.zeros(mask.shape, bool)
        # at the image's border an object does not end
        inside = ndimage.binary_erosion(mask[window], border_value=1)
        if not inside.any():
            raise DataError(f"Object {label} is too thin to shrink. Delete it instead.")
        outside[window] = mask[window] & ~inside
        edited = self._set(outside, 0)
        self._mark([label], edited=edited)

    def split(self, line: NDArray[np.float64]) -> list[int]:
        """Split objects along a line.

        Parameters
        ----------
        line : NDArray, shape (points, 2), YX
            In pixels; each object that it crosses falls apart, of which the largest piece keeps the number.

        Returns
        -------
        list of int
            The numbers of all pieces.

        Raises
        ------
        DataError
            If the line crosses no object, or there is no higher number.
        """
        plane = self._plane()
        cut = line_mask(line, plane.shape)
        changed = plane.copy()
        number = int(np.max(self.layer.data))
        pieces: list[int] = []
        for label in np.unique(plane[cut]).tolist():
            mask = plane == label
            window = box_around(mask, 0)
            parts = pieces_of(mask[window], cut[window]) if label > 0 else None
            if parts is None:
                continue
            names = [label, *range(number + 1, number + int(parts.max()))]
            number += len(names) - 1
            pieces += names
            changed[window][parts > 0] = np.array([0, *names])[parts[parts > 0]]
        if not pieces:
            raise DataError("The line crosses no object from one side to the other. Draw it across the object.")
        if number > np.iinfo(plane.dtype).max:
            raise DataError(f"Labels of type {plane.dtype} go no higher. Convert the layer (right-click it).")
        edited = self._set(changed != plane, changed[changed != plane])
        self._mark(pieces, edited=edited)
        return pieces

    # undo

    def undo(self) -> None:
        """Take back what was done last, whether to objects or to what counts as annotated."""
        self._replay(self._done, self._undone, lambda layer: layer.undo())

    def redo(self) -> None:
        """Do it again."""
        self._replay(self._undone, self._done, lambda layer: layer.redo())

    def _replay(self, source: list[str], target: list[str], act: Callable[[Labels], None]) -> None:
        step = source.pop() if source else _EDIT
        target.append(step)
        region = self.region
        if step in {_MARK, _BOTH} and region is not None:
            act(region)
        if step in {_EDIT, _BOTH}:
            act(self.layer)

    # how

    def _plane(self) -> NDArray[Any]:
        plane: NDArray[Any] = self.layer.data[shown_index(self._viewer, self.layer)]
        return plane

    def _set(self, mask: NDArray[np.bool_], values: Any) -> bool:
        """Change pixels of the labels; return whether any was another before."""
        before, self._own = len(self._done), True
        try:
            _set_in(self._viewer, self.layer, mask, values)
        finally:
            self._own = False
        return len(self._done) > before

    def _drawn(self, event: Any) -> None:
        """Take note of what napari's own tools, or these, have changed."""
        self._done.append(_EDIT)
        self._undone.clear()
        if self._own or not self.marks:
            return
        # this event comes before or after the pixels have changed
        after = self._plane().copy()
        changed = np.zeros(after.shape, bool)
        for atom in event.value:
            places = _places(after.shape, *atom[:2])
            after[places] = atom[-1]
            changed[places] = True
        drawn = [label for label in np.unique(after[changed]).tolist() if label > 0]
        self._mark(drawn, changed, edited=True, after=after)

    def _mark(
        self, labels: Sequence[int], also: NDArray[np.bool_] | None = None, *, edited: bool, after: Any = None
    ) -> None:
        """Count objects, and further pixels, as annotated; undone together with the edit before, if there was one."""
        region = self.region
        if not self.marks or region is None:
            return
        plane = self._plane() if after is None else after
        mask = np.zeros(plane.shape, bool) if also is None else also
        for label in labels:
            mask = mask | surroundings(plane, label)
        new = mask & (region.data[shown_index(self._viewer, region)] == 0)
        if not new.any():
            return
        _set_in(self._viewer, region, new, 1)
        if edited:
            self._done[-1] = _BOTH
        else:
            self._done.append(_MARK)
            self._undone.clear()


def _set_in(viewer: Viewer, layer: Labels, mask: NDArray[np.bool_], values: Any) -> None:
    """Change pixels of the plane that is shown, as one step of the layer's history."""
    places = np.nonzero(mask)
    index = shown_index(viewer, layer)
    leading = tuple(np.full(places[0].shape, at) for at in index)
    layer.data_setitem((*leading, *places), np.broadcast_to(np.asarray(values), places[0].shape))


def _places(shape: tuple[int, ...], where: tuple[Any, ...], mask: Any) -> Any:
    """Return which pixels of a plane a step of napari's history has changed: places, or a box with a mask."""
    where = where[-2:]
    if not isinstance(where[0], slice):
        return tuple(np.asarray(axis) for axis in where)
    changed = np.zeros(shape, bool)
    if mask is None:
        changed[where] = True
    else:
        changed[where] = np.asarray(mask).reshape(-1, *np.shape(mask)[-2:]).any(axis=0)
    return changed
