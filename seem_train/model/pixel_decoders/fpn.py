"""The pixel decoder: a transformer over the coarsest level, then a feature pyramid back up to stride 4."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from seem_train.model.attention import Attention
from seem_train.model.config import PixelDecoderConfig
from seem_train.model.layers import Encoder, NormedConv, sine_position


class EncoderLayer(nn.Module):
    """Post-norm transformer layer; positions are added to queries and keys only."""

    def __init__(self, dim: int, heads: int, ffn_dim: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.linear1 = nn.Linear(dim, ffn_dim)
        self.linear2 = nn.Linear(ffn_dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, x: Tensor, position: Tensor) -> Tensor:
        """[B, S, D], position [1, S, D]."""
        placed = x + position
        x = self.norm1(x + self.self_attn(placed, placed, x))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class FPNPixelDecoder(nn.Module):
    """res2…res5 to mask features [B, mask_dim, H/4, W/4] and levels [B, conv_dim, …] of strides 32, 16, 8.

    ``adapter_k`` are the lateral convolutions; the name is the original's.
    """

    def __init__(self, config: PixelDecoderConfig, channels: dict[str, int]) -> None:
        super().__init__()
        dim = config.conv_dim
        self.input_proj = nn.Conv2d(channels["res5"], dim, 1)
        layers = [EncoderLayer(dim, config.heads, config.ffn_dim) for _ in range(config.encoder_layers)]
        self.transformer = nn.ModuleDict({"encoder": Encoder(layers)})
        self.layer_4 = NormedConv(dim, dim, 3)
        self.adapter_3, self.layer_3 = NormedConv(channels["res4"], dim, 1), NormedConv(dim, dim, 3)
        self.adapter_2, self.layer_2 = NormedConv(channels["res3"], dim, 1), NormedConv(dim, dim, 3)
        self.adapter_1, self.layer_1 = NormedConv(channels["res2"], dim, 1), NormedConv(dim, dim, 3)
        self.mask_features = nn.Conv2d(dim, config.mask_dim, 3, padding=1)

    def encode(self, coarsest: Tensor) -> Tensor:
        """res5 [B, C, h, w] to transformer features [B, conv_dim, h, w]."""
        x = self.input_proj(coarsest)
        _, dim, height, width = x.shape
        position = sine_position(height, width, dim, x.device).flatten(1).T[None]
        x = self.transformer["encoder"](x.flatten(2).transpose(1, 2), position.to(x.dtype))
        return x.transpose(1, 2).unflatten(2, (height, width))

    def forward(self, features: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        y = F.relu(self.layer_4(self.encode(features["res5"])))
        levels = [y]
        for lateral, smooth, name in (
            (self.adapter_3, self.layer_3, "res4"),
            (self.adapter_2, self.layer_2, "res3"),
            (self.adapter_1, self.layer_1, "res2"),
        ):
            side = lateral(features[name])
            y = F.relu(smooth(side + F.interpolate(y, size=side.shape[-2:], mode="nearest")))
            levels.append(y)
        return self.mask_features(y), levels[:3]
