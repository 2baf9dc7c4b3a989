"""BCE and dice of matched masks, at sampled points; shared by objects, grounding and spatial prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from seem_train.losses.matcher import Pairs
from seem_train.losses.points import PointSource, Task, sample_maps, sample_masks

MASKS_AT_ONCE = 256  #: a hundred megabytes of candidate points, of 12,544 a mask


def mask_losses(
    task: Task, layers: Sequence[Tensor], pairs: Pairs, targets: Tensor, source: PointSource
) -> tuple[Tensor, Tensor]:
    """Sums over matched pairs of the point-mean BCE and of the dice loss (+1 smooth), for each layer: [L],
    [L].

    `layers`: mask logits [B, Q, h, w] of each layer, final first; `targets` [N, H, W]. Without pairs both are
    zeros that still belong to the graph, so every rank of a distributed run has the same parameters to
    synchronise.

    On an accelerator as many layers go through together as hold `MASKS_AT_ONCE` pairs; on the CPU, where
    fewer launches gain nothing and the larger arrays miss the cache, one layer. Of every layer only its
    points wait for the backward pass, which reads masks and truth there again: quickly done, and more than
    half of the memory.
    """
    count = pairs.query.shape[1]
    if count == 0:
        zeros = torch.stack(
            [_chosen(*layer).float().sum() for layer in zip(layers, pairs.query, strict=True)]
        )
        return zeros, zeros
    together = 1 if targets.device.type == "cpu" else max(1, MASKS_AT_ONCE // count)
    chunks = [range(len(layers))[first : first + together] for first in range(0, len(layers), together)]
    logits = [torch.cat([_chosen(layers[n], pairs.query[n]) for n in chunk]) for chunk in chunks]
    with torch.no_grad():
        points = _all_points(task, chunks, logits, source)
    bce, dice = [], []
    for chunk, own_logits, own_points in zip(chunks, logits, points, strict=True):
        rows = pairs.target[chunk.start : chunk.stop].reshape(-1)
        of_pairs = checkpoint(
            _at_points, own_logits, own_points, targets, rows, use_reentrant=False, preserve_rng_state=False
        )
        bce_of, dice_of = cast(tuple[Tensor, Tensor], of_pairs)
        bce.append(bce_of.view(len(chunk), count).sum(1))
        dice.append(dice_of.view(len(chunk), count).sum(1))
    return torch.cat(bce), torch.cat(dice)


def _chosen(masks: Tensor, query: Tensor) -> Tensor:
    """The masks [R, h, w] of matched queries, of [B, Q, h, w]."""
    return masks.flatten(0, 1).index_select(0, query)


def _all_points(
    task: Task, chunks: Sequence[range], logits: Sequence[Tensor], source: PointSource
) -> Sequence[Tensor]:
    """The points [R, P, 2] of every chunk, in one tensor: pieces that stay among the larger ones that go
    would leave gaps in the heap."""
    first = source.for_losses(task, chunks[0], logits[0].float())
    sizes = [len(masks) for masks in logits]
    points = first.new_empty(sum(sizes), *first.shape[1:]).split(sizes)
    points[0].copy_(first)
    for own, chunk, masks in zip(points[1:], chunks[1:], logits[1:], strict=True):
        own.copy_(source.for_losses(task, chunk, masks.float()))
    return points


def _at_points(logits: Tensor, points: Tensor, targets: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """BCE and dice [R] float32 of logits [R, h, w] and masks ``targets[rows]`` at `points` [R, P, 2]."""
    with torch.no_grad():
        truth = sample_masks(targets, rows, points)
    values = sample_maps(logits[:, None].float(), points)[:, 0]
    bce = F.binary_cross_entropy_with_logits(values, truth, reduction="none").mean(1)
    share = values.sigmoid()
    return bce, 1 - (2 * (share * truth).sum(1) + 1) / (share.sum(1) + truth.sum(1) + 1)
