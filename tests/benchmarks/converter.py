"""The baseline of the data benchmarks: a panoptic and a semantic pass as panopticapi's converters do them.

Every annotation is decoded to a full mask by pycocotools and painted with it, ids come from `IdGenerator`,
PNGs are written by Pillow as it comes, and the semantic pass reads them back. (Their check for overlaps,
which would raise, only counts here.) No boxes, no instances, no grounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from panopticapi.utils import IdGenerator, rgb2id
from PIL import Image
from pycocotools import mask as coco_mask

Annotation = tuple[int, list[list[float]]]  #: category id, polygons


def panoptic_pass(
    annotations: Sequence[Annotation], size: tuple[int, int], ids: IdGenerator, path: Path
) -> list[dict[str, Any]]:
    """Write the panoptic PNG; returns the segments."""
    width, height = size
    painted = np.zeros((height, width, 3), np.uint8)
    overlaps = np.zeros((height, width), np.uint32)
    segments = []
    for category_id, polygons in annotations:
        mask: NDArray[Any] = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
        overlaps += mask
        number, color = ids.get_id_and_color(category_id)
        painted[mask == 1] = color
        segments.append({"id": number, "category_id": category_id})
    np.sum(overlaps > 1)
    Image.fromarray(painted).save(path)
    return segments


def semantic_pass(segments: Sequence[dict[str, Any]], panoptic: Path, path: Path) -> None:
    """Write the semantic PNG of a panoptic one."""
    with Image.open(panoptic) as image:
        ids = rgb2id(np.array(image, np.uint32))
    classes = np.zeros(ids.shape, np.uint8)
    for segment in segments:
        classes[ids == segment["id"]] = segment["category_id"]
    Image.fromarray(classes).save(path)
