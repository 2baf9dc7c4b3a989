"""BCE and dice of matched masks, at sampled points; shared by objects, grounding and spatial prompts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .matcher import Pairs
from .points import PointSource, Task, sample_maps, sample_masks


def mask_losses(
    task: Task, layers: Sequence[Tensor], pairs: Pairs, targets: Tensor, source: PointSource
) -> tuple[Tensor, Tensor]:
    """Sums over matched pairs of the point-mean BCE and of the dice loss (+1 smooth), for each layer: [L],
    [L].

    `layers`: mask logits [B, Q, h, w] of each layer, final first; `targets` [N, H, W]. Without pairs both are
    zeros that still belong to the graph, so every rank of a distributed run has the same parameters to
    synchronise.

    On an accelerator all layers go through together; on the CPU, where fewer launches gain nothing and the
    larger arrays miss the cache, layer by layer.
    """
    chosen = [
        masks.flatten(0, 1).index_select(0, q).float() for masks, q in zip(layers, pairs.query, strict=True)
    ]
    count = pairs.query.shape[1]
    if count == 0:
        zeros = torch.stack([logits.sum() for logits in chosen])
        return zeros, zeros
    together = 1 if targets.device.type == "cpu" else len(layers)
    bce, dice = [], []
    for first in range(0, len(layers), together):
        chunk = range(first, first + together)
        logits = torch.cat(chosen[first : first + together])
        with torch.no_grad():
            points = source.for_losses(task, chunk, logits)
            truth = sample_masks(targets, pairs.target[first : first + together].reshape(-1), points)
        values = sample_maps(logits[:, None], points)[:, 0]
        bce.append(_bce(values, truth).view(len(chunk), count).sum(1))
        dice.append(_dice(values, truth).view(len(chunk), count).sum(1))
    return torch.cat(bce), torch.cat(dice)


def _bce(logits: Tensor, truth: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(1)


def _dice(logits: Tensor, truth: Tensor) -> Tensor:
    share = logits.sigmoid()
    return 1 - (2 * (share * truth).sum(1) + 1) / (share.sum(1) + truth.sum(1) + 1)
