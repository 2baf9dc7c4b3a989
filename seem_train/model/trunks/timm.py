"""Any of timm's backbones with feature levels at strides 4, 8, 16 and 32, and its pretrained weights.

Batch norms keep the statistics they come with, and their scales (timm's frozen ones): batches of segmentation
are too small, and too unlike each other, to measure their own. A LayerNorm stands on each output level, as in
SEEM's other trunks, so that the decoder sees numbers of one size whatever the backbone.
"""

from __future__ import annotations

from typing import Any, cast

import timm
import torch
from timm.layers.norm_act import freeze_batch_norm_2d
from torch import Tensor, nn

from seem_data.common.wording import closest
from seem_train.errors import UserError
from seem_train.model.config import TimmConfig
from seem_train.model.trunks.base import Trunk
from seem_train.model.trunks.focal import Norm

STRIDES = (4, 8, 16, 32)
LITE0 = TimmConfig.name


def check_name(name: str) -> None:
    """Raise a UserError with the nearest names unless timm has a model of that name."""
    architecture = name.partition(".")[0]
    if timm.is_model(architecture):
        return
    near = closest(architecture, timm.list_models(), 3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise UserError(f"model.trunk {name!r}: timm has no model of that name{hint}")


def pixel_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of RGB values 0…255 that the backbone was trained with."""
    found: Any = timm.get_pretrained_cfg(name)
    if found is None:
        found = timm.get_pretrained_cfg("resnet50")  # no weights are published: ImageNet's own
    return tuple(255.0 * m for m in found.mean), tuple(255.0 * s for s in found.std)


class TimmTrunk(Trunk):
    """`body`: timm's model, under timm's names; `norms`: a LayerNorm on each level."""

    def __init__(self, config: TimmConfig) -> None:
        super().__init__()
        check_name(config.name)
        self.name = config.name
        body = _features(config.name)
        self.body = cast(nn.Module, freeze_batch_norm_2d(body))
        channels: list[int] = list(body.feature_info.channels())
        names: list[str] = list(body.feature_info.module_name())
        self.out_channels = {f"res{n}": c for n, c in enumerate(channels, start=2)}
        self.norms = nn.ModuleList(Norm(c) for c in channels)
        self._stages = [_last_block(self.body, name) for name in names]  # names: no second owner of modules
        self.channels_last = _channels_last(self.body, channels, config.name)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        levels = cast(list[Tensor], self.run(x, self.body))
        if self.channels_last:
            levels = [level.permute(0, 3, 1, 2) for level in levels]
        return {
            name: norm(level) for name, norm, level in zip(self.out_channels, self.norms, levels, strict=True)
        }

    @property
    def stages(self) -> list[tuple[nn.Module, int]]:
        """The module that ends each level's stage, and its channels: where adapters join."""
        blocks = (self.body.get_submodule(name) for name in self._stages)
        return list(zip(blocks, self.out_channels.values(), strict=True))


def _features(name: str) -> Any:
    """timm's model with four feature levels.

    Raises:
        UserError: it has no levels at strides 4, 8, 16 and 32.
    """
    try:
        whole: Any = timm.create_model(name, features_only=True)
        strides = list(whole.feature_info.reduction())
        places = [len(strides) - 1 - strides[::-1].index(stride) for stride in STRIDES]
        # Built again, so that what lies behind the last of the four is left out.
        return timm.create_model(name, features_only=True, out_indices=places)
    except (ValueError, RuntimeError, AssertionError, AttributeError, IndexError) as error:
        raise UserError(
            f"model.trunk {name!r} has no feature levels at strides 4, 8, 16 and 32 ({error}); choose a "
            "hierarchical backbone, e.g. convnext_tiny, resnet50 or tf_efficientnet_lite0"
        ) from None


def _last_block(body: nn.Module, name: str) -> str:
    """The name of the last block of a stage: what is added to it, the next stage sees."""
    modules = dict(body.named_modules())
    place = name if name in modules else name.replace(".", "_")
    while place in modules and isinstance(modules[place], nn.Sequential) and len(modules[place]):  # type: ignore[arg-type]
        place = f"{place}.{list(dict(modules[place].named_children()))[-1]}"
    return place


@torch.no_grad()
def _channels_last(body: nn.Module, channels: list[int], name: str) -> bool:
    """Whether the levels come as [B, h, w, C], found by asking; a UserError where sizes are fixed."""
    device = next(body.parameters()).device
    training = body.training
    try:
        levels = body.eval()(torch.zeros(1, 3, 64, 96, device=device))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"model.trunk {name!r} takes images of one size only ({error}); choose another backbone, e.g. "
            "convnext_tiny"
        ) from None
    finally:
        body.train(training)
    return [level.shape[1] for level in levels] != channels
