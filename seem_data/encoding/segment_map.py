"""What a panoptic PNG says by its pixels alone, so that the rows of the JSON files can be held against it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seem_data import layout
from seem_data.categories import Categories
from seem_data.drawing.runs import Box, Runs, runs_of
from seem_data.encoding.instances import encode_runs


@dataclass(frozen=True, slots=True)
class FoundSegment:
    """A segment as the pixels of a panoptic PNG tell it."""

    area: int
    bbox: Box
    mask: dict[str, object]  #: COCO's compressed RLE


@dataclass(frozen=True, slots=True, eq=False)
class SegmentMap:
    """A panoptic PNG as an index map.

    Attributes:
        index: [H, W]; 0 = void, k = the k-th of `segments`.
        segments: by id, ids growing.
    """

    index: NDArray[np.int32]
    runs: Runs
    segments: dict[int, FoundSegment]

    @classmethod
    def of(cls, id_map: NDArray[np.int32]) -> SegmentMap:
        flat = id_map.ravel()
        starts = np.flatnonzero(np.diff(flat, prepend=-1))  # few values to sort instead of all pixels
        ids = np.unique(flat[starts])
        ids = ids[ids != 0]
        index = np.searchsorted(ids, id_map).astype(np.int32) + 1
        index[id_map == 0] = 0
        runs = runs_of(np.ascontiguousarray(index.T), len(ids))
        masks = encode_runs(runs, range(1, len(ids) + 1))
        facts = zip(runs.areas()[1:].tolist(), runs.boxes(), masks, strict=True)
        found = {number: FoundSegment(*fact) for number, fact in zip(ids.tolist(), facts, strict=True)}
        return cls(index, runs, found)

    def semantic(self, category_of: dict[int, int], categories: Categories) -> np.ndarray:
        """[H, W] what the semantic PNG must hold, given the category of each segment id."""
        ignore = layout.semantic_ignore(len(categories))
        index_of = categories.index_of
        values = [index_of.get(category_of.get(number, -1), ignore) for number in self.segments]
        return np.array([ignore, *values], np.min_scalar_type(ignore))[self.index]
