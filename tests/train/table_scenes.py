"""Writes small datasets in the layout, for tests: by hand, so that a fault of `seem_data` shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CATEGORIES: list[dict[str, Any]] = [
    {"id": 7, "name": "mug", "color": [220, 20, 60], "isthing": 1, "supercategory": "mug"},
    {"id": 3, "name": "table", "color": [100, 80, 60], "isthing": 0, "supercategory": "table"},
    {"id": 9, "name": "wall-other-merged", "color": [180, 180, 170], "isthing": 0, "supercategory": "wall"},
    {"id": 4, "name": "cat", "color": [20, 20, 200], "isthing": 1, "supercategory": "cat"},
]


def write_split(
    root: Path,
    split: str,
    images: dict[str, tuple[NDArray[np.uint8], NDArray[np.int32], dict[int, tuple[int, int]]]],
    sentences: dict[tuple[str, int], list[tuple[str, str]]] | None = None,
) -> None:
    """`images`: file name → photo [H, W, 3] RGB, ids [H, W], {id: (category id, iscrowd)};
    `sentences`: (file name, id) → [(raw, kind)]; None: no grounding.json."""
    folder = root / split
    (folder / "images").mkdir(parents=True)
    (folder / "panoptic").mkdir()
    (root / "categories.json").write_text(json.dumps(CATEGORIES))
    rows, annotations, number = [], [], {}
    for place, (name, (photo, ids, segments)) in enumerate(images.items()):
        number[name] = place + 1
        height, width = ids.shape
        png = Path(name).with_suffix(".png").name
        assert cv2.imwrite(str(folder / "images" / name), photo[..., ::-1])
        rgb = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=2).astype(np.uint8)
        assert cv2.imwrite(str(folder / "panoptic" / png), rgb[..., ::-1])
        rows.append({"id": place + 1, "file_name": name, "width": width, "height": height})
        info = [
            {
                "id": id,
                "category_id": category,
                "area": int((ids == id).sum()),
                "bbox": [0, 0, width, height],
                "iscrowd": crowd,
            }
            for id, (category, crowd) in segments.items()
        ]
        annotations.append({"image_id": place + 1, "file_name": png, "segments_info": info})
    panoptic = {"images": rows, "annotations": annotations, "categories": CATEGORIES}
    (folder / "panoptic.json").write_text(json.dumps(panoptic))
    if sentences is not None:
        grounded = [
            {
                "id": place,
                "image_id": number[name],
                "segment_id": id,
                "category_id": images[name][2][id][0],
                "sentences": [{"raw": raw, "kind": kind} for raw, kind in said],
            }
            for place, ((name, id), said) in enumerate(sentences.items())
        ]
        (folder / "grounding.json").write_text(json.dumps({"annotations": grounded}))


def table_scene(
    seed: int = 0, height: int = 120, width: int = 160
) -> tuple[NDArray[np.uint8], NDArray[np.int32], dict[int, tuple[int, int]]]:
    """A wall above a table, a mug on the left, a cat on the right, a crowd of mugs in a corner, a void edge.

    Each segment is painted in one grey, its id ÷ 1000: tests see by it that pixels and ids agree.
    """
    rng = np.random.default_rng(seed)
    ids = np.zeros((height, width), np.int32)
    ids[4 : height // 2, :] = 10_000
    ids[height // 2 :, :] = 20_000
    y, x = int(rng.integers(30, 50)), int(rng.integers(10, 30))
    ids[y : y + 40, x : x + 30] = 60_000
    ids[y : y + 30, width - x - 30 : width - x] = 120_000
    ids[-12:, -12:] = 200_000
    segments = {120_000: (4, 0), 60_000: (7, 0), 20_000: (3, 0), 10_000: (9, 0), 200_000: (7, 1)}
    photo = np.repeat((ids // 1000)[..., None], 3, axis=2).astype(np.uint8)
    return photo, ids, segments


def write_tables(
    root: Path, count: int = 6, split: str = "train", grounded: bool = True, suffix: str = ".png"
) -> Path:
    """A dataset of `count` table scenes; every other one has sentences."""
    images = {f"scene{n}{suffix}": table_scene(n) for n in range(count)}
    sentences = {
        (f"scene{n}{suffix}", id): [(f"the {what} on the {side}", "position"), (f"The {what}", "name")]
        for n in range(0, count, 2)
        for id, what, side in ((60_000, "mug", "left"), (120_000, "cat", "right"))
    }
    write_split(root, split, images, sentences if grounded else None)
    return root
