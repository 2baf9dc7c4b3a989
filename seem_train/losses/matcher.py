"""Bipartite matching of queries and targets (DETR, arXiv:2005.12872), for all layers, images and tasks at
once.

The costs of every layer, image and task are computed where the predictions live, travel to the host in one
copy, are solved there by SciPy, and the matches go back in one copy. The original stops the device once for
each of them (layers × images × tasks).

L decoder layers, final first; B images; Q queries; N targets of the fullest image; P points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from seem_train.losses.points import (
    PointSource,
    Task,
    pixels_first,
    read_pixels,
    sample_maps,
    sample_masks,
    surrounding,
)

BLOCK = 1568  #: points read at once on a CPU, so that what 101 queries have there stays in its cache


@dataclass(frozen=True)
class MatchCosts:
    """How much class, mask (BCE) and dice count in a match."""

    category: float
    mask: float
    dice: float


@dataclass(frozen=True)
class Pairs:
    """Matched pairs of one task; every layer has the same number, image after image.

    Within an image the pairs are ordered by query, as SciPy returns them.
    """

    query: Tensor  #: [L, M] int64, image · Q + query
    target: Tensor  #: [L, M] int64, index into the task's targets of the whole batch


def offsets(counts: Sequence[int]) -> list[int]:
    """Where each image's targets begin."""
    return [0, *accumulate(counts)][:-1]


