"""A dataset of a few small images in the layout, written by hand: the contract as the tests understand it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from panopticapi.utils import id2rgb
from PIL import Image

CATEGORIES = [
    {"id": 3, "name": "cup", "supercategory": "cup", "isthing": 1, "color": [220, 20, 60]},
    {"id": 7, "name": "plate", "supercategory": "plate", "isthing": 1, "color": [20, 120, 220]},
    {"id": 9, "name": "table", "supercategory": "table", "isthing": 0, "color": [90, 160, 70]},
]
HEIGHT, WIDTH = 32, 48


def write_dataset(root: Path, images: int = 5, grounding: bool = True, split: str = "val") -> Path:
    """Cups and plates on a table with a void border; the last image has no segment at all.

    Image n has n % 3 + 1 things; where there are three, one plate is a crowd.
    """
    folder = root / split
    for name in ("images", "panoptic", "semantic"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[Any]] = {"images": [], "annotations": []}
    sentences: list[dict[str, Any]] = []
    for number in range(images):
        rng = np.random.default_rng(number)
        id_map = np.zeros((HEIGHT, WIDTH), np.int64)
        segments: list[dict[str, Any]] = []
        if number < images - 1 or images == 1:
            id_map[4:, 2:] = 90 + 256 * 160 + number
            segments.append({"id": 90 + 256 * 160 + number, "category_id": 9, "iscrowd": 0})
            for thing in range(number % 3 + 1):
                top, left = 6 + int(rng.integers(0, 6)), 3 + 15 * thing
                id_map[top : top + 14, left : left + 11] = 1000 * (thing + 1)
                kind = 3 if thing == 0 else 7
                segments.append({"id": 1000 * (thing + 1), "category_id": kind, "iscrowd": int(thing == 2)})
        for segment in segments:
            mask = id_map == segment["id"]
            y, x = np.nonzero(mask)
            segment["area"] = int(mask.sum())
            segment["bbox"] = [int(x.min()), int(y.min()), int(np.ptp(x)) + 1, int(np.ptp(y)) + 1]
            if not segment["iscrowd"]:
                texts = [f"the {'table' if segment['category_id'] == 9 else 'thing'} {segment['id']}", "it"]
                sentences.append(
                    {
                        "id": len(sentences) + 1,
                        "image_id": 100 + number,
                        "segment_id": segment["id"],
                        "category_id": segment["category_id"],
                        "sentences": [{"raw": text, "kind": "own"} for text in texts],
                    }
                )
        shades = np.unique(id_map, return_inverse=True)[1].reshape(id_map.shape)
        photo = (shades * 60)[..., None] + rng.integers(0, 25, (HEIGHT, WIDTH, 3)) + 5 * number
        Image.fromarray(photo.astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(id2rgb(id_map)).save(folder / "panoptic" / f"{number}.png")
        index = {segment["id"]: [3, 7, 9].index(segment["category_id"]) for segment in segments}
        semantic = np.vectorize(lambda id_, index=index: index.get(id_, 255), otypes=[np.uint8])(id_map)
        Image.fromarray(semantic).save(folder / "semantic" / f"{number}.png")
        rows["images"].append(
            {"id": 100 + number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT}
        )
        rows["annotations"].append(
            {"image_id": 100 + number, "file_name": f"{number}.png", "segments_info": segments}
        )
    (root / "categories.json").write_text(json.dumps(CATEGORIES))
    (folder / "panoptic.json").write_text(json.dumps({**rows, "categories": CATEGORIES}))
    if grounding:
        (folder / "grounding.json").write_text(json.dumps({"annotations": sentences}))
    return root
