"""The deformable pixel decoder (SAM-ViT models): multi-scale deformable attention in plain torch.

The original needs a compiled operator; `grid_sample` gives the same values. Sources: deformable DETR,
https://arxiv.org/abs/2010.04159; Mask2Former's pixel decoder, https://arxiv.org/abs/2112.01527.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seem_train.model.config import PixelDecoderConfig
from seem_train.model.layers import Encoder, NormedConv, sine_position

POINTS = 4  #: sampling points of a head on one level
LEVELS = ("res5", "res4", "res3")  #: in the order of the official `input_proj`, coarse to fine


class DeformableAttention(nn.Module):
    """Each pixel of every level mixes, per head, 4 learned places on each of the levels.

    `offsets` are in pixels of the level that is sampled, and relative to the pixel's own place.
    """

    def __init__(self, dim: int, heads: int, levels: int) -> None:
        super().__init__()
        self.heads, self.levels = heads, levels
        self.sampling_offsets = nn.Linear(dim, heads * levels * POINTS * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * POINTS)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self._initialise()

    def _initialise(self) -> None:
        """Heads look in different directions, the points of a head ever further; all equally weighted."""
        nn.init.zeros_(self.sampling_offsets.weight)
        angle = torch.arange(self.heads, dtype=torch.float32) * (2 * math.pi / self.heads)
        direction = torch.stack((angle.cos(), angle.sin()), -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        reach = torch.arange(1, POINTS + 1, dtype=torch.float32)
        offsets = direction[:, None, None, :] * reach[None, None, :, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.expand(-1, self.levels, -1, -1).flatten())
        for constant in (self.attention_weights.weight, self.attention_weights.bias):
            nn.init.zeros_(constant)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, queries: Tensor, places: Tensor, x: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
        """queries, x [B, S, D] over all levels; places [S, 2], (x, y) of each pixel in 0…1; sizes (H, W)."""
        batch, count, dim = x.shape
        values = self.value_proj(x).unflatten(-1, (self.heads, -1))
        offsets = self.sampling_offsets(queries).view(batch, count, self.heads, self.levels, POINTS, 2)
        weights = self.attention_weights(queries).view(batch, count, self.heads, -1).softmax(-1)
        weights = weights.view(batch, count, self.heads, self.levels, POINTS)
        mixed = torch.zeros(batch * self.heads, dim // self.heads, count, dtype=x.dtype, device=x.device)
        levels = values.split([height * width for height, width in sizes], dim=1)
        for i, (value, (height, width)) in enumerate(zip(levels, sizes, strict=True)):
            # one map for each head: [B·heads, D/heads, H, W]
            maps = value.permute(0, 2, 3, 1).reshape(batch * self.heads, -1, height, width)
            across = places[:, 0, None, None] + offsets[:, :, :, i, :, 0] / width
            down = places[:, 1, None, None] + offsets[:, :, :, i, :, 1] / height
            grid = torch.stack((2 * across - 1, 2 * down - 1), -1)
            grid = grid.transpose(1, 2).reshape(batch * self.heads, count, POINTS, 2)
            sampled = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            weight = weights[:, :, :, i].transpose(1, 2).reshape(batch * self.heads, 1, count, POINTS)
            mixed = mixed + (sampled * weight).sum(-1)
        return self.output_proj(mixed.view(batch, dim, count).transpose(1, 2))


class DeformableEncoderLayer(nn.Module):
    """Post-norm; positions are added to the queries only, from which offsets and weights come."""

    def __init__(self, dim: int, heads: int, levels: int, ffn_dim: int) -> None:
        super().__init__()
        self.self_attn = DeformableAttention(dim, heads, levels)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, position: Tensor, places: Tensor, sizes: Sequence[tuple[int, int]]
    ) -> Tensor:
        x = self.norm1(x + self.self_attn(x + position, places, x, sizes))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class _Transformer(nn.Module):
    """All levels as one sequence, coarse to fine, through the encoder and back into maps."""

    def __init__(self, config: PixelDecoderConfig) -> None:
        super().__init__()
        self.level_embed = nn.Parameter(torch.randn(len(LEVELS), config.conv_dim))
        self.encoder = Encoder(
            DeformableEncoderLayer(config.conv_dim, config.heads, len(LEVELS), config.ffn_dim)
            for _ in range(config.encoder_layers)
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        sizes = [(level.shape[-2], level.shape[-1]) for level in levels]
        dim, device = levels[0].shape[1], levels[0].device
        x = torch.cat([level.flatten(2) for level in levels], dim=2).transpose(1, 2)
        position = torch.cat(
            [
                sine_position(height, width, dim, device).flatten(1).T + embed
                for (height, width), embed in zip(sizes, self.level_embed, strict=True)
            ]
        )
        places = torch.cat([_pixel_centres(height, width, device) for height, width in sizes])
        x = self.encoder(x, position, places, sizes)
        parts = x.split([height * width for height, width in sizes], dim=1)
        return [part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)]


def _pixel_centres(height: int, width: int, device: torch.device) -> Tensor:
    """[H·W, 2] the (x, y) of the pixels' centres, row by row, in 0…1."""
    y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) / height
    x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) / width
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), -1).flatten(0, 1)


class DeformablePixelDecoder(nn.Module):
    """res2…res5 to mask features [B, mask_dim, H/4, W/4] and levels [B, conv_dim, …] of strides 32, 16, 8.

    Runs in float32 under autocast too, as the original does. `adapter_1` is the lateral convolution; the name
    is the original's.
    """

    def __init__(self, config: PixelDecoderConfig, channels: dict[str, int]) -> None:
        super().__init__()
        dim = config.conv_dim
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels[name], dim, 1), nn.GroupNorm(32, dim)) for name in LEVELS
        )
        self.transformer = _Transformer(config)
        self.mask_features = nn.Conv2d(dim, config.mask_dim, 1)
        self.adapter_1, self.layer_1 = NormedConv(channels["res2"], dim, 1), NormedConv(dim, dim, 3)

    def forward(self, features: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        device = features["res5"].device.type
        known = torch.amp.autocast_mode.is_autocast_available(device)  # not so on the meta device
        with torch.autocast(device, enabled=False) if known else nullcontext():
            features = {name: feature.float() for name, feature in features.items()}
            levels = self.transformer(
                [project(features[name]) for name, project in zip(LEVELS, self.input_proj, strict=True)]
            )
            side = self.adapter_1(features["res2"])
            up = F.interpolate(levels[-1], size=side.shape[-2:], mode="bilinear", align_corners=False)
            return self.mask_features(F.relu(self.layer_1(side + up))), levels
