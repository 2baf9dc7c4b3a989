"""Building blocks of the decoders; transformer layers are post-norm: the norm ends the layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seem_train.model.attention import Attention


class CrossAttentionLayer(nn.Module):
    """Queries [B, N, D] look at a level through precomputed keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.multihead_attn = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, x: Tensor, position: Tensor, keys_values: tuple[Tensor, Tensor], allowed: Tensor
    ) -> Tensor:
        return self.norm(x + self.multihead_attn.attend(x + position, keys_values, allowed))


class SelfAttentionLayer(nn.Module):
    """Tokens [B, N, D] attend to one another where allowed [B, N, N].

    `asking` [R], indices of tokens, limits the answer to these, [B, R, D]: all are heard, not all ask.
    In training the backward pass projects and mixes again: of a layer only its input waits for it.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.self_attn = Attention(dim, heads)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, position: Tensor, allowed: Tensor, asking: Tensor | None = None) -> Tensor:
        placed = x + position
        queries, values = placed, x
        if asking is not None:
            queries, allowed = placed.index_select(1, asking), allowed.index_select(1, asking)
            x = x.index_select(1, asking)
        return self.norm(x + _twice_in_training(self, self.self_attn, queries, placed, values, allowed))


class FeedForwardLayer(nn.Module):
    """Two linear layers, the hidden one wide: in training its output does not wait for the backward pass,
    which computes it again (few multiplications, beside what else a step does)."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + _twice_in_training(self, self._change, x))

    def _change(self, x: Tensor) -> Tensor:
        return self.linear2(F.relu(self.linear1(x)))


def _twice_in_training(layer: nn.Module, change: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """``change(*inputs)``, of which in training only the inputs wait for the backward pass."""
    if layer.training and torch.is_grad_enabled():
        return cast(Tensor, checkpoint(change, *inputs, use_reentrant=False, preserve_rng_state=False))
    return change(*inputs)


class Encoder(nn.Module):
    """Layers one after the other; exists for the official names ``encoder.layers``."""

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, *rest: object) -> Tensor:
        for layer in self.layers:
            x = layer(x, *rest)
        return x


class MaskEmbedding(nn.Module):
    """Three linear layers from a query to the vector that is dotted with the mask features."""

    def __init__(self, dim: int, mask_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, mask_dim)))

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.layers
        return last(F.relu(second(F.relu(first(x)))))


def sine_position(height: int, width: int, dim: int, device: torch.device | None = None) -> Tensor:
    """[dim, height, width] sine embedding of the row (first half) and column, after DETR
    (https://arxiv.org/abs/2005.12872): positions 1…n are scaled to end at 2π."""
    half = dim // 2
    exponent = 2 * torch.div(torch.arange(half, device=device), 2, rounding_mode="floor") / half
    frequency = 10000.0**exponent

    def axis(n: int) -> Tensor:
        place = torch.arange(1, n + 1, dtype=torch.float32, device=device)
        angle = (place / (n + 1e-6) * (2 * math.pi))[:, None] / frequency
        return torch.stack((angle[:, 0::2].sin(), angle[:, 1::2].cos()), dim=2).flatten(1).T

    rows = axis(height)[:, :, None].expand(half, height, width)
    columns = axis(width)[:, None, :].expand(half, height, width)
    return torch.cat((rows, columns))


class NormedConv(nn.Conv2d):
    """Convolution without bias, then GroupNorm with 32 groups (named ``norm`` inside the convolution)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__(channels_in, channels_out, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(32, channels_out)

    def forward(self, input: Tensor) -> Tensor:
        return self.norm(super().forward(input))
