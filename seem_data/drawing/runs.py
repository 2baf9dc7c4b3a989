"""An index map as column runs: what areas, boxes, RLE and outlines are computed from, without masks.

A run is a piece of one pixel column that belongs to one segment. An image has a few thousand of them where
it has a few hundred thousand pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  #: x, y, width, height in whole pixels


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The runs of segments 1..K, ordered by (segment, column, top).

    Attributes:
        column, top, bottom: a run covers the pixels (column, top ≤ row < bottom).
        toggles: [R, 2] which toggles of `Layers` lie at its top and its bottom, -1 where there is none.
        bounds: [K + 2]; the runs of segment k are those from ``bounds[k]`` up to ``bounds[k + 1]``.
        size: (width, height) of the map.
    """

    column: NDArray[np.int64]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
    toggles: NDArray[np.int64]
    bounds: NDArray[np.int64]
    size: tuple[int, int]

    @property
    def segment_count(self) -> int:
        return len(self.bounds) - 2

    def of(self, segment: int) -> slice:
        return slice(int(self.bounds[segment]), int(self.bounds[segment + 1]))

    @property
    def segment(self) -> NDArray[np.int64]:
        """The segment of each run."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))

    def areas(self) -> NDArray[np.int64]:
        """[K + 1] pixels of each segment; entry 0 is not counted."""
        total = np.zeros(len(self.top) + 1, np.int64)
        np.cumsum(self.bottom - self.top, out=total[1:])
        at_bound = total.take(self.bounds)
        return at_bound[1:] - at_bound[:-1]

    def boxes(self) -> list[Box]:
        """The boxes of segments 1..K; none of them may be empty."""
        if not self.segment_count:
            return []
        first = self.bounds[1:-1]
        left, right = self.column[first], self.column[self.bounds[2:] - 1] + 1
        top, bottom = np.minimum.reduceat(self.top, first), np.maximum.reduceat(self.bottom, first)
        return list(
            zip(left.tolist(), top.tolist(), (right - left).tolist(), (bottom - top).tolist(), strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """Where a map is constant along its columns, in the order of the map.

    Attributes:
        value: of each stretch.
        start, end: flat positions ``column · height + row``; a stretch covers those from start up to end.
        toggle: which toggle of `Layers` the stretch begins at, -1 where it is none.
        size: (width, height) of the map.
    """

    value: NDArray[np.integer]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    toggle: NDArray[np.int64]
    size: tuple[int, int]

    @classmethod
    def of(
        cls,
        value: NDArray[np.integer],
        start: NDArray[np.int64],
        toggle: NDArray[np.int64],
        size: tuple[int, int],
    ) -> Stretches:
        """Stretches that follow one another without gaps."""
        end = np.empty_like(start)
        end[:-1] = start[1:]
        end[-1:] = size[0] * size[1]
        return cls(value, start, end, toggle, size)

    def areas(self, value_count: int) -> NDArray[np.int64]:
        """[value_count] how many pixels have each value."""
        return np.bincount(self.value, self.end - self.start, value_count).astype(np.int64)

    def columns(self) -> NDArray[np.integer]:
        """[width, height] the map, its columns one after another."""
        return np.repeat(self.value, self.end - self.start).reshape(self.size)

    def some_columns(self, column: NDArray[np.int64]) -> NDArray[np.integer]:
        """[C, height] some columns of the map."""
        height = self.size[1]
        first = np.searchsorted(self.start, column * height)
        count = np.searchsorted(self.start, (column + 1) * height) - first
        to = np.cumsum(count)
        chosen = np.repeat(first - to + count, count) + np.arange(count.sum())
        length = self.end[chosen] - self.start[chosen]
        return np.repeat(self.value[chosen], length).reshape(len(column), height)

    def relabelled(self, table: NDArray[np.integer]) -> Stretches:
        """The map ``table[value]``."""
        value = table.take(self.value)
        same = np.flatnonzero(value[1:] == value[:-1]) + 1  # as the one before: one with it within a column
        joined = same[self.start.take(same) % self.size[1] != 0]
        if not len(joined):
            return Stretches(value, self.start, self.end, self.toggle, self.size)
        kept = np.delete(np.arange(len(value)), joined)
        return Stretches.of(value.take(kept), self.start.take(kept), self.toggle.take(kept), self.size)

    def runs(self, segment_count: int) -> Runs:
        """The runs of the segments 1..K that the values are."""
        height = self.size[1]
        labelled = np.flatnonzero(self.value)
        segment = self.value.take(labelled)
        order = labelled.take(np.argsort(segment, kind="stable"))
        start = self.start.take(order)
        column = start // height
        top = start - column * height
        bounds = np.zeros(segment_count + 2, np.int64)
        np.cumsum(np.bincount(segment, minlength=segment_count + 1), out=bounds[1:])
        ends_at = np.append(self.toggle, -1)
        toggles = np.empty((len(order), 2), np.int64)
        toggles[:, 0] = ends_at.take(order)
        toggles[:, 1] = ends_at.take(order + 1)
        return Runs(column, top, top + self.end.take(order) - start, toggles, bounds, self.size)


def stretches_of(columns: NDArray[np.integer]) -> Stretches:
    """The stretches of a map whose columns lie one after another, [width, height]."""
    width, height = columns.shape
    begins = np.empty((width, height), np.bool_)
    begins[:, :1] = True
    np.not_equal(columns[:, 1:], columns[:, :-1], out=begins[:, 1:])
    start = np.flatnonzero(begins)
    return Stretches.of(columns.reshape(-1)[start], start, np.full(len(start), -1), (width, height))


def runs_of(columns: NDArray[np.integer], segment_count: int) -> Runs:
    """The runs of an index map.

    Args:
        columns: [width, height] the map with its columns one after another; 0 is no segment.
        segment_count: K; values go up to K.
    """
    return stretches_of(columns).runs(segment_count)
