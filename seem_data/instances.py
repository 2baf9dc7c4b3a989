"""Things ─▶ COCO instances annotations: what detection tools read. Masks are RLE, so holes are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from seem_data.panoptic import Panoptic
from seem_data.runs import Runs


def rows(panoptic: Panoptic) -> list[dict[str, Any]]:
    """One annotation per thing, in segment order.

    ``segment_id`` names the same object in the panoptic PNG. ``id`` and ``image_id`` are left to the writer,
    which counts them over the split.
    """
    return [
        {
            "category_id": segment.category_id,
            "segmentation": rle(panoptic.drawing.runs, number),
            "area": segment.area,
            "bbox": list(segment.bbox),
            "iscrowd": segment.iscrowd,
            "segment_id": segment.id,
        }
        for number, (segment, drawn) in enumerate(
            zip(panoptic.segments, panoptic.drawing.segments, strict=True), start=1
        )
        if drawn.category.isthing
    ]


def rle(runs: Runs, segment: int) -> dict[str, Any]:
    """The mask of a segment as COCO's compressed RLE, ``counts`` as text ready for JSON."""
    width, height = runs.size
    mine = runs.of(segment)
    offset = runs.column[mine] * height
    edges = np.stack([offset + runs.top[mine], offset + runs.bottom[mine]], axis=1).ravel()
    # A run that reaches the bottom goes on where the next column begins.
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2]) * 2 + 1
    edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    counts = np.diff(edges, prepend=0, append=width * height)
    if counts[-1] == 0:
        counts = counts[:-1]
    packed: Any = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": packed["counts"].decode("ascii")}
