"""Mask logits and class logits ─▶ semantic, panoptic and instance results, as the original computes them.

Q queries, C categories (the class logits hold one more column, the background), (h, w) the decoder's mask
resolution, (H, W) the size of the result. Everything runs on the device of the masks; only the few numbers
a segment needs travel to the host. See section 3.4 of X-Decoder (arXiv 2212.11270) and MaskFormer
(arXiv 2107.06278), appendix A, for the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from seem_train.model.config import PostprocessConfig
from seem_train.model.language import text_similarity

LARGEST_STACK = 32_000_000  #: floats in one stack of resized masks, of which a few are needed at a time
_LARGEST_KEPT = 64_000_000  #: … and in one that is kept for several who ask


@dataclass(frozen=True)
class PanopticSegment:
    """One segment of a panoptic result; `id` is its value in the id map, counting from 1."""

    id: int
    category_index: int
    isthing: bool
    score: float  #: class probability; of a stuff region merged from several queries, the greatest
    area: int  #: pixels in the id map


@dataclass(frozen=True)
class PanopticResult:
    id_map: Tensor  #: [H, W] int32, 0 where nothing was predicted
    segments: list[PanopticSegment]


def resize_masks(
    masks: Tensor,
    padded_hw: tuple[int, int],
    image_hw: tuple[int, int],
    out_hw: tuple[int, int],
    mode: Literal["bicubic", "bilinear"] = "bicubic",
) -> Tensor:
    """Mask logits [Q, h, w] at the size of the result [Q, H, W].

    Args:
        padded_hw: size of the batch the image lay in, whose right and bottom borders are padding.
        image_hw: size of the image inside it.
        out_hw: size wanted, normally that of the image before it was scaled for the model.
        mode: how the last step interpolates; the original's interactive evaluation is the one bilinear case.
    """
    if len(masks) == 0:
        return masks.new_zeros(0, *out_hw)
    masks = masks.float()[None]
    if masks.shape[-2:] != tuple(padded_hw):
        masks = F.interpolate(masks, size=padded_hw, mode="bilinear", align_corners=False)
    masks = masks[..., : image_hw[0], : image_hw[1]]
    if tuple(out_hw) != tuple(image_hw):
        smooth = mode == "bicubic"
        masks = F.interpolate(masks, size=out_hw, mode=mode, align_corners=False, antialias=smooth)
    return masks[0]


class OnDemandMasks:
    """Mask logits of Q queries [Q, h, w], each resized (see `resize_masks`) only when asked for.

    Args:
        keep: resize all at the first request and keep them, for several who ask; large stacks are not kept.
    """

    def __init__(
        self,
        masks: Tensor,
        padded_hw: tuple[int, int],
        image_hw: tuple[int, int],
        out_hw: tuple[int, int],
        mode: Literal["bicubic", "bilinear"] = "bicubic",
        keep: bool = False,
    ) -> None:
        self._masks, self._padded, self._image = masks, padded_hw, image_hw
        self._mode: Literal["bicubic", "bilinear"] = mode
        self.size = out_hw
        self.at_once = max(1, LARGEST_STACK // (out_hw[0] * out_hw[1]))  #: how many to ask for at a time
        self._keep = keep and len(masks) * out_hw[0] * out_hw[1] <= _LARGEST_KEPT
        self._all: Tensor | None = None

    def at(self, queries: Tensor | slice) -> Tensor:
        """[N, H, W] of the chosen queries."""
        if not self._keep:
            return self._resized(self._masks[queries], self.size)
        if self._all is None:
            self._all = self._resized(self._masks, self.size)
        return self._all[queries]

    def all_at(self, size: tuple[int, int]) -> Tensor:
        """[Q, *size] of all queries."""
        return self.at(slice(None)) if size == self.size else self._resized(self._masks, size)

    def _resized(self, masks: Tensor, size: tuple[int, int]) -> Tensor:
        return resize_masks(masks, self._padded, self._image, size, self._mode)


def semantic(logits: Tensor, masks: Tensor) -> Tensor:
    """Score of every category at every pixel [C, H, W], from logits [Q, C+1] and mask logits [Q, H, W]."""
    probabilities = logits.float().softmax(-1)[:, :-1]
    return torch.einsum("qc,qhw->chw", probabilities, masks.float().sigmoid())


def semantic_labels(logits: Tensor, masks: Tensor) -> Tensor:
    """[H, W] the best category of every pixel: the greatest of `semantic`, without holding all its scores."""
    rows = max(1, LARGEST_STACK // max(4 * masks.shape[-1] * max(logits.shape[-1], len(masks)), 1))
    return torch.cat([_greatest(semantic(logits, band))[1] for band in masks.split(rows, dim=1)])


def confident(logits: Tensor, object_threshold: float) -> Tensor:
    """Which queries [Q] `panoptic` would look at: resizing only their masks saves most of its work."""
    scores, labels = logits.float().softmax(-1).max(-1)
    return (labels != logits.shape[-1] - 1) & (scores > object_threshold)


def panoptic(
    logits: Tensor,
    masks: Tensor | OnDemandMasks,
    is_thing: Sequence[bool] | Tensor,
    object_threshold: float = PostprocessConfig.object_threshold,
    overlap_threshold: float = PostprocessConfig.overlap_threshold,
) -> PanopticResult:
    """Give each pixel to the query that claims it most strongly.

    A query speaks when its best category is not the background and scores above `object_threshold`. It keeps
    the pixels it wins and itself calls foreground, unless it wins less than `overlap_threshold` of all it
    calls foreground. Stuff of one category becomes one segment; things are numbered one by one.

    Args:
        logits: [Q, C+1], background last.
        masks: [Q, H, W] logits. On demand, only those of speaking queries are resized, few at a time.
        is_thing: [C], by category index.
    """
    speaking = confident(logits, object_threshold).nonzero()[:, 0]
    scores, labels = logits[speaking].float().softmax(-1).max(-1)
    count = len(scores)
    if count == 0:
        size = masks.size if isinstance(masks, OnDemandMasks) else masks.shape[-2:]
        return PanopticResult(torch.zeros(size, dtype=torch.int32, device=logits.device), [])
    winner, is_won, claimed = _winners(scores, masks, speaking)
    lost_and_won = torch.bincount((2 * winner + is_won).flatten(), minlength=2 * count).view(count, 2)
    per_query = torch.stack(  # all a segment needs, in one transfer to the host
        [n.double() for n in (labels, scores, lost_and_won.sum(1), claimed, lost_and_won[:, 1])]
    )
    things = torch.as_tensor(is_thing).tolist()
    segments: list[PanopticSegment] = []
    stuff: dict[int, int] = {}  # category index ─▶ position in segments
    segment_of = [0] * count
    for query, (label, score, area, area_claimed, area_won) in enumerate(per_query.T.tolist()):
        if not area_won or area / area_claimed < overlap_threshold:
            continue
        category = int(label)
        position = stuff.get(category)
        if position is None:
            segments.append(
                PanopticSegment(len(segments) + 1, category, bool(things[category]), score, int(area_won))
            )
            position = len(segments) - 1
            if not things[category]:
                stuff[category] = position
        else:
            first = segments[position]
            segments[position] = PanopticSegment(
                first.id, category, False, max(first.score, score), first.area + int(area_won)
            )
        segment_of[query] = position + 1
    lookup = torch.tensor(segment_of, dtype=torch.int32, device=winner.device)
    return PanopticResult(torch.where(is_won, lookup[winner], 0), segments)


def _winners(
    scores: Tensor, masks: Tensor | OnDemandMasks, speaking: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Who wins each pixel: place among the speaking queries and whether it is its foreground, [H, W] each.

    Third: how many pixels each calls foreground [N]. Ties go to the first.
    """
    at_once = masks.at_once if isinstance(masks, OnDemandMasks) else len(scores)
    strongest = winner = is_won = None
    claimed = []
    for first in range(0, len(scores), at_once):
        few = slice(first, first + at_once)
        queries = speaking[few]
        some = masks.at(queries) if isinstance(masks, OnDemandMasks) else masks[queries]
        probabilities = some.float().sigmoid()
        foreground = probabilities >= 0.5
        claimed.append(foreground.flatten(1).view(torch.uint8).sum(1, dtype=torch.int32))
        claim, best = _greatest(scores[few, None, None] * probabilities)
        won = foreground.gather(0, best[None])[0]
        if strongest is None or winner is None or is_won is None:
            strongest, winner, is_won = claim, best, won
            continue
        stronger = claim > strongest
        strongest = torch.where(stronger, claim, strongest)
        winner = torch.where(stronger, best + first, winner)
        is_won = torch.where(stronger, won, is_won)
    assert winner is not None
    assert is_won is not None
    return winner, is_won, torch.cat(claimed)


