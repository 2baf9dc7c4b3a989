"""The baseline of the data benchmarks: a panoptic and a semantic pass as panopticapi's converters do them.

Every annotation is decoded to a full mask by pycocotools and painted with it, ids come from `IdGenerator`,
PNGs are written by Pillow as it comes, and the semantic pass reads them back. (Their check for overlaps,
which would raise, only counts here.) No boxes, no instances, no grounding.
"""

from __future__ import annotations

import json
import sys
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


def convert(folder: Path, out: Path) -> None:
    """The baseline: panoptic and semantic passes over the same input, and their JSON."""
    coco = json.loads((folder / "instances.json").read_text())
    categories = {category["id"]: category for category in coco["categories"]}
    annotations: dict[int, list[tuple[int, list[list[float]]]]] = {}
    for row in coco["annotations"]:
        annotations.setdefault(row["image_id"], []).append((row["category_id"], row["segmentation"]))
    for name in ("panoptic", "semantic"):
        (out / name).mkdir(parents=True)
    rows = []
    for image in coco["images"]:
        png = f"{image['id']:06}.png"
        size, ids = (image["width"], image["height"]), IdGenerator(categories)
        segments = panoptic_pass(annotations[image["id"]], size, ids, out / "panoptic" / png)
        rows.append({"image_id": image["id"], "file_name": png, "segments_info": segments})
    for row in rows:
        png = row["file_name"]
        semantic_pass(row["segments_info"], out / "panoptic" / png, out / "semantic" / png)
    told = {"images": coco["images"], "annotations": rows, "categories": coco["categories"]}
    (out / "panoptic.json").write_text(json.dumps(told, default=int))


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
