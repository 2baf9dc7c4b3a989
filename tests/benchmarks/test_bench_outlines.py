"""Masks to polygons that are checked: CPU time beside the usual way of doing it, in one process.

The usual way: OpenCV's contours, simplified by approxPolyDP, drawn by pycocotools over the whole photo and
made finer until the IoU is 0.98; it knows no holes and lets a contour run through pixel centres, so it may
stay below. Ours keeps holes, and holds 0.98 for every mask.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from test_bench_raster import CATEGORIES, scene

from seem_data.drawing.raster import RasterOptions, rasterize
from seem_data.writers import MarkedSegment
from seem_data.writers.outlines import LEAST_IOU, outlines

pytestmark = pytest.mark.bench

Masks = list[NDArray[np.bool_]]


def usual(masks: Masks, tolerance: float) -> list[list[NDArray[np.int32]]]:
    found = []
    for mask in masks:
        height, width = mask.shape
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        allowed = tolerance
        while True:
            rings = [cv2.approxPolyDP(contour, allowed, True)[:, 0] for contour in contours]
            polygons = [ring.ravel().tolist() for ring in rings if len(ring) > 2]
            if polygons:
                packed = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
                drawn = coco_mask.decode(packed).astype(bool)
                if (drawn & mask).sum() / (drawn | mask).sum() >= LEAST_IOU:
                    break
            if allowed < 0.25:
                break
            allowed /= 2
        found.append(rings)
    return found


def seconds(work: Callable[[], object], times: int) -> float:
    """The least CPU time of several tries."""
    least = float("inf")
    for _ in range(times):
        begin = time.process_time()
        work()
        least = min(least, time.process_time() - begin)
    return least


@pytest.mark.parametrize(
    ("size", "things", "times", "least"), [((640, 480), 12, 10, 0.6), ((4000, 3000), 40, 1, 8.0)]
)
def test_checked_polygons_cost_no_more_than_the_usual_way_on_small_photos_and_far_less_on_large_ones(
    size: tuple[int, int], things: int, times: int, least: float
) -> None:
    regions = scene(np.random.default_rng(0), size, things)
    drawing = rasterize(regions, size, CATEGORIES, RasterOptions(), [])
    index = drawing.stretches.columns().T
    masks = [index == number for number in range(1, len(drawing.segments) + 1)]
    segments = [MarkedSegment("a", mask).cropped() for mask in masks]
    ours = seconds(lambda: outlines(segments, size, 1.0), times)
    theirs = seconds(lambda: usual(masks, 1.0), times)
    points = sum(
        len(r) for parts in outlines(segments, size, 1.0) for p in parts for r in (p.outer, *p.holes)
    )
    others = sum(len(ring) for rings in usual(masks, 1.0) for ring in rings)
    print(f"\n{size[0]}×{size[1]}, {len(masks)} masks: {theirs / ours:.1f}× less CPU time, "
          f"{points} points for {others} ({1000 * ours:.1f} ms for {1000 * theirs:.1f} ms)")  # fmt: skip
    assert theirs / ours > least
    assert points < others / 2
