"""Small worlds that the tests of drawing and encoding share."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from seem_data.annotations import Bitmap, Polygon, Region
from seem_data.categories import Categories, Category
from seem_data.drawing.raster import Drawing, RasterOptions, rasterize
from seem_data.encoding.panoptic import PanopticImage
from seem_data.problems import Problem

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


def index_map(drawing: Drawing) -> NDArray[np.int32]:
    """[H, W] 0 = void, k = ``segments[k - 1]``."""
    return drawing.stretches.columns().T.astype(np.int32)


def id_map(encoded: PanopticImage) -> NDArray[np.int32]:
    """[H, W] the segment id of each pixel, 0 = void."""
    return encoded.ids[index_map(encoded.drawing)]


def decoded(png: bytes) -> np.ndarray:
    """The pixels of a PNG file, as OpenCV reads them; RGB if it has colours."""
    pixels = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED))
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


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


def _random_ring(rng: np.random.Generator) -> NDArray[np.float64]:
    points = rng.uniform(-15, 65, (rng.integers(3, 10), 2))
    grain = rng.choice([0.0, 1.0, 2.0, 10.0])
    return np.round(points * grain) / grain if grain else points


def random_regions(seed: int) -> list[Region]:
    """One to eight regions of one or two parts: polygons, some with holes, and bitmaps."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(rng.integers(1, 9)):
        parts: list[Polygon | Bitmap] = []
        for _ in range(rng.integers(1, 3)):
            if rng.random() < 0.25:
                left, top = rng.integers(-15, 45, 2).tolist()
                parts.append(Bitmap(rng.random(rng.integers(1, 25, 2)) < 0.6, left, top))
            else:
                holes = tuple(_random_ring(rng) for _ in range(rng.choice([0, 0, 1, 2])))
                parts.append(Polygon(_random_ring(rng), holes))
        label = CATEGORIES.names[rng.integers(len(CATEGORIES))]
        found.append(Region(label, tuple(parts), group=[None, None, 1, 2][rng.integers(4)]))
    return found


regions = st.integers(0, 2**32 - 1).map(random_regions)
sizes = st.tuples(st.integers(1, 50), st.integers(1, 50))
