"""Things ─▶ COCO instances annotations: what detection tools read. Masks are RLE, so holes are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
    things = [k for k, drawn in enumerate(panoptic.drawing.segments) if drawn.category.isthing]
    masks = encode_runs(panoptic.drawing.runs, [k + 1 for k in things])
    return [
        {
            "category_id": segment.category_id,
            "segmentation": mask,
            "area": segment.area,
            "bbox": list(segment.bbox),
            "iscrowd": segment.iscrowd,
            "segment_id": segment.id,
        }
        for segment, mask in zip((panoptic.segments[k] for k in things), masks, strict=True)
    ]


def encode_runs(runs: Runs, segments: Iterable[int]) -> Iterator[dict[str, Any]]:
    """The masks of some of the segments 1..K as COCO's compressed RLE, ``counts`` as text ready for JSON."""
    width, height = runs.size
    start = runs.column * height + runs.top
    end = runs.column * height + runs.bottom
    # A run that reaches the bottom goes on where the next column begins.
    goes_on = np.zeros(len(start), np.bool_)
    goes_on[:-1] = end[:-1] == start[1:]
    goes_on[runs.bounds[2:] - 1] = False  # the last of each segment
    keep = np.stack([~np.roll(goes_on, 1), ~goes_on], axis=1)
    edges = np.stack([start, end], axis=1)[keep]
    lengths = np.diff(edges).tolist()
    bounds = np.append(0, np.cumsum(keep.sum(axis=1)))[runs.bounds].tolist()
    for segment in segments:
        first, last = bounds[segment : segment + 2]
        counts = [int(edges[first]), *lengths[first : last - 1]]
        if edges[last - 1] < width * height:
            counts.append(width * height - int(edges[last - 1]))
        mask: Any = {"size": [height, width], "counts": counts}
        packed = coco_mask.frPyObjects(mask, height, width)
        yield {"size": [height, width], "counts": packed["counts"].decode("ascii")}
