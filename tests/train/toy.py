"""A model small enough to train in tests, and what to feed it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from seem_train.model.config import DecoderConfig, FocalConfig, LanguageConfig, PixelDecoderConfig, SEEMConfig
from seem_train.model.draws import SeededDraws
from seem_train.model.predictions import Predictions
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM

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
