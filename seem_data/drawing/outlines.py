"""Runs ─▶ outlines: short polygons that fill to exactly the pixels they came from.

Contours through pixel centres (as `cv2.findContours` gives them) lose half a pixel all around; lines along
the pixels' edges are exact but have two corners for every step of a slope. So the straight edges that people
drew are found again: the steps of an outline that were made by one edge become one *side*, kept only if
rasterising it by pycocotools' rule gives those very steps. A segment that nothing covers gets its own polygon
back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from seem_data.drawing.keyholes import keyhole
from seem_data.drawing.layers import Layers
from seem_data.drawing.runs import Runs
from seem_data.drawing.scan import ENTER, FINE, Edges, scan_edges

Ints = NDArray[np.int64]


@dataclass(slots=True, eq=False)  # not frozen: so many are made, and frozen ones take three times as long
class Piece:
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
    its bottom and is walked to the left. `after` is the step that follows on the outline, `right` the one
    that goes on straight to the right, or -1."""

    column: Ints
    row: Ints
    after: Ints
    right: Ints


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    """Steps in successive columns on one line: side k is the steps ``step[bounds[k]:bounds[k + 1]]``, the
    outermost of them `left` and `right`."""

    step: Ints
    bounds: Ints
    left: Ints
    right: Ints
    line: Ints
    of_step: Ints


def trace(runs: Runs, layers: Layers | None = None) -> list[list[Piece]]:
    """The parts of each segment 1..K, largest first; parts of one segment are disjoint.

    Args:
        runs: of the index map.
        layers: what the map was drawn from; without them all sides run along pixel edges.
    """
    if layers is None:
        none = np.empty(0, np.int64)
        runs = replace(runs, toggles=np.full_like(runs.toggles, -1))
        return _traced(runs, none, Edges(none, none, none, none))
    return _traced(runs, layers.edge, layers.edges)


def trace_all(maps: Sequence[tuple[Runs, Layers]]) -> list[list[list[Piece]]]:
    """What `trace` gives of each map. Those of one size are traced together, as if they were the segments of
    one map: an image has so few sides that calling numpy costs more than what it then does. With more than
    some 20,000 runs they leave the processor's caches."""
    found: list[list[list[Piece]]] = [[] for _ in maps]
    by_size: dict[tuple[int, int], list[int]] = {}
    for number, (runs, _) in enumerate(maps):
        by_size.setdefault(runs.size, []).append(number)
    for numbers in by_size.values():
        parts = _traced(*_together([maps[number] for number in numbers]))
        for number in numbers:
            count = maps[number][0].segment_count
            found[number], parts = parts[:count], parts[count:]
    return found


def _together(maps: Sequence[tuple[Runs, Layers]]) -> tuple[Runs, Ints, Edges]:
    """The runs of maps of one size as those of one map, whose pixels may lie on one another; the edge of each
    toggle, and the edges."""
    bounds, toggles, edge_of_toggle = [np.zeros(2, np.int64)], [], []
    run_count = toggle_count = edge_count = 0
    for runs, layers in maps:
        bounds.append(runs.bounds[2:] + run_count)
        toggles.append(np.where(runs.toggles < 0, -1, runs.toggles + toggle_count))
        edge_of_toggle.append(np.where(layers.edge < 0, -1, layers.edge + edge_count))
        run_count += len(runs.column)
        toggle_count += len(layers.edge)
        edge_count += len(layers.edges.x0)
    each = [runs for runs, _ in maps]
    edges = [layers.edges for _, layers in maps]
    together = Runs(
        np.concatenate([runs.column for runs in each]),
        np.concatenate([runs.top for runs in each]),
        np.concatenate([runs.bottom for runs in each]),
        np.concatenate(toggles),
        np.concatenate(bounds),
        each[0].size,
    )
    corners = (np.concatenate([getattr(one, name) for one in edges]) for name in ("x0", "y0", "x1", "y1"))
    return together, np.concatenate(edge_of_toggle), Edges(*corners)


def _traced(runs: Runs, edge_of_toggle: Ints, edges: Edges) -> list[list[Piece]]:
    if not len(runs.column):
        return [[] for _ in range(runs.segment_count)]
    segment = runs.segment
    steps = _steps(runs, segment)
    sides = _sides(steps, runs, segment, edge_of_toggle, len(edges.x0))
    ends, missed = _ends(sides, steps, edges, runs.size)
    points, bounds = _points(sides, ends, missed, steps)
    return _parts(runs, segment, steps, sides, points, bounds)


