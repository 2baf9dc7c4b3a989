"""Trunks: an image in, four feature levels out (`res2` … `res5`, strides 4, 8, 16, 32).

FocalNet comes from timm, whose blocks compute the same as the original's when the modulator is normalised.
timm lacks the norms on the four outputs and the padding of odd sizes; both are added here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import torch.nn.functional as F
from timm.layers.norm import LayerNorm2d
from timm.models.focalnet import FocalNet, FocalNetStage
from torch import Tensor, nn

from seem_train.model.config import FocalConfig, TrunkConfig


class Trunk(nn.Module):
    """What every trunk offers beside ``forward(x: Tensor) -> dict[str, Tensor]``."""

    out_channels: dict[str, int]  #: channels of res2 … res5

    def set_checkpointing(self, enabled: bool) -> None:
        """Recompute activations in the backward pass, block by block, to save memory."""
        raise NotImplementedError

    def to_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The trunk's state dict under the names, and in the shapes, of the released checkpoints."""
        raise NotImplementedError

    def from_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The way back."""
        raise NotImplementedError


def build_backbone(config: TrunkConfig) -> Trunk:
    """The trunk for its configuration; the rarer ones are imported only when asked for."""
    if isinstance(config, FocalConfig):
        return FocalTrunk(config)
    from seem_train.model.trunks.davit import DaViTConfig, DaViTTrunk
    from seem_train.model.trunks.focal_dw import FocalDWConfig, FocalDWTrunk
    from seem_train.model.trunks.samvit import SamViTConfig, SamViTTrunk

    if isinstance(config, FocalDWConfig):
        return cast(Trunk, FocalDWTrunk(config))
    if isinstance(config, DaViTConfig):
        return cast(Trunk, DaViTTrunk(config))
    if isinstance(config, SamViTConfig):
        return cast(Trunk, SamViTTrunk(config))
    raise TypeError(f"no trunk is known for {type(config).__name__}")


class FocalTrunk(Trunk):
    """FocalNet (https://arxiv.org/abs/2203.11926) with a LayerNorm on a copy of each stage's output."""

    def __init__(self, config: FocalConfig) -> None:
        super().__init__()
        net = FocalNet(
            num_classes=0,
            global_pool="",
            embed_dim=config.embed_dim,
            depths=config.depths,
            mlp_ratio=config.mlp_ratio,
            focal_levels=config.focal_levels,
            focal_windows=config.focal_windows,
            use_overlap_down=True,
            use_post_norm=True,
            use_post_norm_in_modulation=False,
            normalize_modulator=True,
            layerscale_value=1e-4,
            drop_path_rate=config.drop_path_rate,
        )
        channels = [config.embed_dim * 2**i for i in range(len(config.depths))]
        self.stem = net.stem
        self.layers = net.layers
        self.norms = nn.ModuleList(LayerNorm2d(c, eps=1e-5) for c in channels)
        self.out_channels = {f"res{i + 2}": c for i, c in enumerate(channels)}

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        height, width = x.shape[-2:]
        x = self.stem(F.pad(x, (0, -width % 4, 0, -height % 4)))
        features = {}
        for name, stage, norm in zip(self.out_channels, self.layers, self.norms, strict=True):
            x = stage(x)
            features[name] = norm(x)
        return features

    def set_checkpointing(self, enabled: bool) -> None:
        for stage in self.layers:
            cast(FocalNetStage, stage).set_grad_checkpointing(enabled)

    def to_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        renamed = {_rename(name, _TO_OFFICIAL): value for name, value in state.items()}
        return {name: value.flatten(1) if _is_linear(name) else value for name, value in renamed.items()}

    def from_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            _rename(name, _FROM_OFFICIAL): value[..., None, None] if _is_linear(name) else value
            for name, value in state.items()
        }


# timm downsamples at the start of a stage, the original at the end of the one before.
_FROM_OFFICIAL = [
    (r"^patch_embed\.", lambda _: "stem."),
    (r"^norm(\d+)\.", lambda m: f"norms.{m[1]}."),
    (r"^layers\.(\d+)\.downsample\.", lambda m: f"layers.{int(m[1]) + 1}.downsample."),
    (r"(\.blocks\.\d+)\.gamma_([12])$", lambda m: f"{m[1]}.ls{m[2]}.gamma"),
    (r"(\.blocks\.\d+)\.norm([12])\.", lambda m: f"{m[1]}.norm{m[2]}_post."),
]
_TO_OFFICIAL = [
    (r"^stem\.", lambda _: "patch_embed."),
    (r"^norms\.(\d+)\.", lambda m: f"norm{m[1]}."),
    (r"^layers\.(\d+)\.downsample\.", lambda m: f"layers.{int(m[1]) - 1}.downsample."),
    (r"(\.blocks\.\d+)\.ls([12])\.gamma$", lambda m: f"{m[1]}.gamma_{m[2]}"),
    (r"(\.blocks\.\d+)\.norm([12])_post\.", lambda m: f"{m[1]}.norm{m[2]}."),
]


def _rename(name: str, rules: list) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _is_linear(official: str) -> bool:
    """Whether the original has a Linear where timm has a 1×1 convolution."""
    return re.search(r"\.(modulation\.(f|proj)|mlp\.fc[12])\.weight$", official) is not None
