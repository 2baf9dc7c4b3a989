"""Focal-T's trunk: FocalNet with two extra residual depthwise convolutions in every block (`focal_dw`).

timm has the plain FocalNet only, so this one is written out, under the official parameter names.
Source: focal modulation networks, https://arxiv.org/abs/2203.11926; `model/ORIGINAL.md`, 2.
"""

from __future__ import annotations

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from seem_train.model.config import FocalDWConfig
from seem_train.model.trunks.base import Trunk


class FocalModulation(nn.Module):
    """Each pixel's query times the gated sum of contexts of growing size; [B, H, W, C] in and out."""

    def __init__(self, dim: int, window: int, levels: int) -> None:
        super().__init__()
        self.dim, self.levels = dim, levels
        self.f = nn.Linear(dim, 2 * dim + levels + 1)
        self.h = nn.Conv2d(dim, dim, 1)
        self.proj = nn.Linear(dim, dim)
        sizes = [window + 2 * level for level in range(levels)]
        self.focal_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, k, padding=k // 2, groups=dim, bias=False), nn.GELU())
            for k in sizes
        )

    def forward(self, x: Tensor) -> Tensor:
        query, context, gates = self.f(x).split([self.dim, self.dim, self.levels + 1], dim=-1)
        context = context.permute(0, 3, 1, 2)
        gates = gates.permute(0, 3, 1, 2)
        total = torch.zeros_like(context)
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            total = total + context * gates[:, level : level + 1]
        whole = F.gelu(context.mean((2, 3), keepdim=True))
        total = (total + whole * gates[:, self.levels :]) / (self.levels + 1)
        return self.proj(query * self.h(total).permute(0, 2, 3, 1))


class FocalDWMlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class FocalDWBlock(nn.Module):
    """dw1 → modulation → norm1 → dw2 → MLP → norm2; norms come after the residual sums."""

    def __init__(self, dim: int, window: int, levels: int, config: FocalDWConfig, drop_path: float) -> None:
        super().__init__()
        self.gamma_1 = nn.Parameter(torch.full((dim,), config.layer_scale))
        self.gamma_2 = nn.Parameter(torch.full((dim,), config.layer_scale))
        self.dw1 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm1 = nn.LayerNorm(dim)
        self.modulation = FocalModulation(dim, window, levels)
        self.dw2 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = FocalDWMlp(dim, int(dim * config.mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dw1(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        x = self.norm1(x + self.drop_path(self.gamma_1 * self.modulation(x)))
        x = x + self.dw2(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.norm2(x + self.drop_path(self.gamma_2 * self.mlp(x)))


class PatchEmbed(nn.Module):
    """A strided convolution and a LayerNorm; [B, C, H, W] in, [B, H/s, W/s, C'] out."""

    def __init__(self, channels: int, dim: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, kernel, stride, padding)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class FocalDWStage(nn.Module):
    def __init__(self, blocks: list[FocalDWBlock], downsample: PatchEmbed | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class FocalDWTrunk(Trunk):
    """Four stages at strides 4, 8, 16, 32; every output is a LayerNorm of its stage's last block.

    The un-normed tensor goes on to the next stage. Tensors stay [B, H, W, C] between blocks, which is
    channels_last for the convolutions, so nothing is copied.
    """

    def __init__(self, config: FocalDWConfig) -> None:
        super().__init__()
        self.config = config
        dims = [config.embed_dim * 2**i for i in range(4)]
        self.out_channels = {f"res{i + 2}": dim for i, dim in enumerate(dims)}
        self.patch_embed = PatchEmbed(3, dims[0], kernel=7, stride=4, padding=3)
        count = sum(config.depths)
        rates = iter([config.drop_path_rate * i / max(count - 1, 1) for i in range(count)])
        stages = []
        for i, dim in enumerate(dims):
            blocks = [
                FocalDWBlock(dim, config.focal_windows[i], config.focal_levels[i], config, next(rates))
                for _ in range(config.depths[i])
            ]
            down = PatchEmbed(dim, dims[i + 1], kernel=3, stride=2, padding=1) if i < 3 else None
            stages.append(FocalDWStage(blocks, down))
        self.layers = nn.ModuleList(stages)
        for i, dim in enumerate(dims):
            self.add_module(f"norm{i}", nn.LayerNorm(dim))
        self.apply(_initialise)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.patch_embed(x)
        features = {}
        for i, stage in enumerate(self.layers):
            assert isinstance(stage, FocalDWStage)
            x = self.run(stage, x)
            features[f"res{i + 2}"] = self.get_submodule(f"norm{i}")(x).permute(0, 3, 1, 2)
            if stage.downsample is not None:
                x = stage.downsample(x.permute(0, 3, 1, 2))
        return features


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
