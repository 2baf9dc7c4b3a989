"""What pretrained weights are worth on a dataset that they have not seen, beside the trunk's weights alone.

    python -m examples.world.gates WEIGHTS DATASET [--split val] [--size 192] [--limit 60]

Prints one table: panoptic quality without tuning, the right phrase, clicks, and boxes. WEIGHTS that are not a
file (`start`) are what pretraining starts from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from examples.world.pretrain import new_model
from examples.world.recipe import Recipe
from seem_train.data.dataset import SegmentationSet
from seem_train.data.image_scale import Scale
from seem_train.evaluation.evaluate import EvaluationSettings, evaluate
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM
from seem_train.weights.opening import load_model

RECIPE = Path(__file__).with_name("pretrain.yaml")


@torch.no_grad()
def box_iou(model: SEEM, dataset: Path, split: str, size: int, limit: int) -> tuple[float, int]:
    """Mean IoU of the masks that exact boxes around things give, each asked alone; how many there were."""
    images = SegmentationSet(dataset, split)
    scale, ious = Scale.of(size), []
    for index in range(min(limit, len(images))):
        sample = images.load(index)
        features = model.encode_image(scale.apply(sample.pixels))
        height, width = features.sizes[0]
        ids = sample.id_map.numpy().astype(np.int16)
        for place, segment in enumerate(sample.segments, start=1):
            true = ids == place
            if not images.things[segment.category] or segment.iscrowd or not true.any():
                continue
            rows, columns = (np.flatnonzero(true.any(axis=axis)) for axis in (1, 0))
            down, right = height / len(ids), width / ids.shape[1]
            marks = torch.zeros(1, *features.padded, dtype=torch.bool)
            marks[
                0,
                int(rows[0] * down) : max(round((rows[-1] + 1) * down), int(rows[0] * down) + 1),
                int(columns[0] * right) : max(round((columns[-1] + 1) * right), int(columns[0] * right) + 1),
            ] = True
            logits = model.refine(features, ImagePrompts((), marks))[0, :1]
            whole = torch.nn.functional.interpolate(logits[None], size=features.padded, mode="bilinear")
            mask = whole[0, 0, :height, :width].numpy()
            found = cv2.resize(mask, ids.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0
            ious.append((found & true).sum() / (found | true).sum())
    return float(np.mean(ious)) if ious else 0.0, len(ious)


def measure(model: SEEM, dataset: Path, split: str, size: int, limit: int) -> dict[str, float]:
    settings = EvaluationSettings(size=size, limit=limit)
    images = SegmentationSet(dataset, split)
    result = evaluate(model, images, ("panoptic", "grounding", "interactive"), settings)
    names = ("PQ", "PQ things", "PQ stuff", "cIoU", "P@0.5", "NoC@0.5", "NoC@0.85")
    headline = result.headline()
    found = {n: value for n in names if (value := headline.get(n)) is not None}
    found = {n: value if n.startswith("NoC") else 100 * value for n, value in found.items()}
    if (clicks := result.interactive) is not None:
        found |= {f"IoU after {n}": 100 * clicks.iou_at[n - 1] for n in (1, 3, 5)}
    found["IoU of boxes"] = 100 * box_iou(model, dataset, split, size, limit)[0]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure pretrained weights on a dataset they have not seen."
    )
    parser.add_argument("weights", help="a file of weights, or 'start'")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--limit", type=int, default=60)
    arguments = parser.parse_args()
    recipe = msgspec.yaml.decode(RECIPE.read_bytes(), type=Recipe)
    models = {"start": new_model(recipe)}
    if arguments.weights != "start":
        models[arguments.weights] = load_model(recipe.model, weights=arguments.weights)
    place = (arguments.dataset, arguments.split, arguments.size, arguments.limit)
    rows = {name: measure(model.eval(), *place) for name, model in models.items()}
    table = Table(title=f"{arguments.dataset}, {arguments.split}, at most {arguments.limit} images")
    table.add_column("")
    for name in rows:
        table.add_column(name, justify="right")
    for metric in next(iter(rows.values())):
        table.add_row(metric, *(f"{row.get(metric, float('nan')):.2f}" for row in rows.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
