"""An index map as column runs: what areas, boxes, RLE and outlines are computed from, without masks.

A run is a piece of one pixel column that belongs to one segment. An image has a few thousand of them where
it has a few hundred thousand pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  #: x, y, width, height in whole pixels


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The runs of segments 1..K, ordered by (segment, column, top).

    Attributes:
        column, top, bottom: a run covers the pixels (column, top ≤ row < bottom).
        bounds: [K + 2]; the runs of segment k are those from ``bounds[k]`` up to ``bounds[k + 1]``.
        size: (width, height) of the map.
    """

    column: NDArray[np.int64]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]
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
        total = np.concatenate([[0], np.cumsum(self.bottom - self.top)])
        return np.diff(total[self.bounds])

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
    """Where a map [width, height] is constant along its columns: value, flat start and flat end of every
    stretch, in the order of the map."""

    value: NDArray[Any]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    size: tuple[int, int]

    def areas(self, value_count: int) -> NDArray[np.int64]:
        """[value_count] how many pixels have each value."""
        return np.bincount(self.value, self.end - self.start, value_count).astype(np.int64)

    def runs(self, segment_of_value: NDArray[np.int64], segment_count: int) -> Runs:
        """The runs of segments 1..K, given which segment each value is (0: none; no two values one)."""
        height = self.size[1]
        segment = segment_of_value.astype(np.min_scalar_type(segment_count))[self.value]
        labelled = np.flatnonzero(segment)
        segment = segment[labelled]
        order = labelled[np.argsort(segment, kind="stable")]
        start = self.start[order]
        column = start // height
        top = start - column * height
        bounds = np.zeros(segment_count + 2, np.int64)
        np.cumsum(np.bincount(segment, minlength=segment_count + 1), out=bounds[1:])
        return Runs(column, top, top + self.end[order] - start, bounds, self.size)


def stretches_of(columns: NDArray[Any]) -> Stretches:
    """The stretches of a map whose columns lie one after another, [width, height]."""
    width, height = columns.shape
    begins = np.empty((width, height), np.bool_)
    begins[:, :1] = True
    np.not_equal(columns[:, 1:], columns[:, :-1], out=begins[:, 1:])
    start = np.flatnonzero(begins)
    return Stretches(columns.reshape(-1)[start], start, np.append(start[1:], columns.size), (width, height))


def runs_of(columns: NDArray[Any], segment_count: int) -> Runs:
    """The runs of an index map.

    Args:
        columns: [width, height] the map with its columns one after another; 0 is no segment.
        segment_count: K; values go up to K.
    """
    return stretches_of(columns).runs(np.arange(segment_count + 1), segment_count)
