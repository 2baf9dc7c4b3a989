"""Runs ─▶ outlines: short polygons that fill to exactly the pixels they came from.

Contours through pixel centres (as `cv2.findContours` gives them) lose half a pixel all around; lines along
the pixels' edges are exact but have two corners for every step of a slope. So the straight edges that people
drew are found again: the steps of an outline that were made by one edge become one *side*, kept only if
rasterising it by pycocotools' rule gives those very steps. A segment that nothing covers gets its own polygon
back.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from seem_data.keyholes import keyhole
from seem_data.layers import Layers
from seem_data.runs import Runs
from seem_data.scan import ENTER, FINE, Edges, scan_edges

Ints = NDArray[np.int64]
_CHOICES = 4  #: how many places are tried for the cut ends of a side


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One connected piece of a segment (pixels joined by their sides).

    Attributes:
        outer: [N, 2] points (x, y) of its outer ring in pixels, all within the image.
        holes: [M, 2] points each of the rings cut out of it.
        area: pixels.
    """

    outer: NDArray[np.float64]
    holes: list[NDArray[np.float64]]
    area: int

    def polygon(self) -> NDArray[np.float64]:
        """[N, 2] the part as one closed line, N ≥ 4: holes are bridged, a triangle repeats its last point."""
        line = keyhole(self.outer, self.holes) if self.holes else self.outer
        return line if len(line) >= 4 else np.concatenate([line, line[-1:]])


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """The unit edges of all outlines: step 2i is the top of run i and is walked to the right, step 2i + 1 is
    its bottom and is walked to the left. `after` is the step that follows on the outline."""

    segment: Ints
    column: Ints
    row: Ints
    top: NDArray[np.bool_]
    after: Ints


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    """Steps in successive columns on one line; `left` and `right` are the outermost of them."""

    left: Ints
    right: Ints
    line: Ints
    of_step: Ints


def trace(runs: Runs, layers: Layers | None = None) -> list[list[Part]]:
    """The parts of each segment 1..K, largest first; parts of one segment are disjoint.

    Args:
        runs: of the index map.
        layers: what the map was drawn from; without them all sides run along pixel edges.
    """
    if not len(runs.column):
        return [[] for _ in range(runs.segment_count)]
    steps = _steps(runs)
    edges = layers.edges if layers else Edges(*(np.empty(0, np.int64) for _ in range(4)))
    flat = len(edges.x0)  # lines from here on are the pixel rows
    line = _lines(steps, runs.size, layers, flat)
    sides = _sides(steps, line, runs.size)
    ends = _row_ends(sides, steps)
    wrong = sides.line < flat
    for choice in range(_CHOICES):
        if wrong.any():
            ends[wrong] = _line_ends(sides, wrong, steps, edges, runs.size, choice)
            wrong[wrong] = _missed(sides, wrong, ends, steps, runs.size)
    if wrong.any():  # these sides fall back to their pixels' edges
        known, known_ends = sides, ends
        sides = _sides(steps, np.where(wrong[known.of_step], flat + steps.row, line), runs.size)
        drawn = (sides.line < flat)[:, None, None]
        ends = np.where(drawn, known_ends[known.of_step[sides.left]], _row_ends(sides, steps))
    return _parts(runs, steps, sides, ends)


def _steps(runs: Runs) -> _Steps:
    """Where the steps of a column end and those of the next begin, sorted by row, each two in turn are joined
    by a vertical edge (of length 0 where the outline goes straight on): there, one of the two columns is
    inside and the other is not."""
    width, height = runs.size
    row = np.stack([runs.top, runs.bottom], axis=1).ravel()
    column = np.repeat(runs.column, 2)
    segment = np.repeat(runs.segment, 2)
    number = np.arange(len(row))
    top = number % 2 == 0
    # Where four pixels meet crosswise, bottoms come before tops: pixels that touch at a corner stay apart.
    left_end = ((segment * (width + 1) + column) * (height + 1) + row) * 2 + top
    pair = np.argsort(np.concatenate([left_end, left_end + 2 * (height + 1)]), kind="stable").reshape(-1, 2)
    mate = np.empty(2 * len(row), np.int64)
    mate[pair[:, 0]] = pair[:, 1]
    mate[pair[:, 1]] = pair[:, 0]
    after = mate[np.where(top, number + len(row), number)] % len(row)
    return _Steps(segment, column, row, top, after)