def _greatest(values: Tensor) -> tuple[Tensor, Tensor]:
    """The greatest along the first dimension of [N, H, W], and the first place where it stands, [H, W] each.

    Unlike `max` and `argmax` this is defined for ties on every device, and along a first dimension it is many
    times faster on CPUs.
    """
    greatest = values.amax(0)
    places = torch.arange(len(values), device=values.device, dtype=torch.int32)[:, None, None]
    first = torch.where(values == greatest, places, len(values)).amin(0)
    return greatest, first.clamp(max=len(values) - 1).long()  # NaN equals nothing


def rank_pairs(
    logits: Tensor, top_k: int, is_thing: Sequence[bool] | Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The `top_k` best pairs of query and category: class probability, category index and query, [N] each.

    One query may appear under several categories. With `is_thing` [C] the pairs whose category is stuff are
    dropped after the choice (so fewer than `top_k` may remain), as the original does.
    """
    categories = max(logits.shape[-1] - 1, 1)
    scores = logits.float().softmax(-1)[:, :-1].flatten()
    scores, pairs = scores.topk(min(top_k, len(scores)))
    query, category = pairs.div(categories, rounding_mode="floor"), pairs % categories
    if is_thing is not None:
        keep = torch.as_tensor(is_thing, device=logits.device).bool()[category]
        scores, category, query = scores[keep], category[keep], query[keep]
    return scores, category, query


def judge_masks(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Foreground [Q, H, W] bool of mask logits, and its mean probability [Q]."""
    masks = masks.float()
    foreground = masks > 0
    inside = (masks.sigmoid() * foreground).flatten(1).sum(1)
    return foreground, inside / (foreground.flatten(1).sum(1) + 1e-6)


def select_grounding(
    class_vectors: Tensor, text_vectors: Tensor, logit_scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Which query each text means.

    Args:
        class_vectors: [Q, D] of the grounding queries.
        text_vectors: [T, D] embeddings of whole texts.
        logit_scale: the model's logarithmic temperature; its exponential is capped at 100.

    Returns:
        similarity [Q, T] and, for each text, the query most like it [T] int64.
    """
    similarity = text_similarity(class_vectors, text_vectors, logit_scale)
    return similarity, similarity.argmax(0)
