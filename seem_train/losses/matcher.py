"""Bipartite matching of queries and targets (DETR, arXiv:2005.12872), for all layers, images and tasks at
once.

The costs of every layer, image and task are computed where the predictions live, travel to the host in one
copy, are solved there by SciPy, and the matches go back in one copy. The original stops the device once for
each of them (layers × images × tasks).

L decoder layers, final first; B images; Q queries; N targets of the fullest image; P points.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from seem_data.common.wording import a_few
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


class NonFiniteLoss(ArithmeticError):
    """A loss term or matching cost is NaN or infinite: `terms` names them (``loss_mask_bce_0`` is the final
    layer's).

    Knows nothing of steps, files or learning rates; the trainer adds them.
    """

    def __init__(self, terms: Sequence[str]) -> None:
        super().__init__(f"not finite: {a_few(terms, most=6)}")
        self.terms = tuple(terms)


def assign(costs: Mapping[Task, Tensor], counts: Mapping[Task, Sequence[int]]) -> dict[Task, Pairs]:
    """The cheapest assignment for each task, layer and image; one copy to the host and one back.

    Args:
        costs: [L, B, Q, N] of each task.
        counts: how many targets each image has for a task; where queries are fewer some stay unmatched.

    Raises:
        NonFiniteLoss: a network has diverged.
    """
    together = torch.cat([own.reshape(-1) for own in costs.values()])
    device = together.device
    blocks = together.cpu().split([own.numel() for own in costs.values()])
    solved: dict[Task, np.ndarray] = {}
    for (task, own), block in zip(costs.items(), blocks, strict=True):
        begins, (layers, _, queries, _) = offsets(counts[task]), own.shape
        pairs = np.empty((2, layers, sum(min(queries, count) for count in counts[task])), dtype=np.int64)
        for layer, of_images in enumerate(block.view(own.shape).numpy()):
            filled = 0
            for image, count in enumerate(counts[task]):
                costs_here = of_images[image, :, :count]
                if not np.isfinite(costs_here).all():
                    raise NonFiniteLoss([f"matching_{task}_{layer}"])
                query, target = linear_sum_assignment(costs_here)
                pairs[0, layer, filled : filled + len(query)] = query + image * queries
                pairs[1, layer, filled : filled + len(query)] = target + begins[image]
                filled += len(query)
        solved[task] = pairs
    back = torch.from_numpy(np.concatenate([pairs.reshape(-1) for pairs in solved.values()]))
    pieces = back.to(device, non_blocking=True).split([pairs.size for pairs in solved.values()])
    return {
        task: Pairs(*numbers.view(pairs.shape))
        for (task, pairs), numbers in zip(solved.items(), pieces, strict=True)
    }