def _lines(steps: _Steps, size: tuple[int, int], layers: Layers | None, flat: int) -> Ints:
    """The line that each step lies on: a polygon edge, or from `flat` on a pixel row."""
    rows = flat + steps.row
    if layers is None or not len(layers.toggle):
        return rows
    height = size[1]
    position = steps.column * height + steps.row
    order = np.argsort(layers.toggle * len(layers.value) + layers.layer)  # of several the topmost comes last
    toggle = layers.toggle[order]
    at = np.searchsorted(toggle, position, side="right") - 1
    edge = np.where(toggle[at] == position, layers.edge[order[at]], -1)
    inside = (steps.row > 0) & (steps.row < height)  # edges outside the image are cut along its border
    return np.where(inside & (edge >= 0), edge, rows)


def _sides(steps: _Steps, line: Ints, size: tuple[int, int]) -> _Sides:
    goes_on = (steps.top[steps.after] == steps.top) & (line[steps.after] == line)
    first = np.ones(len(line), np.bool_)
    first[steps.after[goes_on]] = False
    key = ((steps.segment * 2 + steps.top) * (int(line.max()) + 1) + line) * size[0] + steps.column
    left = np.flatnonzero(np.where(steps.top, first, ~goes_on))
    right = np.flatnonzero(np.where(steps.top, ~goes_on, first))
    # Sides of one line do not overlap, so the k-th left end belongs to the k-th right end.
    left, right = left[np.argsort(key[left])], right[np.argsort(key[right])]
    of_step = np.searchsorted(key[left], key, side="right") - 1
    return _Sides(left, right, line[left], of_step)


def _row_ends(sides: _Sides, steps: _Steps) -> Ints:
    """[S, 2, 2] the left and the right end (x, y) of each side on the fine grid, along its pixels' edges."""
    row = steps.row[sides.left] * FINE
    left, right = steps.column[sides.left] * FINE, (steps.column[sides.right] + 1) * FINE
    return np.stack([left, row, right, row], axis=1).reshape(-1, 2, 2)


def _line_ends(
    sides: _Sides,
    chosen: NDArray[np.bool_],
    steps: _Steps,
    edges: Edges,
    size: tuple[int, int],
    choice: int,
) -> Ints:
    """The ends of the chosen sides on the polygon edges they come from.

    Between the middles of two columns nothing is decided, so an end may lie anywhere there: at the corner of
    the polygon if that is there, else at the grid point that the edge passes closest (by `choice`, the next
    closest, …).
    """
    line = sides.line[chosen]
    x0, y0, x1, y1 = edges.x0[line], edges.y0[line], edges.x1[line], edges.y1[line]
    slope = (y1 - y0) / (x1 - x0)
    limit_x, limit_y = size[0] * FINE, size[1] * FINE
    rank = np.arange(len(line))
    ends = []
    for column, corner, beyond in (
        (steps.column[sides.left[chosen]], np.minimum(x0, x1), np.less),
        (steps.column[sides.right[chosen]] + 1, np.maximum(x0, x1), np.greater),
    ):
        x = column[:, None] * FINE + np.arange(-ENTER, FINE - ENTER)
        exact = y0[:, None] + slope[:, None] * (x - x0[:, None])
        y = np.rint(exact)
        barred = beyond(x, corner[:, None]) | (x < 0) | (x > limit_x) | (y < 0) | (y > limit_y)
        at_corner = (x == corner[:, None]) & ~barred
        cost = np.abs(exact - y) + 2 * barred - at_corner
        best = np.argsort(cost, axis=1)[:, choice]
        best = np.where(at_corner.any(axis=1), at_corner.argmax(axis=1), best)
        ends += [np.clip(x[rank, best], 0, limit_x), np.clip(y[rank, best], 0, limit_y)]
    return np.stack(ends, axis=1).astype(np.int64).reshape(-1, 2, 2)


