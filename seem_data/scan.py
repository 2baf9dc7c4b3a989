"""Which pixels lie inside a shape: exactly those that pycocotools says, found without walking every pixel.

The original SEEM decodes its polygons with pycocotools, so its rule is our rule (`rleFrPoly` in cocoapi's
``maskApi.c``): corners are rounded to a grid five times finer than the pixels, edges are walked on that grid,
and a pixel column is entered or left where an edge crosses the column's middle. We look at those crossings
alone. The result is a list of *toggles*: flat positions ``column · height + row`` from which on, downwards, a
layer turns from outside to inside or back. A layer's toggles come in pairs within each column, so overlapping
rings of one layer cancel by the even-odd rule, and clipping to the image costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import Bitmap, Ring

_FINE = 5  #: grid steps per pixel
_ENTER = 2  #: the middle of column c lies between the grid lines 5c + 2 and 5c + 3


def scan_rings(
    rings: Sequence[Ring], layers: Sequence[int], width: int, height: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The toggles of closed rings, in no particular order.

    Args:
        rings: [N, 2] finite points in pixels each, |coordinate| ≤ 10⁹.
        layers: the layer of each ring.

    Returns:
        position and layer of each toggle.
    """
    lengths = np.fromiter(map(len, rings), np.int64, len(rings))
    if not lengths.sum():
        return np.empty(0, np.int64), np.empty(0, np.int64)
    grid = np.trunc(_FINE * np.concatenate(rings) + 0.5).astype(np.int64)
    following = np.arange(1, len(grid) + 1)
    last_points = np.cumsum(lengths) - 1
    following[last_points] = last_points - lengths + 1
    layer = np.repeat(np.asarray(layers, np.int64), lengths)

    x0, y0 = grid[:, 0], grid[:, 1]
    x1, y1 = x0[following], y0[following]
    crossing = np.flatnonzero(x0 != x1)
    x0, y0, x1, y1, layer = x0[crossing], y0[crossing], x1[crossing], y1[crossing], layer[crossing]

    # The columns whose middle each edge crosses, and one row below per (edge, column).
    left, right = np.minimum(x0, x1), np.maximum(x0, x1)
    first = np.maximum((left + _ENTER) // _FINE, 0)
    last = np.minimum((right - _ENTER - 1) // _FINE, width - 1)
    count = np.maximum(last - first + 1, 0)
    edge = np.repeat(np.arange(len(first)), count)
    column = np.arange(len(edge)) - (np.cumsum(count) - count - first)[edge]
    enter = _FINE * column + _ENTER

    # Walked along its longer axis, always in the growing direction, as rleFrPoly does.
    steep = right - left < np.abs(y1 - y0)
    turned = np.where(steep, y0 > y1, x0 > x1)
    start_x, start_y = np.where(turned, x1, x0)[edge], np.where(turned, y1, y0)[edge]
    slope = (np.where(steep, x1 - x0, y1 - y0) / np.where(steep, y1 - y0, x1 - x0))[edge]
    steep = steep[edge]

    row = np.empty(len(edge), np.int64)
    at = np.flatnonzero(~steep)
    row[at] = _flat_rows(enter[at] - start_x[at], start_y[at], slope[at])
    at = np.flatnonzero(steep)
    row[at] = start_y[at] + _steep_steps(enter[at] + 1, start_x[at], slope[at])
    row = np.clip((row + _ENTER) // _FINE, 0, height)
    return column * height + row, layer[edge]


def _flat_rows(step: NDArray, start: NDArray, slope: NDArray) -> NDArray:
    """Grid row where a flat edge crosses: the upper one of the steps before and after the middle."""
    return np.floor(np.minimum(start + slope * step + 0.5, start + slope * (step + 1) + 0.5))


def _steep_steps(after: NDArray, start: NDArray, slope: NDArray) -> NDArray:
    """The last step of a steep edge before it crosses the middle, which lies just left of `after`."""
    rising = slope > 0

    def crossed(step: NDArray) -> NDArray:
        return (start + slope * step + 0.5 >= after) == rising

    step = np.ceil((after - 0.5 - start) / slope)  # right up to rounding: look one step back and forth
    step = np.where(crossed(step), step, step + 1)
    return np.where(crossed(step - 1), step - 2, step - 1)


def scan_bitmap(bitmap: Bitmap, width: int, height: int) -> NDArray[np.int64]:
    """The toggles of a bitmap clipped to the image, in growing order."""
    left, top = max(bitmap.left, 0), max(bitmap.top, 0)
    window = bitmap.mask[
        top - bitmap.top : max(height - bitmap.top, 0), left - bitmap.left : max(width - bitmap.left, 0)
    ]
    if not window.size:
        return np.empty(0, np.int64)
    columns = np.zeros((window.shape[1], window.shape[0] + 2), np.bool_)
    columns[:, 1:-1] = window.T
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    return (column + left) * height + row + top
