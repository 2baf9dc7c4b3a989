"""Render scenes of the world that pretraining never sees, as photos with COCO annotations and own sentences.

    python -m examples.world.held_out FOLDER [--images 100] [--side 256] [--seed 1]
    seem-data build --colors FOLDER/categories.json --polys FOLDER/annotations.json --split val=1 --out held
    python -m examples.world.gates seem_train/weights/seem-tiny.safetensors held --size 256

Each thing wears a colour that its kind never wears in training (`words.held_out`): words have to be composed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle

from examples.world.scene import Scene, make_scene
from examples.world.words import CATEGORIES, THINGS
from seem_data.proposal import distinct_colors


def rows_of(scene: Scene, image: int) -> list[dict[str, object]]:
    """A row of COCO's for each segment that shows, with the sentences that mean it alone."""
    rows: list[dict[str, object]] = []
    for number, category in enumerate(scene.categories):
        mask = np.asfortranarray(scene.id_map == number + 1, dtype=np.uint8)
        if not mask.any():
            continue
        counts: Any = rle.encode(mask)["counts"]  # bytes, whatever its stubs say
        rows.append(
            {
                "id": image * 1000 + number + 1,
                "image_id": image,
                "category_id": category + 1,
                "segmentation": {"size": mask.shape, "counts": counts.decode()},
                "iscrowd": 0,
                "sentences": [text for text, meant in scene.phrases if meant == number],
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Render scenes that pretraining never sees.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, object]] = []
    rows: list[dict[str, object]] = []
    for number in range(1, arguments.images + 1):
        scene = make_scene(np.random.default_rng([arguments.seed, number]), arguments.side, held=True)
        name = f"scene_{number:04d}.png"
        cv2.imwrite(str(arguments.folder / name), scene.image[..., ::-1])
        images.append({"id": number, "file_name": name, "width": arguments.side, "height": arguments.side})
        rows += rows_of(scene, number)
    categories = [
        {"id": place, "name": name, "isthing": int(name in THINGS), "color": color}
        for place, (name, color) in enumerate(
            zip(CATEGORIES, distinct_colors(len(CATEGORIES)), strict=True), start=1
        )
    ]
    coco = {"images": images, "annotations": rows, "categories": categories}
    (arguments.folder / "annotations.json").write_text(json.dumps(coco), encoding="utf-8")
    (arguments.folder / "categories.json").write_text(json.dumps(categories), encoding="utf-8")
    print(f"Rendered {arguments.images} scenes with {len(rows)} segments into {arguments.folder}")


if __name__ == "__main__":
    main()