def _steps(runs: Runs, segment: Ints) -> _Steps:
    """Where the steps of a column end and those of the next begin, sorted by row, each two in turn are joined
    by a vertical edge (of length 0 where the outline goes straight on): there, one of the two columns is
    inside and the other is not."""
    width, height = runs.size
    count = 2 * len(runs.top)
    row = np.empty((len(runs.top), 2), np.int64)
    row[:, 0], row[:, 1] = runs.top, runs.bottom
    # Where four pixels meet crosswise, bottoms come before tops: pixels that touch at a corner stay apart.
    place = 2 * row
    place += ((segment * (width + 1) + runs.column) * (2 * (height + 1)))[:, None]
    place[:, 0] += 1
    place = place.reshape(-1)
    end = np.argsort(np.concatenate([place, place + 2 * (height + 1)]), kind="stable")
    is_right = end >= count
    step = end - count * is_right
    first = np.arange(0, 2 * count, 2)
    # Of each two, one end leaves its step and the other enters the next.
    enters = is_right[0::2] == (step[0::2] & 1)
    leaving = first + enters
    after = np.empty(count, np.int64)
    after[step.take(leaving)] = step.take(leaving ^ 1)
    right = np.full(count, -1)
    straight = first[is_right[0::2] != is_right[1::2]]
    straight += is_right[1::2].take(straight >> 1)
    right[step.take(straight)] = step.take(straight ^ 1)
    return _Steps(np.repeat(runs.column, 2), row.reshape(-1), after, right)


def _sides(steps: _Steps, runs: Runs, segment: Ints, edge_of_toggle: Ints, flat: int) -> _Sides:
    """Steps on one polygon edge, or from line `flat` on in one pixel row, each linked to the next."""
    width, height = runs.size
    count = len(edge_of_toggle)
    toggle = runs.toggles.reshape(-1)
    edge = np.append(edge_of_toggle, -1).take(toggle)
    # Edges outside the image are cut along its border.
    drawn = (edge >= 0) & (steps.row > 0) & (steps.row < height)
    # An edge's toggles stand in a row, column by column, and each is a top and a bottom once at most.
    mine = np.flatnonzero(drawn)
    step_of = np.full(2 * count, -1)
    step_of[toggle.take(mine) + (mine & 1) * count] = mine
    by_edge = step_of.compress(step_of >= 0)
    rest = np.flatnonzero(~drawn)
    kind = 2 * segment.take(rest >> 1) + (rest & 1)
    place = (kind * (height + 1) + steps.row.take(rest)) * width + steps.column.take(rest)
    by_row = rest.take(np.argsort(place, kind="stable"))  # mostly in order: merged, not sorted

    step = np.concatenate([by_edge, by_row])
    line = np.concatenate([edge.take(by_edge), flat + steps.row.take(by_row)])
    begins = np.ones(len(step), np.bool_)
    begins[1:] = (line[1:] != line[:-1]) | (steps.right.take(step[:-1]) != step[1:])
    first = np.flatnonzero(begins)
    bounds = np.append(first, len(step))
    of_step = np.empty(len(step), np.int64)
    of_step[step] = np.repeat(np.arange(len(first)), np.diff(bounds))
    return _Sides(step, bounds, step.take(first), step.take(bounds[1:] - 1), line.take(first), of_step)


