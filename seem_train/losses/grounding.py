"""Grounding: which query is each phrase about? Text–query similarities, their matching cost and contrastive
loss.

L decoder layers, final first; B images; Q queries; N phrases of the batch, T of the fullest image; D text
width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seem_train.losses.matcher import Pairs, padded_rows, real_places
from seem_train.losses.targets import GroundingTargets
from seem_train.model.language import MAX_SCALE, unit


def text_logits(
    vectors: Sequence[Tensor], phrases: Tensor, counts: Sequence[int], logit_scale: Tensor
) -> Tensor:
    """Scaled cosine of every grounding query with every phrase of its image: [L, B, Q, T] float32.

    `vectors`: class vectors [B, Q, D] of each layer; `phrases`: [N, D] text embeddings, image after image,
    `counts` of each; `logit_scale`: the model's learned log temperature. Places beyond an image's number of
    phrases repeat the batch's first phrase and mean nothing.
    """
    rows, _ = padded_rows(counts, phrases.device)
    texts = unit(phrases.float()).index_select(0, rows.reshape(-1)).view(*rows.shape, -1)
    queries = unit(torch.stack([v.float() for v in vectors]))
    return logit_scale.float().exp().clamp(max=MAX_SCALE) * (queries @ texts.mT)


def contrastive_loss(
    logits: Tensor, pairs: Pairs, targets: GroundingTargets, weight_of: dict[str, float]
) -> Tensor:
    """Cross entropy over queries of every phrase, for each layer: [L], summed over images.

    A phrase's target is its own matched query; phrases that read the same share theirs equally
    (`targets.groups`; the original compared per-process salted hashes of the texts). Averaged over the
    phrases of an image, then weighted by the image's mode (`weight_of`: sentences count more than class
    names).
    """
    flat = logits.log_softmax(dim=2).flatten(1, 2)  # [L, B·Q, T]
    if pairs.query.shape[1] == 0:
        return flat.sum((1, 2)) * 0.0
    at_match = flat.gather(1, pairs.query[..., None].expand(-1, -1, flat.shape[-1]))  # [L, M, T]
    share = _shares(targets, weight_of).index_select(0, pairs.target.reshape(-1)).view_as(at_match)
    return -(at_match * share).sum((1, 2))


def _shares(targets: GroundingTargets, weight_of: dict[str, float]) -> Tensor:
    """[N, T]: how much the match of phrase n counts as positive for the t-th phrase of the same image."""
    rows, real = padded_rows(targets.counts, targets.groups.device)
    groups = targets.groups.index_select(0, rows.reshape(-1)).view_as(rows)
    equal = (groups[:, :, None] == groups[:, None, :]) & real[:, :, None] & real[:, None, :]  # [B, T, T]
    per_image = torch.tensor(
        [weight_of[mode] / max(count, 1) for mode, count in zip(targets.modes, targets.counts, strict=True)]
    ).to(groups.device, non_blocking=True)
    share = equal / equal.sum(-1, keepdim=True).clamp(min=1) * per_image[:, None, None]
    places = real_places(targets.counts, max(targets.counts))
    return share.flatten(0, 1).index_select(0, places.to(groups.device, non_blocking=True))
