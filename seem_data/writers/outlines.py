"""Masks ─▶ polygons with few points, each checked by drawing it.

A polygon along the pixels' edges is the mask exactly, but has two points for every step of a slope. So each
part is simplified (shapely's topology-preserving Douglas-Peucker) until no side lies farther from the mask's
edge than a tolerance, drawn again by the rule that our own build uses, and compared. Where mask and polygon
have an IoU below `LEAST_IOU`, alone or as the photo's segments cover one another, the tolerance is halved,
and in the end the outline is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from seem_data.annotations import Polygon, Ring
from seem_data.drawing.keyholes import keyhole
from seem_data.drawing.layers import Layers
from seem_data.drawing.outlines import trace
from seem_data.drawing.runs import Runs, Stretches, runs_of
from seem_data.drawing.scan import FINE, edges_of, scan_edges
from seem_data.writers import MarkedSegment

#: What a mask and its polygons have at least in common, as a share of what either covers.
LEAST_IOU = 0.98
_FINEST = 0.25  #: smaller tolerances are none: the outline is then exact


Corners = NDArray[np.float64]  #: [units, 2] (x, y)
Unit = list[Polygon]  #: polygons that are drawn together, overlapping by the even-odd rule


def outlines(
    segments: Sequence[MarkedSegment], size: tuple[int, int], tolerance: float, joined: bool = False
) -> list[list[Polygon]]:
    """The parts of each segment, largest first; none for a segment without a pixel.

    Args:
        segments: later ones lie on top.
        size: (width, height) of the photo.
        tolerance: in pixels; 0 gives polygons that fill to exactly the mask.
        joined: all rings of a segment will be one line (see `one_line`).

    Raises:
        ValueError: a window does not lie in the photo.
    """
    if not segments:
        return []
    exact: list[Unit] = []
    bounds = [0]
    for parts in _traced([_window(segment, size) for segment in segments], size):
        exact += [parts] if joined and parts else [[part] for part in parts]
        bounds.append(len(exact))
    if tolerance >= _FINEST and exact:
        exact = _simplified(exact, bounds, size, tolerance)
    return [[part for unit in exact[a:b] for part in unit] for a, b in pairwise(bounds)]


def one_line(parts: Sequence[Polygon]) -> Ring:
    """[N, 2] all rings of a segment's parts as one closed line, joined by bridges that cover no pixel."""
    first, *others = (ring for part in parts for ring in (part.outer, *part.holes))
    return keyhole(first, others)


def _window(segment: MarkedSegment, size: tuple[int, int]) -> MarkedSegment:
    height, width = segment.mask.shape
    left, top = segment.left, segment.top
    if left < 0 or top < 0 or left + width > size[0] or top + height > size[1]:
        raise ValueError(f"a window of {width}×{height} at {left},{top} does not lie in a photo of {size}")
    return segment.cropped()


def _traced(windows: Sequence[MarkedSegment], size: tuple[int, int]) -> list[list[Polygon]]:
    """The parts of each segment's exact outline: all are traced at once, as the segments of one map, whose
    pixels may lie on one another."""
    runs = [runs_of(np.ascontiguousarray(window.mask.T, np.uint8), 1) for window in windows]
    placed = list(zip(runs, windows, strict=True))
    counts = [len(one.column) for one in runs]
    together = Runs(
        column=np.concatenate([one.column + window.left for one, window in placed]),
        top=np.concatenate([one.top + window.top for one, window in placed]),
        bottom=np.concatenate([one.bottom + window.top for one, window in placed]),
        toggles=np.full((sum(counts), 2), -1),
        bounds=np.append([0, 0], np.cumsum(counts, dtype=np.int64)),
        size=size,
    )
    return [[Polygon(part.outer, tuple(part.holes)) for part in parts] for parts in trace(together)]


def _simplified(
    exact: Sequence[Unit], bounds: Sequence[int], size: tuple[int, int], tolerance: float
) -> list[Unit]:
    """Units with fewer points; those from ``bounds[k]`` up to ``bounds[k + 1]`` are segment k's."""
    segment_of = np.repeat(np.arange(1, len(bounds)), np.diff(bounds))
    corners, apart = _side_by_side(exact, segment_of)
    in_place = np.zeros_like(corners)
    alone, together = _drawn(exact, corners, apart), _drawn(exact, in_place, size)
    allowed = np.full(len(exact), tolerance)
    found = list(exact)
    todo = np.arange(len(exact))
    while len(todo):
        for unit in todo.tolist():
            found[unit] = [_simple(part, float(allowed[unit])) for part in exact[unit]]
        new = np.flatnonzero(np.isin(segment_of, segment_of[todo]))  # the others have passed alone
        drawn = _drawn([found[unit] for unit in new], corners[new], apart)
        failing = np.zeros(len(exact), np.bool_)
        failing[new] = _failing(_only(alone, new, len(exact)), drawn, segment_of[new], allowed[new])
        if not failing.any():
            failing = _failing(together, _drawn(found, in_place, size), segment_of, allowed)
        todo = np.flatnonzero(failing)
        allowed[todo] = np.where(allowed[todo] < 2 * _FINEST, 0, allowed[todo] / 2)
    return found


