"""Things ─▶ COCO instances annotations: what detection tools read. Masks are RLE, so holes are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from seem_data.drawing.runs import Runs
from seem_data.encoding.panoptic import PanopticImage
from seem_data.layout import Segment


def rows(panoptic: PanopticImage) -> list[dict[str, object]]:
    """One annotation per thing, in segment order.

    ``segment_id`` names the same object in the panoptic PNG. ``id`` and ``image_id`` are left to the writer,
    which counts them over the split.
    """
    things = [k for k, drawn in enumerate(panoptic.drawing.segments) if drawn.category.isthing]
    masks = encode_runs(panoptic.drawing.runs, [k + 1 for k in things])
    return [row(panoptic.segments[k], mask) for k, mask in zip(things, masks, strict=True)]


def row(segment: Segment, mask: Mapping[str, object]) -> dict[str, object]:
    """The annotation of a thing. `mask` is its COCO RLE."""
    return {
        "category_id": segment.category_id,
        "segmentation": mask,
        "area": segment.area,
        "bbox": list(segment.bbox),
        "iscrowd": segment.iscrowd,
        "segment_id": segment.id,
    }


def encode_runs(runs: Runs, segments: Sequence[int]) -> list[dict[str, object]]:
    """The masks of some of the segments 1..K as COCO's compressed RLE, ``counts`` as text ready for JSON."""
    width, height = runs.size
    start = runs.column * height + runs.top
    end = runs.column * height + runs.bottom
    # A run that reaches the bottom goes on where the next column begins, but not into the next segment.
    ends = np.empty(len(start) + 1, np.bool_)
    np.not_equal(end[:-1], start[1:], out=ends[1:-1])
    ends[runs.bounds] = True
    breaks = np.flatnonzero(ends)
    edges = np.empty(2 * len(breaks) - 2, np.int64)
    edges[0::2], edges[1::2] = start[breaks[:-1]], end[breaks[1:] - 1]
    lengths = np.diff(edges)
    bounds = (2 * np.searchsorted(breaks, runs.bounds)).tolist()
    masks: Any = []
    for segment in segments:
        first, last = bounds[segment : segment + 2]
        counts = np.empty(last - first + 1, np.uint32)
        counts[0] = edges[first]
        counts[1:-1] = lengths[first : last - 1]
        counts[-1] = width * height - edges[last - 1]
        masks.append({"size": [height, width], "counts": counts if counts[-1] else counts[:-1]})
    packed = coco_mask.frPyObjects(masks, height, width) if masks else []
    return [{"size": [height, width], "counts": mask["counts"].decode("ascii")} for mask in packed]