def _ends(sides: _Sides, steps: _Steps, edges: Edges, size: tuple[int, int]) -> tuple[Ints, Ints]:
    """[S, 2, 2] the left and the right end (x, y) of each side on the fine grid, and the sides that, so
    drawn, would not be exactly their steps.

    Between the middles of two columns nothing is decided, so an end may lie anywhere there: at the corner of
    the polygon if that is there (an edge with both its corners is right by itself), else where the edge comes
    close to a grid point.
    """
    row = steps.row[sides.left] * FINE
    left, right = steps.column[sides.left] * FINE, (steps.column[sides.right] + 1) * FINE
    ends = np.stack([left, row, right, row], axis=1).reshape(-1, 2, 2)  # along the pixels' edges

    drawn = np.flatnonzero(sides.line < len(edges.x0))
    # What is a top to one segment mostly is a bottom to another one: it is worked out once.
    width = size[0] + 1
    span = (sides.line * width + left // FINE) * width + right // FINE
    _, one, same = np.unique(span.take(drawn), return_index=True, return_inverse=True)
    one = drawn[one]
    line = sides.line[one]
    corners = np.stack([edges.x0[line], edges.y0[line], edges.x1[line], edges.y1[line]], 1).reshape(-1, 2, 2)
    turned = corners[:, 0, 0] > corners[:, 1, 0]
    corners[turned] = corners[turned, ::-1]
    limit = np.array(size) * FINE
    x, y = corners[..., 0], corners[..., 1]
    near = np.stack([x[:, 0] >= left[one] - ENTER, x[:, 1] < right[one] + FINE - ENTER], axis=1)
    whole = near & (x >= 0) & (x <= limit[0]) & (y >= 0) & (y <= limit[1])

    cut, end = np.nonzero(~whole)
    near_x = np.where(end == 1, right[one[cut]], left[one[cut]])
    found = corners.copy()
    found[cut, end] = _cut(corners[cut], near_x, end == 1, limit)
    unsure = np.flatnonzero(~(whole[:, 0] & whole[:, 1]))
    misses = np.zeros(len(one), np.bool_)
    misses[unsure] = _misses(sides, one[unsure], found[unsure], steps, size)
    ends[drawn] = found[same]
    return ends, drawn[misses[same]]


def _cut(corners: Ints, near_x: Ints, at_right: NDArray[np.bool_], limit: Ints) -> Ints:
    """[N, 2] where to cut edges off before their left or right corner: of the grid points near x that lie in
    the image, the one that the edge comes closest to."""
    x0, y0, x1, y1 = corners.reshape(-1, 4).T[..., None]
    x = near_x[:, None] + np.arange(-ENTER, FINE - ENTER)
    exact = y0 + ((y1 - y0) / (x1 - x0)) * (x - x0)
    y = np.rint(exact)
    beyond = np.where(at_right[:, None], x > x1, x < x0)
    barred = beyond | (x < 0) | (x > limit[0]) | (y < 0) | (y > limit[1])
    best = (np.abs(exact - y) + barred).argmin(axis=1)
    rank = np.arange(len(x))
    return np.stack([x[rank, best], y[rank, best]], axis=1).clip(0, limit).astype(np.int64)


def _misses(
    sides: _Sides, chosen: Ints, ends: Ints, steps: _Steps, size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Whether each chosen side, rasterised from end to end [N, 2, 2], is not exactly its steps."""
    width, height = size
    count = sides.bounds[chosen + 1] - sides.bounds[chosen]
    to = np.cumsum(count)
    step = sides.step[np.repeat(sides.bounds[chosen] - to + count, count) + np.arange(count.sum())]
    x0, y0, x1, y1 = ends.reshape(-1, 4).T
    got, of = scan_edges(Edges(x0, y0, x1, y1), width, height)
    misses = np.zeros(len(chosen), np.bool_)
    misses[of[got != steps.column[step] * height + steps.row[step]]] = True
    return misses


def _points(sides: _Sides, ends: Ints, missed: Ints, steps: _Steps) -> tuple[Ints, Ints]:
    """[P, 2] the points of all sides from left to right, and where each side's begin, [S + 1]: two each,
    except that sides that would not be their steps follow the pixels' edges."""
    count = np.full(len(sides.left), 2)
    count[missed] = 2 * (steps.column[sides.right[missed]] - steps.column[sides.left[missed]] + 1)
    bounds = np.append(0, np.cumsum(count))
    points = np.empty((bounds[-1], 2), np.int64)
    points[bounds[:-1]] = ends[:, 0]
    points[bounds[1:] - 1] = ends[:, 1]
    if len(missed):
        stepwise = np.zeros(len(count), np.bool_)
        stepwise[missed] = True
        step = np.flatnonzero(stepwise[sides.of_step])
        side = sides.of_step[step]
        at = bounds[side] + 2 * (steps.column[step] - steps.column[sides.left[side]])
        points[at] = np.stack([steps.column[step], steps.row[step]], axis=1) * FINE
        points[at + 1] = points[at] + (FINE, 0)
    return points, bounds


def _parts(
    runs: Runs, segment: Ints, steps: _Steps, sides: _Sides, points: Ints, point_bounds: Ints
) -> list[list[Piece]]:
    walked_right = sides.left & 1 == 0
    last = np.where(walked_right, sides.right, sides.left)
    order, bounds = _cycles(sides.of_step.take(steps.after.take(last)), np.argsort(sides.left))
    ring_of_side = np.empty(len(order), np.int64)
    ring_of_side[order] = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))

    # The points of the sides, as they are walked, less those that repeat the one before.
    count = np.diff(point_bounds)[order]
    to = np.append(0, np.cumsum(count))
    turned = ~walked_right.take(order)
    start = point_bounds.take(order + turned) - turned
    stride = 1 - 2 * turned
    place = np.repeat(stride, count) * np.arange(to[-1])
    place += np.repeat(start - stride * to[:-1], count)
    walked = points.take(place, axis=0)
    outline, ring_bounds = _without_idle(walked, to[bounds])
    outline = outline / FINE
    rings = [outline[a:b] for a, b in pairwise(ring_bounds.tolist())]

    # Rings that bound the same run bound the same part; the first ring found of a part is its outer one.
    ring = ring_of_side.take(sides.of_step)
    outer_of = _outer_rings(ring[0::2], ring[1::2], len(rings))
    area = np.bincount(outer_of.take(ring[0::2]), runs.bottom - runs.top, len(rings)).astype(np.int64)
    segment_of_ring = segment.take(sides.left.take(order.take(bounds[:-1])) >> 1)
    parts: list[list[Piece]] = [[] for _ in range(runs.segment_count)]
    found: dict[int, Piece] = {}
    facts = zip(outer_of.tolist(), segment_of_ring.tolist(), area.tolist(), strict=True)
    for number, (outer, owner, pixels) in enumerate(facts):
        if outer == number:
            found[number] = Piece(rings[number], [], pixels)
            parts[owner - 1].append(found[number])
        else:
            found[outer].holes.append(rings[number])
    for pieces in parts:
        pieces.sort(key=lambda part: -part.area)
    return parts


