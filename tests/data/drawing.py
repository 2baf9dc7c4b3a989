"""Small worlds that the tests of drawing and encoding share."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from seem_data.annotations import Bitmap, Polygon, Region
from seem_data.categories import Categories, Category
from seem_data.problems import Problem
from seem_data.raster import Drawing, RasterOptions, rasterize

CATEGORIES = Categories(
    [
        Category(1, "cup", (220, 20, 60), True),
        Category(4, "plate", (0, 60, 100), True),
        Category(9, "table", (110, 110, 40), False),
        Category(300, "wall-other-merged", (255, 255, 255), False),
    ]
)


def polygon(*points: tuple[float, float]) -> Polygon:
    return Polygon(np.array(points, np.float64))


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def draw(
    regions: list[Region],
    size: tuple[int, int],
    problems: list[Problem] | None = None,
    **options: Any,
) -> Drawing:
    found: list[Problem] = [] if problems is None else problems
    return rasterize(regions, size, CATEGORIES, RasterOptions(**options), found, "a.json")


def coco_fill(part: Polygon | Bitmap, width: int, height: int) -> NDArray[np.uint8]:
    """[H, W] 0 or 1: the part as pycocotools rasterises it, its rings combined by the even-odd rule."""
    if isinstance(part, Bitmap):
        mask = np.zeros((height + 200, width + 200), np.uint8)
        rows, columns = part.mask.shape
        mask[100 + part.top : 100 + part.top + rows, 100 + part.left : 100 + part.left + columns] = part.mask
        return mask[100 : 100 + height, 100 : 100 + width]
    return decode([ring.ravel().tolist() for ring in (part.outer, *part.holes)], width, height) % 2


def decode(polygons: list[list[float]], width: int, height: int) -> NDArray[np.uint8]:
    """[H, W] how many of the polygons cover each pixel: as the original SEEM reads its grounding."""
    masks = coco_mask.decode(coco_mask.frPyObjects(polygons, height, width))
    return np.sum(masks, axis=2)


def painted(regions: list[Region], width: int, height: int) -> NDArray[np.int64]:
    """[H, W] the naive truth: one full mask per part, later ones on top; k = regions[k - 1]."""
    canvas = np.zeros((height, width), np.int64)
    for number, region in enumerate(regions, start=1):
        for part in region.parts:
            canvas[coco_fill(part, width, height) == 1] = number
    return canvas


# Free-form input for hypothesis: coordinates on and off the grid, in and out of the image.

_numbers = st.one_of(
    st.integers(-12, 60).map(float),
    st.integers(-24, 120).map(lambda n: n / 2),
    st.floats(-15, 65, allow_nan=False, width=32),
)
rings = st.lists(st.tuples(_numbers, _numbers), min_size=3, max_size=9).map(
    lambda points: np.array(points, np.float64)
)
polygons = st.builds(Polygon, rings, st.lists(rings, max_size=2).map(tuple))
bitmaps = st.builds(
    lambda seed, rows, columns, left, top: Bitmap(
        np.random.default_rng(seed).random((rows, columns)) < 0.6, left, top
    ),
    st.integers(0, 10_000),
    st.integers(1, 25),
    st.integers(1, 25),
    st.integers(-15, 45),
    st.integers(-15, 45),
)
parts = st.one_of(polygons, polygons, polygons, bitmaps)
regions = st.lists(
    st.builds(
        Region,
        label=st.sampled_from(CATEGORIES.names),
        parts=st.lists(parts, min_size=1, max_size=2).map(tuple),
        group=st.sampled_from([None, None, 1, 2]),
    ),
    min_size=1,
    max_size=8,
)
sizes = st.tuples(st.integers(1, 50), st.integers(1, 50))
