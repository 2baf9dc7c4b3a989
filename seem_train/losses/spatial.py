"""Spatial prompts: each prompt (points, a stroke, …) owns n queries; which of them found its object?

L decoder layers, final first; B images; K prompts of the fullest image; n queries for each prompt (3 in the
released models, drawn from the object queries); N prompts of the batch in all.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seem_train.losses.matcher import Pairs, padded_rows, real_places
from seem_train.model.predictions import SpatialPredictions


def prompt_logits(
    layers: Sequence[SpatialPredictions], counts: Sequence[int], padded_compete: bool
) -> Tensor:
    """Dot product (no normalisation) of every query's mask vector with every prompt's mean feature: [L, B,
    n·K, K].

    The queries of places without a prompt get the lowest number so that a prompt's probabilities do not
    depend on how many prompts the *other* images of the batch happen to have; in the original they compete
    (`padded_compete`).
    """
    logits = torch.stack([p.mask_vectors.float() @ p.positive.float().mT for p in layers])
    if padded_compete or min(counts) == max(counts):
        return logits
    per_prompt = logits.shape[2] // logits.shape[3]
    real = padded_rows(counts, logits.device)[1].repeat_interleave(per_prompt, dim=1)
    return logits.masked_fill(~real[None, :, :, None], torch.finfo(logits.dtype).min)


def choose_own(mask_costs: Tensor, logits: Tensor, category: float, counts: Sequence[int]) -> Pairs:
    """For every prompt the cheapest of its own queries. Stays on the device.

    `mask_costs` and `logits` are [L, B, n·K, K]; the cost of a query is its mask cost less `category` times
    its probability among the prompt's own n queries. Blocks do not overlap, so the Hungarian assignment with
    every other query forbidden, which the original solves on the host, is a minimum over n numbers.
    """
    _, images, queries, places = mask_costs.shape
    per_prompt = queries // places
    cost = _own(mask_costs) - category * _own(logits).softmax(dim=2)
    image = torch.arange(images, device=cost.device)[:, None] * queries
    place = torch.arange(places, device=cost.device) * per_prompt
    query = (image + place + cost.argmin(dim=2)).flatten(1)  # [L, B·K]
    query = query.index_select(1, real_places(counts, places).to(cost.device, non_blocking=True))
    return Pairs(query, torch.arange(query.shape[1], device=cost.device).expand_as(query))


def _own(values: Tensor) -> Tensor:
    """[L, B, n·K, K] to [L, B, n, K]: of each prompt's column only the rows of its own queries."""
    places = values.shape[3]
    return values.unflatten(2, (places, -1)).diagonal(dim1=2, dim2=4)


def only(pairs: Pairs, present: Sequence[bool]) -> Pairs:
    """The pairs whose target has a mask at all."""
    if all(present):
        return pairs
    kept = torch.tensor([n for n, there in enumerate(present) if there], dtype=torch.long)
    kept = kept.to(pairs.query.device, non_blocking=True)
    return Pairs(pairs.query.index_select(1, kept), pairs.target.index_select(1, kept))


def choice_loss(logits: Tensor, pairs: Pairs, counts: Sequence[int]) -> Tensor:
    """Cross entropy over *all* spatial queries of the image, summed over the pairs of each layer: [L].

    `pairs.target` numbers the prompts of the batch image after image.
    """
    queries, places = logits.shape[2:]
    columns = logits.log_softmax(dim=2).transpose(2, 3).flatten(1, 2)  # [L, B·K, n·K]
    where = real_places(counts, places).to(logits.device, non_blocking=True)
    at_prompt = columns.gather(1, where[pairs.target][..., None].expand(-1, -1, queries))
    return -at_prompt.gather(2, (pairs.query % queries)[..., None])[..., 0].sum(1)
