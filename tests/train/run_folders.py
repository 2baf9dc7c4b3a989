"""Makes what a finished run leaves behind, without training: a run folder of the tiny preset."""

from __future__ import annotations

from pathlib import Path

import torch

from seem_data.common.files import sha256_file
from seem_train.adapters.layers import Placement, inject
from seem_train.model.card import Base, Card
from seem_train.model.seem import SEEM
from seem_train.weights import adapter_folder
from seem_train.weights.official import official_state_dict
from seem_train.weights.presets import get_preset
from seem_train.weights.tensor_files import write_tensors

CATEGORIES = (
    {"id": 4, "name": "mug", "color": [220, 20, 60], "isthing": 1, "supercategory": "mug"},
    {"id": 7, "name": "plate", "color": [20, 120, 200], "isthing": 1, "supercategory": "plate"},
    {"id": 9, "name": "table", "color": [120, 90, 40], "isthing": 0, "supercategory": "table"},
)
EVAL_SIZE = 64


def write_run(folder: Path, placement: Placement | None = None, seed: int = 0) -> Path:
    """`folder` with best/, whose adapters (none without a placement) do something."""
    placement = placement or Placement()
    torch.manual_seed(seed)
    model = SEEM(get_preset("tiny").config).eval()
    best = folder / "best"
    best.mkdir(parents=True)
    base = best / adapter_folder.BASE
    write_tensors(base, official_state_dict(model))
    inject(model, placement)
    changed = {"decoder.class_embed"}
    changed |= {n for n, _ in model.named_parameters() if ".adapter." in n or n.endswith((".up", ".down"))}
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in changed:
            parameters[name].normal_(std=0.1)
    card = Card(
        model="tiny",
        strategy="test",
        placement=placement,
        base=Base(adapter_folder.BASE, sha256_file(base)),
        categories=CATEGORIES,
        preprocessing={"eval_size": EVAL_SIZE},
    )
    adapter_folder.write(best, {name: parameters[name] for name in changed}, card)
    return folder
