"""A model small enough to train in tests, and what to feed it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seem_train.config import Config
from seem_train.model.config import DecoderConfig, FocalConfig, LanguageConfig, PixelDecoderConfig, SEEMConfig
from seem_train.model.draws import SeededDraws
from seem_train.model.predictions import Predictions
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM
from seem_train.settings import from_settings
from seem_train.weights.presets import PRESETS, Preset

torch.set_num_threads(1)  # threads only wait for each other on models this small

MICRO = SEEMConfig(
    trunk=FocalConfig(
        embed_dim=8,
        depths=(1, 1, 1, 1),
        focal_levels=(2, 2, 2, 2),
        focal_windows=(3, 3, 3, 3),
        drop_path_rate=0.5,
    ),
    pixel_decoder=PixelDecoderConfig(conv_dim=32, mask_dim=32, encoder_layers=1, heads=2, ffn_dim=32),
    language=LanguageConfig(width=16, layers=1, heads=2, projection=32),
    decoder=DecoderConfig(dim=32, heads=2, ffn_dim=32, layers=3, queries=10, memories=4),
)
NAMES = ("mug", "plate", "table")


def micro(config: SEEMConfig = MICRO, seed: int = 0) -> SEEM:
    """Frozen and in evaluation mode, as a strategy finds it."""
    torch.manual_seed(seed)
    return SEEM(config).eval().requires_grad_(False)


def with_trunk(trunk: object, **changes: object) -> SEEMConfig:
    return replace(MICRO, trunk=trunk, **changes)  # type: ignore[arg-type]


def pictures(count: int = 2, side: int = 64, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=generator)


def prompts(count: int = 2, side: int = 64, memory: bool = True) -> list[ImagePrompts]:
    """Two texts and two objects for each image; the objects have a previous mask where `memory`."""
    positive = torch.zeros(2, side, side, dtype=torch.bool)
    positive[0, 8:12, 8:20] = True
    positive[1, 40:44, 30:40] = True
    negative = torch.zeros_like(positive)
    negative[:, :4, :4] = True
    previous = torch.randn(2, side // 4, side // 4, generator=torch.Generator().manual_seed(2))
    one = ImagePrompts(("a red mug", "the plate"), positive, negative, previous if memory else None)
    return [one] * count


def answer(model: SEEM, images: Tensor | None = None) -> Predictions:
    """Every output of every layer, all random draws fixed."""
    images = pictures() if images is None else images
    side = images.shape[-1]
    return model.decode(
        model.encode_image(images),
        prompts(len(images), side),
        model.class_embeddings(NAMES, train=True, draws=torch.Generator().manual_seed(4)),
        draws=SeededDraws(3),
        every_layer=True,
    )


def outputs(found: Predictions) -> list[Tensor]:
    tensors = []
    for layer in found.layers:
        for group in (layer.objects, layer.grounding, layer.spatial):
            assert group is not None
            tensors += [value for value in vars(group).values() if isinstance(value, Tensor)]
    return tensors


def loss_of(model: SEEM) -> Tensor:
    """A scalar that depends on every output."""
    return torch.stack([o.float().square().mean() for o in outputs(answer(model))]).sum()


def toy_dataset(root: Path, train: int = 7, val: int = 2, side: int = 64, seed: int = 0) -> Path:
    """A dataset in the layout: coloured boxes (`mug`, `plate`) on a `table`, a sentence for each box."""
    colors = {"mug": (200, 40, 40), "plate": (40, 60, 200), "table": (120, 100, 70)}
    categories = [
        {
            "id": n + 1,
            "name": name,
            "supercategory": "",
            "isthing": int(name != "table"),
            "color": list(color),
        }
        for n, (name, color) in enumerate(colors.items())
    ]
    root.mkdir(parents=True)
    (root / "categories.json").write_text(json.dumps(categories))
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("val", val)):
        (root / split / "images").mkdir(parents=True)
        (root / split / "panoptic").mkdir()
        images, annotations, sentences = [], [], []
        for number in range(1, count + 1):
            ids = np.full((side, side), 1, np.int32)
            photo = np.empty((side, side, 3), np.uint8)
            photo[:] = colors["table"]
            segments = [(1, 3)]
            for place, (name, category) in enumerate((("mug", 1), ("plate", 2)), start=2):
                top, left = rng.integers(0, side - 24, 2)
                height, width = rng.integers(14, 24, 2)
                ids[top : top + height, left : left + width] = place
                photo[top : top + height, left : left + width] = colors[name]
                segments.append((place, category))
                sentence = {"raw": f"the {name}", "kind": "name"}
                sentences.append((number, place, category, [sentence]))
            photo += rng.integers(0, 20, photo.shape, dtype=np.uint8)
            Image.fromarray(photo).save(root / split / "images" / f"{number}.png")
            coded = np.stack([ids % 256, ids // 256, ids * 0], -1).astype(np.uint8)
            Image.fromarray(coded).save(root / split / "panoptic" / f"{number}.png")
            images.append({"id": number, "file_name": f"{number}.png", "width": side, "height": side})
            there = [(i, c, int((ids == i).sum())) for i, c in segments]
            annotations.append(
                {
                    "image_id": number,
                    "file_name": f"{number}.png",
                    "segments_info": [
                        {"id": i, "category_id": c, "area": area, "bbox": _box(ids == i), "iscrowd": 0}
                        for i, c, area in there
                        if area
                    ],
                }
            )
            hidden = {i for i, _, area in there if not area}
            sentences = [s for s in sentences if s[0] != number or s[1] not in hidden]
        panoptic = {"images": images, "annotations": annotations, "categories": categories}
        (root / split / "panoptic.json").write_text(json.dumps(panoptic))
        rows = [
            {"image_id": i, "segment_id": s, "category_id": c, "sentences": said}
            for i, s, c, said in sentences
        ]
        (root / split / "grounding.json").write_text(json.dumps({"annotations": rows}))
    return root


def _box(mask: np.ndarray) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(v) for v in (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)]


def register_micro() -> None:
    """Let ``--model micro`` mean the small model of these tests."""
    PRESETS["micro"] = Preset("micro", "of the tests", MICRO, 0.0)


def settings(dataset: Path, out: Path, **changes: object) -> Config:
    """A short run of the small model."""
    chosen: dict[str, object] = {
        "data.dataset": str(dataset),
        "data.size": 64,
        "data.min_scale": 0.5,
        "data.workers": 0,
        "model.preset": "micro",
        "model.weights": "random",
        "strategy.rank": 4,
        "optim.lr": 1e-3,
        "optim.points": 64,
        "run.out": str(out),
        "run.steps": 10,
        "run.global_batch": 2,
        "run.device": "cpu",
        "run.eval_every": 0,
        "run.eval_tasks": "panoptic",
        "run.zero_shot": False,
        "run.previews": 0,
        "run.log_every": 1,
    }
    return from_settings(chosen | {key.replace("__", "."): value for key, value in changes.items()})


if __name__ == "__main__":  # python toy.py run …: the command line, with the small model
    register_micro()
    from seem_train.cli.app import app

    app()
