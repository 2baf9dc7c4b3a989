"""Focal-T's trunk: FocalNet with two extra residual depthwise convolutions in every block (`focal_dw`).

timm has the plain FocalNet only, so this one is written out, under the official parameter names.
Source: focal modulation networks, https://arxiv.org/abs/2203.11926; `model/ORIGINAL.md`, 2.
"""

from __future__ import annotations

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from seem_train.model.config import FocalDWConfig
from seem_train.model.trunks.base import Trunk
from seem_train.model.trunks.focal import Downsample, Mlp, Modulation, Norm


class PixelLinear(nn.Linear):
    """A linear layer over the channels of [B, C, H, W]: `Pointwise` with the original's shape of weight."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class FocalDWBlock(nn.Module):
    """dw1 → modulation → norm1 → dw2 → MLP → norm2; norms come after the residual sums."""

    def __init__(self, dim: int, window: int, levels: int, config: FocalDWConfig, drop_path: float) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((dim,), 1e-4))
        self.gamma_2 = nn.Parameter(torch.full((dim,), 1e-4))
        self.dw1 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = Norm(dim)
        self.modulation = Modulation(dim, window, levels, PixelLinear)
        self.dw2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm2 = Norm(dim)
        self.mlp = Mlp(dim, int(dim * config.mlp_ratio), PixelLinear)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dw1(x)
        x = self.norm1(x + self.drop_path(self.gamma_1[:, None, None] * self.modulation(x)))
        x = x + self.dw2(x)
        return self.norm2(x + self.drop_path(self.gamma_2[:, None, None] * self.mlp(x)))


class FocalDWTrunk(Trunk):
    """Four stages at strides 4, 8, 16, 32; every output is a LayerNorm of its stage's last block.

    The un-normed tensor goes on to the next stage.
    """

    def __init__(self, config: FocalDWConfig) -> None:
        super().__init__()
        dims = [config.embed_dim * 2**i for i in range(4)]
        self.out_channels = {f"res{i + 2}": dim for i, dim in enumerate(dims)}
        self.patch_embed = Downsample(3, dims[0], kernel=7, stride=4, padding=3)
        count = sum(config.depths)
        rates = iter([config.drop_path_rate * i / max(count - 1, 1) for i in range(count)])
        self.layers = nn.ModuleList()
        for i, dim in enumerate(dims):
            blocks = nn.ModuleList(
                FocalDWBlock(dim, config.focal_windows[i], config.focal_levels[i], config, next(rates))
                for _ in range(config.depths[i])
            )
            stage = nn.ModuleDict({"blocks": blocks})
            if i < 3:
                stage["downsample"] = Downsample(dim, dims[i + 1], kernel=3, stride=2, padding=1)
            self.layers.append(stage)
            self.add_module(f"norm{i}", Norm(dim))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.patch_embed(x)
        features = {}
        for i, name in enumerate(self.out_channels):
            stage = self.get_submodule(f"layers.{i}")
            x = self.run(x, *stage.get_submodule("blocks").children())
            features[name] = self.get_submodule(f"norm{i}")(x)
            if i < 3:
                x = stage.get_submodule("downsample")(x)
        return features
