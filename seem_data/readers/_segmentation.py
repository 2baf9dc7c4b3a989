"""COCO's field ``segmentation``, which other formats write too: polygons, or run lengths by columns.

Compressed run lengths are bytes in pycocotools, and some write them to JSON as Python shows bytes: ``b'…'``.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import Bitmap, Polygon, Ring
from seem_data.problems import Spot, fault
from seem_data.readers import _shapes


class RunLengthRow(msgspec.Struct):
    size: tuple[int, int]  #: height, width
    counts: str | list[int]


def parts_of(
    segmentation: Sequence[object] | RunLengthRow | None, size: tuple[int, int] | None, place: Spot
) -> tuple[Polygon | Bitmap, ...]:
    """The polygons or the bitmap of a segmentation; polygons of too few points are left out, and told.

    Args:
        size: (width, height) of the photo, if it is known: run lengths must fit it.

    Raises:
        DataError: there is none, or none that encloses an area.
    """
    if not segmentation:
        message = "has no segmentation (a box, keypoints or a caption alone) and is left out."
        remedy = "Draw its outline if it should be learnt."
        raise fault("no-segmentation", message, remedy, severity="warning")
    if isinstance(segmentation, RunLengthRow):
        return (_shapes.bitmap(_decoded(segmentation, size)),)
    rows = segmentation if isinstance(segmentation[0], list) else [list(segmentation)]
    lines: list[list[object]] = [row for row in rows if isinstance(row, list)]
    if len(lines) < len(rows):
        raise fault("bad-field", "mixes polygons and numbers.", "Export it again.")
    if len(lines) == 1:
        return (Polygon(_ring(lines[0])),)
    if all(map(_is_point, lines)):  # one polygon, written as points
        return (Polygon(_shapes.ring(lines)),)
    rings = _shapes.usable(lines, _ring, "part", place)
    return tuple(map(Polygon, rings)) if rings else (Polygon(_ring(max(lines, key=len))),)


def _is_point(line: list[object]) -> bool:
    return len(line) == 2 and not isinstance(line[0], list)


def _ring(line: list[object]) -> Ring:
    if line and isinstance(line[0], list):  # points instead of numbers in a row
        return _shapes.ring(line)
    return _shapes.flat_ring(line)


def _decoded(rle: RunLengthRow, size: tuple[int, int] | None) -> NDArray[np.bool_]:
    height, width = rle.size
    if size is not None and size != (width, height):
        message = f"has a mask of {width}×{height} pixels, but the image has {size[0]}×{size[1]}."
        raise fault("bad-mask-size", message, "Export the annotations again.")
    if isinstance(rle.counts, list):
        return _shapes.from_runs(rle.counts, height, width, column_major=True)
    return _shapes.from_compressed_runs(_unwrapped(rle.counts), height, width)


def _unwrapped(counts: str) -> str:
    """The bytes that Python shows as text (a quote is in no run lengths, a backslash is doubled)."""
    if counts[:2] in ("b'", 'b"') and counts[-1:] == counts[1]:
        return counts[2:-1].replace("\\\\", "\\")
    return counts
