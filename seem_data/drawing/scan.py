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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import Bitmap, Ring

FINE = 5  #: grid steps per pixel
ENTER = 2  #: the middle of column c lies between the grid lines 5c + 2 and 5c + 3


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Polygon edges on the fine grid, those along a column left out: [E] int64 each, in any direction."""

    x0: NDArray[np.int64]
    y0: NDArray[np.int64]
    x1: NDArray[np.int64]
    y1: NDArray[np.int64]


def edges_of(rings: Sequence[Ring]) -> tuple[Edges, NDArray[np.int64]]:
    """The edges of closed rings, and the ring of each.

    Args:
        rings: [N, 2] finite points in pixels each, |coordinate| ≤ 10⁹.
    """
    lengths = np.fromiter(map(len, rings), np.int64, len(rings))
    points = np.concatenate(rings) if lengths.any() else np.empty((0, 2))
    grid = np.trunc(FINE * points + 0.5).astype(np.int64)
    following = np.arange(1, len(grid) + 1)
    last_points = np.cumsum(lengths) - 1
    following[last_points] = last_points - lengths + 1
    x, y = grid[:, 0], grid[:, 1]
    crossing = np.flatnonzero(x != x[following])
    following = following[crossing]
    ring = np.repeat(np.arange(len(rings)), lengths)[crossing]
    return Edges(x[crossing], y[crossing], x[following], y[following]), ring


def scan_edges(edges: Edges, width: int, height: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The toggles of edges: position and edge of each, edge by edge from left to right."""
    # The columns whose middle each edge crosses, and from here on one entry per (edge, column).
    x0, y0, x1, y1 = edges.x0, edges.y0, edges.x1, edges.y1
    left, right = np.minimum(x0, x1), np.maximum(x0, x1)
    first = np.maximum((left + ENTER) // FINE, 0)
    last = np.minimum((right - ENTER - 1) // FINE, width - 1)
    count = np.maximum(last - first + 1, 0)
    edge = np.repeat(np.arange(len(first)), count)
    # Whole numbers, as all below, but in float64: exact, and divided much faster.
    column = np.arange(0.0, len(edge))
    column -= (np.cumsum(count) - count - first).astype(np.float64).take(edge)
    enter = FINE * column + ENTER

    # Walked along its longer axis, always in the growing direction, as rleFrPoly does.
    across, down = x1 - x0, y1 - y0
    steep = right - left < np.abs(down)
    turned = np.where(steep, down, across) < 0
    start_x = np.where(turned, x1, x0).astype(np.float64)
    start_y = np.where(turned, y1, y0).astype(np.float64)
    slope = np.where(steep, across, down) / np.where(steep, down, across)
    # A flat edge's row is the upper one of the steps before and after the middle.
    start_x -= ~steep & (slope < 0)

    row = enter - start_x.take(edge)
    row *= slope.take(edge)
    row += start_y.take(edge)
    row = np.floor(row + 0.5)
    at = np.flatnonzero(steep.take(edge))
    of = edge.take(at)
    row[at] = start_y.take(of) + _steep_steps(enter.take(at) + 1, start_x.take(of), slope.take(of))
    row = np.floor((row + ENTER) / FINE)
    row = np.minimum(np.maximum(row, 0), height)
    return (column * height + row).astype(np.int64), edge


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