def padded_rows(counts: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Target of each image and place, [B, N] (0 where padded), and which places are real, [B, N] bool."""
    place = np.arange(max(counts, default=0))
    is_real = place < np.array(counts, np.int64)[:, None]
    rows = np.where(is_real, np.array(offsets(counts), np.int64)[:, None] + place, 0)
    rows, real = torch.from_numpy(rows), torch.from_numpy(is_real)
    return rows.to(device, non_blocking=True), real.to(device, non_blocking=True)


def real_places(counts: Sequence[int], width: int) -> Tensor:
    """Where the targets of each image stand in a flattened [B, width] table, on the CPU."""
    real = [image * width + place for image, count in enumerate(counts) for place in range(count)]
    return torch.tensor(real, dtype=torch.long)


@torch.no_grad()
def mask_costs(
    task: Task,
    layers: Sequence[Tensor],
    targets: Tensor,
    counts: Sequence[int],
    costs: MatchCosts,
    source: PointSource,
) -> Tensor:
    """``mask · BCE + dice · dice`` of every query with every target of its image: [L, B, Q, N] float32.

    `layers`: mask logits [B, Q, h, w] of each layer; `targets`: [sum(counts), H, W]. Places beyond an image's
    count hold meaningless numbers.
    """
    points = source.for_matching(task, len(layers), len(counts), targets.device)
    if targets.device.type == "cpu":
        return _costs_by_blocks(layers, targets, counts, costs, points)
    rows, _ = padded_rows(counts, targets.device)
    images, places = rows.shape
    result = []
    for masks, at in zip(layers, points, strict=True):
        logits = sample_maps(masks.float(), at)
        at_places = at[:, None].expand(-1, places, -1, -1).reshape(images * places, -1, 2)
        truth = sample_masks(targets, rows.reshape(-1), at_places).view(images, places, -1)
        result.append(costs.mask * pair_bce(logits, truth) + costs.dice * pair_dice(logits, truth))
    return torch.stack(result)


def _costs_by_blocks(
    layers: Sequence[Tensor], targets: Tensor, counts: Sequence[int], costs: MatchCosts, points: Tensor
) -> Tensor:
    """What `mask_costs` returns, a block of points after the other: on a CPU most of the time would go into
    the memory of [B, Q, P] values."""
    queries = layers[0].shape[1]
    result = torch.zeros(len(layers), len(counts), queries, max(counts, default=0))
    for image, (start, count) in enumerate(zip(offsets(counts), counts, strict=True)):
        truths = pixels_first(targets[start : start + count])
        for layer, masks in enumerate(layers):
            at = points[layer, image]
            result[layer, image, :, :count] = _pair_costs(
                pixels_first(masks[image]),
                surrounding(at, masks.shape[-2:]),
                truths,
                surrounding(at, targets.shape[-2:]),
                costs,
            )
    return result


def _pair_costs(
    logits: Tensor,
    near_logits: tuple[Tensor, Tensor],
    truths: Tensor,
    near_truths: tuple[Tensor, Tensor],
    costs: MatchCosts,
) -> Tensor:
    """[Q, N] from maps [h·w, Q] and [H·W, N] and the pixels around each point (`surrounding`)."""
    queries, count = logits.shape[1], truths.shape[1]
    softplus, linear = torch.zeros(queries, 1), torch.zeros(queries, count)
    shared, shares, areas = torch.zeros(queries, count), torch.zeros(queries, 1), torch.zeros(count)
    for near, near_truth in zip(_blocks(near_logits), _blocks(near_truths), strict=True):
        x, truth = read_pixels(logits, *near), read_pixels(truths, *near_truth)
        linear += x.T @ truth
        share = x.sigmoid()
        shared += share.T @ truth
        shares += share.sum(0)[:, None]
        areas += truth.sum(0)
        # softplus(x) = max(x, 0) − log sigmoid(|x|): one logarithm more than the sigmoid that dice needs
        softplus += x.relu_().sub_(torch.maximum(share, 1 - share).log_()).sum(0)[:, None]
    bce = (softplus - linear) / len(near_logits[0])
    return costs.mask * bce + costs.dice * (1 - (2 * shared + 1) / (shares + areas + 1))


def _blocks(near: tuple[Tensor, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    index, weight = near
    return zip(index.split(BLOCK), weight.split(BLOCK), strict=True)


def pair_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean BCE of each query [.., Q, P] with each target [.., N, P] (values in 0…1): [.., Q, N].

    BCE(x, t) = softplus(x) − x·t, so all pairs need one softplus and one matrix product.
    """
    return (F.softplus(logits).sum(-1, keepdim=True) - logits @ truth.mT) / logits.shape[-1]


def pair_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """Dice loss (+1 smooth) of each query with each target; shapes as in `pair_bce`."""
    share = logits.sigmoid()
    total = share.sum(-1, keepdim=True) + truth.sum(-1)[..., None, :]
    return 1 - (2 * (share @ truth.mT) + 1) / (total + 1)


class NonFiniteCosts(ArithmeticError):
    """The matching cost of a pair is NaN or infinite; `place` is (task's place in the list, layer, image)."""

    def __init__(self, place: tuple[int, int, int]) -> None:
        super().__init__(f"matching cost not finite (task {place[0]}, layer {place[1]}, image {place[2]})")
        self.place = place


def assign(tasks: Sequence[tuple[Tensor, Sequence[int]]]) -> list[Pairs]:
    """The cheapest assignment for each task, layer and image; one copy to the host and one back.

    Each task is its costs [L, B, Q, N] and the number of targets per image. Images with more targets than
    queries leave targets unmatched. Raises `NonFiniteCosts` where a network has diverged.
    """
    if not tasks:
        return []
    device = tasks[0][0].device
    on_host = torch.cat([costs.reshape(-1) for costs, _ in tasks]).cpu().numpy()
    solved: list[np.ndarray] = []
    start = 0
    for number, (costs, counts) in enumerate(tasks):
        layers, images, queries, places = costs.shape
        block = on_host[start : start + costs.numel()].reshape(layers, images, queries, places)
        start += costs.numel()
        begins = offsets(counts)
        pairs = np.empty((2, layers, sum(min(queries, count) for count in counts)), dtype=np.int64)
        for layer in range(layers):
            filled = 0
            for image, count in enumerate(counts):
                costs_here = block[layer, image, :, :count]
                if not np.isfinite(costs_here).all():
                    raise NonFiniteCosts((number, layer, image))
                query, target = linear_sum_assignment(costs_here)
                pairs[0, layer, filled : filled + len(query)] = query + image * queries
                pairs[1, layer, filled : filled + len(query)] = target + begins[image]
                filled += len(query)
        solved.append(pairs)
    back = torch.from_numpy(np.concatenate([pairs.reshape(-1) for pairs in solved]))
    back = back.to(device, non_blocking=True)
    result, start = [], 0
    for pairs in solved:
        query, target = back[start : start + pairs.size].view(pairs.shape)
        result.append(Pairs(query, target))
        start += pairs.size
    return result
