"""Masks on the table are kept as COCO's run lengths: exact, small, and never changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from seem_train.metrics.instance import RunLengths, encode_masks
from seem_train.output.draw import at_most

Vertex: TypeAlias = "tuple[float, float]"
_SHIFT = 4  #: bits behind the point that OpenCV takes coordinates with


def encode(mask: np.ndarray) -> RunLengths:
    """`mask`: [H, W] bool."""
    return encode_masks(mask[None])[0]


def decode(rle: RunLengths) -> np.ndarray:
    """[H, W] bool."""
    return coco_mask.decode(rle).astype(bool)


def area(rle: RunLengths) -> int:
    return int(coco_mask.area(rle))


def box(rle: RunLengths) -> tuple[int, int, int, int]:
    """left, top, right, bottom; right and bottom are outside."""
    left, top, width, height = (int(value) for value in coco_mask.toBbox(rle))  # pyright: ignore
    return left, top, left + width, top + height


def union(rles: Sequence[RunLengths]) -> RunLengths:
    return coco_mask.merge(list(rles), intersect=0)  # pyright: ignore


def smaller(rle: RunLengths, longest: int | None) -> RunLengths:
    """With a longer side of at most so many pixels, to be looked at."""
    if not longest or longest >= max(rle["size"]):
        return rle
    return encode(at_most(decode(rle).astype(np.uint8), longest, cv2.INTER_NEAREST) > 0)


def polygon(size: tuple[int, int], vertices: Sequence[Vertex]) -> np.ndarray:
    """[H, W] bool: the pixels whose middle lies inside, by the even-odd rule.

    Args:
        size: (height, width).
    """
    height, width = size
    x0, y0 = np.asarray(vertices, float).T
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    crossed = np.zeros((height, width + 1), bool)  #: where a line enters or leaves, row by row
    for row in range(max(0, int(y0.min())), min(height, int(y0.max()) + 1)):
        middle = row + 0.5
        hit = (y0 <= middle) != (y1 <= middle)
        x = x0[hit] + (middle - y0[hit]) * (x1[hit] - x0[hit]) / (y1[hit] - y0[hit])
        np.logical_xor.at(crossed[row], np.ceil(x - 0.5).clip(0, width).astype(int), True)
    return np.logical_xor.accumulate(crossed, axis=1)[:, :width]


def brush(size: tuple[int, int], line: Sequence[Vertex], width: float) -> np.ndarray:
    """[H, W] bool: the pixels under a round brush of that diameter."""
    canvas = np.zeros(size, np.uint8)
    # Edges of pixels lie at whole numbers here, their middles in OpenCV.
    fixed = ((np.asarray(line, float) - 0.5) * (1 << _SHIFT)).round().astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(canvas, [fixed], False, 1, max(1, round(width)), cv2.LINE_8, shift=_SHIFT)
    for x, y in line:
        radius = max(0, round((width - 1) / 2))
        cv2.circle(canvas, (int(np.floor(x)), int(np.floor(y))), radius, 1, -1)
    return canvas > 0


def without_piece(rle: RunLengths, points: Sequence[Vertex]) -> RunLengths:
    """Without the connected pieces that the points lie in."""
    mask = decode(rle)
    _, pieces = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    hit = {int(pieces[int(y), int(x)]) for x, y in points} - {0}
    return encode(mask & ~np.isin(pieces, list(hit))) if hit else rle
