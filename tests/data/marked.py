"""Masks to write, and what a build makes of the files they were written to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from reading import read

from seem_data.categories import Categories, Category
from seem_data.drawing.raster import RasterOptions, rasterize
from seem_data.problems import Problem
from seem_data.writers import MarkedSegment

Mask = NDArray[np.bool_]

#: A category for each segment of a photo, so that the segment is known again.
CATEGORIES = Categories(
    [Category(number, f"kind {number}", (number, 9, 9), isthing=number % 3 > 0) for number in range(1, 40)]
)
KINDS = ("noise", "box", "disc", "ring", "pixel", "frame", "islands", "everything")


def random_mask(rng: np.random.Generator, width: int, height: int) -> Mask:
    """A mask of any kind: with holes, in several parts, of one pixel, along the border, …; never empty."""
    canvas = np.zeros((height, width), np.uint8)
    x, y = int(rng.integers(width)), int(rng.integers(height))
    radius = int(rng.integers(1, max(width, height) // 2 + 2))
    kind = KINDS[rng.integers(len(KINDS))]
    if kind == "noise":
        canvas = (rng.random((height, width)) < rng.uniform(0.1, 0.9)).astype(np.uint8)
    elif kind == "box":
        cv2.rectangle(canvas, (x, y), (x + radius, y + radius // 2), 1, -1)
    elif kind in ("disc", "ring"):
        cv2.circle(canvas, (x, y), radius, 1, -1)
        if kind == "ring":
            cv2.circle(canvas, (x, y), radius // 2, 0, -1)
    elif kind == "frame":
        canvas[[0, -1]] = canvas[:, [0, -1]] = 1
    elif kind == "islands":
        for _ in range(5):
            at = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.circle(canvas, at, max(radius // 4, 1), 1, -1)
    elif kind == "everything":
        canvas[:] = 1
    canvas[y, x] = 1
    return canvas.astype(bool)


def random_masks(seed: int, most: int = 50) -> list[Mask]:
    """One to five masks of one photo."""
    rng = np.random.default_rng(seed)
    width, height = rng.integers(1, most, 2).tolist()
    return [random_mask(rng, width, height) for _ in range(rng.integers(1, 6))]


masks = st.integers(0, 2**32 - 1).map(random_masks)


def marked(masks: Sequence[Mask], scores: bool = True) -> list[MarkedSegment]:
    """A segment of each, all of different categories."""
    return [
        MarkedSegment(CATEGORIES[number].name, mask, score=0.5 + number / 100 if scores else None)
        for number, mask in enumerate(masks)
    ]


def size_of(masks: Sequence[Mask]) -> tuple[int, int]:
    """(width, height)"""
    return masks[0].shape[1], masks[0].shape[0]


def painted(masks: Sequence[Mask]) -> NDArray[np.int64]:
    """[H, W] which mask is seen at each pixel, counted from 1; 0: none."""
    canvas = np.zeros(masks[0].shape, np.int64)
    for number, mask in enumerate(masks, start=1):
        canvas[mask] = number
    return canvas


def built(reader: str, polys: Path, images: Path | None, size: tuple[int, int]) -> dict[str, NDArray]:
    """[H, W] of each photo which category the build sees at each pixel, counted from 1; 0: none."""
    annotations, problems = read(reader, polys, images)
    assert [problem for problem in problems if problem.severity != "note"] == []
    maps = {}
    for name, annotation in annotations.items():
        told: list[Problem] = []
        drawing = rasterize(annotation.regions, size, CATEGORIES, RasterOptions(), told)
        assert {problem.code for problem in told} <= {"hidden-region"}
        kinds = [CATEGORIES.index_of[segment.category.id] + 1 for segment in drawing.segments]
        assert len(kinds) == len(set(kinds)), "a segment came back in pieces"
        maps[name] = np.append(0, np.array(kinds, np.int64))[drawing.stretches.columns().T]
    return maps


def ious(one: NDArray, other: NDArray) -> list[float]:
    """Of each value but 0 that occurs in either map."""
    values = sorted(set(np.unique(one).tolist()) | set(np.unique(other).tolist()) - {0})
    return [((one == v) & (other == v)).sum() / ((one == v) | (other == v)).sum() for v in values if v]