def _only(drawn: Stretches, units: NDArray[np.int64], count: int) -> Stretches:
    """What is drawn of some of `count` units, counted among themselves."""
    table = np.zeros(count + 1, np.int64)
    table[units + 1] = np.arange(1, len(units) + 1)
    return drawn.relabelled(table)


def _simple(part: Polygon, tolerance: float) -> Polygon:
    if not tolerance:
        return part
    smooth = shapely.Polygon(_smooth(part.outer), [_smooth(hole) for hole in part.holes])
    shape = shapely.simplify(smooth, tolerance, preserve_topology=True)
    outer, *holes = (shapely.get_coordinates(ring)[:-1] for ring in (shape.exterior, *shape.interiors))
    return Polygon(outer, tuple(holes))


def _smooth(ring: Ring) -> Ring:
    """A ring along pixel edges with the middle of each step of one pixel in the place of its two ends, so
    that slopes are met in their middle and not at their outermost corners."""
    following = np.roll(ring, -1, axis=0)
    is_step = np.abs(following - ring).sum(axis=1) == 1
    corner = ~(is_step | np.roll(is_step, 1))
    middle = np.floor(FINE * (ring + following) / 2 + 0.5) / FINE  # on the grid that drawing rounds to
    points = np.stack([ring, middle], axis=1).reshape(-1, 2)
    kept = points[np.stack([corner, is_step], axis=1).ravel()]
    return kept if len(kept) >= 4 else ring


def _side_by_side(units: Sequence[Unit], segment_of: NDArray[np.int64]) -> tuple[Corners, tuple[int, int]]:
    """Where to draw units so that the segments stand side by side and none covers another: what to take from
    the coordinates of each, and the (width, height) of all. Their boxes are those of exact outlines, which
    simplified ones do not leave."""
    outers = [np.concatenate([part.outer for part in unit]) for unit in units]
    first = np.flatnonzero(np.diff(segment_of, prepend=0))
    low = np.minimum.reduceat([outer.min(axis=0) for outer in outers], first)
    high = np.maximum.reduceat([outer.max(axis=0) for outer in outers], first)
    width, height = (high - low).T
    low[:, 0] -= np.append(0, np.cumsum(width[:-1]))
    counts = np.diff(np.append(first, len(units)))
    return np.repeat(low, counts, axis=0), (int(width.sum()), int(height.max()))


def _drawn(units: Sequence[Unit], corners: Corners, size: tuple[int, int]) -> Stretches:
    """Which unit the build sees at each pixel, counted from 1; 0: none.

    Args:
        corners: what to take from the coordinates of each unit.
        size: (width, height) of what is drawn on.
    """
    rings = [
        (number, ring - corner)
        for number, (unit, corner) in enumerate(zip(units, corners, strict=True))
        for part in unit
        for ring in (part.outer, *part.holes)
    ]
    edges, ring_of_edge = edges_of([ring for _, ring in rings])
    toggle, edge = scan_edges(edges, *size)
    layer = np.array([number for number, _ in rings], np.int64)[ring_of_edge[edge]]
    return Layers(np.arange(1, len(units) + 1), toggle, layer, edge, edges).seen(size)


def _failing(
    wanted: Stretches, drawn: Stretches, owner: NDArray[np.int64], allowed: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which units to draw more exactly: of the segments that are too far from what they should be those
    units that are; or, where these are exact, those that stand in their places or no longer cover them.

    Args:
        owner: [units] whose each unit is, counted from 1.
        allowed: [units] the tolerance of each; those of 0 are exact.
    """
    # Where both maps are constant: a few thousand stretches instead of millions of pixels.
    start = np.union1d(wanted.start, drawn.start)
    pixels = np.diff(start, append=wanted.size[0] * wanted.size[1])
    should = wanted.value[np.searchsorted(wanted.start, start, "right") - 1]
    does = drawn.value[np.searchsorted(drawn.start, start, "right") - 1]

    count, owner_of = len(owner) + 1, np.append(0, owner)
    differs = np.flatnonzero(owner_of[should] != owner_of[does])
    wrong_pixels, missed, taken = pixels[differs], should[differs], does[differs]
    missing = np.bincount(missed, wrong_pixels, count)
    wrong = missing + np.bincount(taken, wrong_pixels, count)
    right = np.bincount(should, pixels, count) - missing
    bad = _too_far(np.bincount(owner_of, right), np.bincount(owner_of, wrong))
    bad[0] = False
    inexact = np.append(False, allowed > 0)
    failing = _too_far(right, wrong) & bad[owner_of] & inexact
    stuck = bad & ~np.isin(np.arange(len(bad)), owner_of[failing])
    failing[taken[stuck[owner_of[missed]]]] = True
    failing[missed[stuck[owner_of[taken]]]] = True
    return (failing & inexact)[1:]


def _too_far(right: np.ndarray, wrong: np.ndarray) -> NDArray[np.bool_]:
    return right < LEAST_IOU * (right + wrong)