def _without_idle(points: Ints, bounds: Ints) -> tuple[Ints, Ints]:
    """Rings without points that repeat the one before, or that lie within a horizontal line."""
    x, y = points[:, 0], points[:, 1]
    before = _shifted(np.arange(len(x)), bounds)
    keep = np.flatnonzero((x != x[before]) | (y != y[before]))
    bounds = np.searchsorted(keep, bounds)
    y = y[keep]
    before = _shifted(np.arange(len(y)), bounds)
    level = y == y[before]
    after_level = np.empty_like(level)
    after_level[before] = level
    idle = level & after_level
    return points[keep[~idle]], np.searchsorted(np.flatnonzero(~idle), bounds)


def _shifted(number: Ints, bounds: Ints) -> Ints:
    """The number before each, the first of a ring's being its last."""
    before = number - 1
    before[bounds[:-1]] = bounds[1:] - 1
    return before


def _cycles(after: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """The sides ring by ring, and the bounds of the rings in that list; rings by their first start."""
    order: list[int] = []
    bounds = [0]
    to = after.tolist()
    for start in starts.tolist():
        if to[start] < 0:
            continue
        side = start
        while (following := to[side]) >= 0:
            order.append(side)
            to[side] = -1
            side = following
        bounds.append(len(order))
    return np.array(order, np.int64), np.array(bounds, np.int64)


def _outer_rings(one: Ints, other: Ints, count: int) -> Ints:
    """The first ring of the part that each ring belongs to, given pairs of rings of the same part."""
    outer = list(range(count))

    def root(ring: int) -> int:
        while outer[ring] != ring:
            ring = outer[ring]
        return ring

    apart = one != other
    pair = one[apart] * count + other[apart]
    pair = pair[np.append(True, pair[1:] != pair[:-1])[: len(pair)]]  # neighbours mostly repeat one another
    for a, b in (divmod(number, count) for number in set(pair.tolist())):
        low, high = sorted((root(a), root(b)))
        outer[high] = low
    return np.array([root(ring) for ring in range(count)], np.int64)