def _missed(
    sides: _Sides, chosen: NDArray[np.bool_], ends: Ints, steps: _Steps, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Whether each chosen side, rasterised, is not exactly its steps."""
    width, height = size
    left, right = steps.column[sides.left], steps.column[sides.right]
    count = np.where(chosen, right - left + 1, 0)
    offset = np.cumsum(count) - count
    mine = np.flatnonzero(chosen[sides.of_step])
    side = sides.of_step[mine]
    wanted = np.empty(len(mine), np.int64)
    wanted[offset[side] + steps.column[mine] - left[side]] = steps.column[mine] * height + steps.row[mine]
    x0, y0, x1, y1 = ends[chosen].reshape(-1, 4).T
    got, of = scan_edges(Edges(x0, y0, x1, y1), width, height)
    missed = np.zeros(len(x0), np.bool_)
    missed[of[got != wanted]] = True
    return missed


def _parts(runs: Runs, steps: _Steps, sides: _Sides, ends: Ints) -> list[list[Part]]:
    walked_right = steps.top[sides.left]
    last = np.where(walked_right, sides.right, sides.left)
    order, bounds = _cycles(sides.of_step[steps.after[last]], np.argsort(sides.left))
    ring_of_side = np.empty(len(order), np.int64)
    ring_of_side[order] = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))

    points = np.where(walked_right[:, None, None], ends, ends[:, ::-1])[order].reshape(-1, 2)
    before = np.arange(len(points)) - 1
    before[2 * bounds[:-1]] = 2 * bounds[1:] - 1
    new = (points != points[before]).any(axis=1)
    point_bounds = np.append(0, np.cumsum(new))[2 * bounds]
    points = points[new] / FINE
    rings = [points[a:b] for a, b in pairwise(point_bounds.tolist())]

    # Rings that bound the same run bound the same part; the first ring found of a part is its outer one.
    ring = ring_of_side[sides.of_step]
    outer_of = _outer_rings(ring[0::2], ring[1::2], len(rings))
    area = np.bincount(outer_of[ring[0::2]], runs.bottom - runs.top, len(rings))
    segment_of_ring = steps.segment[sides.left[order[bounds[:-1]]]]
    parts: list[list[Part]] = [[] for _ in range(runs.segment_count)]
    found: dict[int, Part] = {}
    for number, (outer, owner) in enumerate(zip(outer_of.tolist(), segment_of_ring.tolist(), strict=True)):
        if outer == number:
            found[number] = Part(rings[number], [], int(area[number]))
            parts[owner - 1].append(found[number])
        else:
            found[outer].holes.append(rings[number])
    for pieces in parts:
        pieces.sort(key=lambda part: -part.area)
    return parts


def _cycles(after: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """The sides ring by ring, and the bounds of the rings in that list; rings by their first start."""
    order: list[int] = []
    bounds = [0]
    to = after.tolist()
    for start in starts.tolist():
        side = start
        while (following := to[side]) >= 0:
            order.append(side)
            to[side] = -1
            side = following
        if len(order) > bounds[-1]:
            bounds.append(len(order))
    return np.array(order, np.int64), np.array(bounds, np.int64)


def _outer_rings(one: Ints, other: Ints, count: int) -> Ints:
    """The first ring of the part that each ring belongs to, given pairs of rings of the same part."""
    outer = list(range(count))

    def root(ring: int) -> int:
        while outer[ring] != ring:
            ring = outer[ring]
        return ring

    apart = np.flatnonzero(one != other)
    for a, b in set(zip(one[apart].tolist(), other[apart].tolist(), strict=True)):
        low, high = sorted((root(a), root(b)))
        outer[high] = low
    return np.array([root(ring) for ring in range(count)], np.int64)
