"""The original's losses and simulated user: same numbers, one layer, task and image after another.

For the matching every query and every target reads its own copy of the image's points; the pairwise BCE takes
two matrix products; costs of every image go to the host by themselves, those of spatial prompts too; all is
kept for the backward pass (section 3 of SEEM.md). The next click is found by one
convolution a ring (section 11).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from seem_train.data.clicks import GOOD_ENOUGH
from seem_train.losses.criterion import Criterion, LossTerms, MaskTargets, Predicted
from seem_train.losses.grounding import contrastive_loss, text_logits
from seem_train.losses.matcher import MatchCosts, Pairs
from seem_train.losses.points import Task, sample_maps
from seem_train.losses.spatial import choice_loss, only, prompt_logits
from seem_train.losses.targets import GroundingTargets, LossCounts, ObjectTargets, SpatialTargets, Targets
from seem_train.model.predictions import (
    GroundingPredictions,
    LayerPredictions,
    ObjectPredictions,
    SpatialPredictions,
)

SMOOTHING = 0.35  #: of kornia's distance transform
FORBIDDEN = 1e9  #: cost of a query that belongs to another prompt


class OriginalCriterion(Criterion):
    """Takes the place of ours."""

    def _terms(
        self,
        layers: Sequence[LayerPredictions],
        targets: Targets,
        logit_scale: Tensor,
        phrases: Tensor | None,
        counts: LossCounts | None,
    ) -> LossTerms:
        counts = counts or self.count(targets.sizes, layers[0].objects.masks.shape[1])
        raw: dict[str, list[Tensor]] = {}
        pairs: dict[Task, list[Pairs]] = {}

        def add(name: str, task: Task, matched: Pairs, ce: Tensor, masks: tuple[Tensor, Tensor]) -> None:
            pairs.setdefault(task, []).append(matched)
            for kind, value in zip(("ce", "bce", "dice"), (ce, *masks), strict=True):
                raw.setdefault(f"{name}_{kind}", []).append(value)

        for number, layer in enumerate(layers):
            matched, ce = self._objects(layer.objects, targets.objects)
            bce, dice = self._masks("objects", number, layer.objects, matched, targets.objects)
            per = counts.segments or 1.0
            add("loss_mask", "objects", matched, ce / (counts.labels or 1.0), (bce / per, dice / per))
            if layer.spatial is not None and targets.spatial is not None:
                matched, ce = self._prompts(layer.spatial, targets.spatial)
                kept = only(matched, targets.spatial.present)
                bce, dice = self._masks("spatial", number, layer.spatial, kept, targets.spatial)
                per = counts.prompts or 1.0
                add("loss_spatial", "spatial", matched, ce / per, (bce / per, dice / per))
            if layer.grounding is not None and targets.grounding is not None and phrases is not None:
                matched, ce = self._phrases(layer.grounding, targets.grounding, phrases, logit_scale)
                bce, dice = self._masks("grounding", number, layer.grounding, matched, targets.grounding)
                per = counts.phrases or 1.0
                add("loss_grounding", "grounding", matched, ce / (counts.grounded_images or 1.0),
                    (bce / per, dice / per))  # fmt: skip
        return LossTerms(
            {name: torch.stack(values) for name, values in raw.items()},
            self._weights(),
            {
                task: Pairs(torch.cat([p.query for p in each]), torch.cat([p.target for p in each]))
                for task, each in pairs.items()
            },
        )

    def _objects(self, predicted: ObjectPredictions, targets: ObjectTargets) -> tuple[Pairs, Tensor]:
        assert predicted.logits is not None
        logits = predicted.logits.float()
        categories = targets.categories.split(list(targets.counts))
        costs = [
            found - self.config.costs.category * own.softmax(-1)[:, wanted]
            for found, own, wanted in zip(
                self._pair_costs("objects", predicted, targets, self.config.costs),
                logits.detach(),
                categories,
                strict=True,
            )
        ]
        pairs = _match(costs, logits.shape[1])
        background = logits.shape[-1] - 1
        labels = torch.full((logits.shape[0] * logits.shape[1],), background, device=logits.device)
        labels[pairs.query[0]] = targets.categories[pairs.target[0]]
        weight = torch.ones(background + 1, device=logits.device)
        weight[-1] = self.config.no_object
        return pairs, F.cross_entropy(logits.flatten(0, 1), labels, weight, reduction="sum")

    def _phrases(
        self, predicted: GroundingPredictions, targets: GroundingTargets, phrases: Tensor, scale: Tensor
    ) -> tuple[Pairs, Tensor]:
        similarity = text_logits([predicted.class_vectors], phrases, targets.counts, scale)
        by_text = -self.config.costs.category * similarity.detach().softmax(dim=2)[0]
        by_mask = self._pair_costs("grounding", predicted, targets, self.config.costs)
        costs = [mask + text[:, : mask.shape[1]] for mask, text in zip(by_mask, by_text, strict=True)]
        pairs = _match(costs, similarity.shape[2])
        return pairs, contrastive_loss(similarity, pairs, targets, self.config.mode_weights)[0]

    def _prompts(self, predicted: SpatialPredictions, targets: SpatialTargets) -> tuple[Pairs, Tensor]:
        """An assignment in which the queries of other prompts are forbidden."""
        logits = prompt_logits([predicted], targets.counts, self.config.padded_prompts_compete)
        queries, places = logits.shape[2:]
        own = torch.eye(places, dtype=torch.bool, device=logits.device)
        own = own.repeat_interleave(queries // places, dim=0)
        share = logits.detach()[0].masked_fill(~own, float("-inf")).softmax(1)
        by_mask = self._pair_costs("spatial", predicted, targets, self.config.spatial_costs)
        costs = [
            (found - self.config.spatial_costs.category * part[:, :count]).masked_fill(
                ~own[:, :count], FORBIDDEN
            )
            for found, part, count in zip(by_mask, share, targets.counts, strict=True)
        ]
        pairs = _match(costs, queries)
        return pairs, choice_loss(logits, only(pairs, targets.present), targets.counts)[0]

    @torch.no_grad()
    def _pair_costs(
        self, task: Task, predicted: Predicted, targets: MaskTargets, costs: MatchCosts
    ) -> list[Tensor]:
        """[Q, N] of each image, every query and target with its own copy of the points."""
        found = []
        points = self.points.for_matching(task, 1, len(targets.counts), targets.masks.device)[0]
        truths = targets.masks.split(list(targets.counts))
        for masks, truth, at in zip(predicted.masks, truths, points, strict=True):
            if len(truth) == 0:
                found.append(masks.new_zeros(len(masks), 0, dtype=torch.float32))
                continue
            x = sample_maps(masks[:, None].float(), at.repeat(len(masks), 1, 1))[:, 0]
            t = sample_maps(truth[:, None].float(), at.repeat(len(truth), 1, 1))[:, 0]
            positive = F.binary_cross_entropy_with_logits(x, torch.ones_like(x), reduction="none")
            negative = F.binary_cross_entropy_with_logits(x, torch.zeros_like(x), reduction="none")
            bce = (positive @ t.T + negative @ (1 - t).T) / x.shape[1]
            share = x.sigmoid()
            dice = 1 - (2 * share @ t.T + 1) / (share.sum(1)[:, None] + t.sum(1)[None] + 1)
            found.append(costs.mask * bce + costs.dice * dice)
        return found

    def _masks(
        self, task: Task, number: int, predicted: Predicted, pairs: Pairs, targets: MaskTargets
    ) -> tuple[Tensor, Tensor]:
        """Sums of BCE and dice of the matched masks."""
        chosen = predicted.masks.flatten(0, 1)[pairs.query[0]].float()
        if len(chosen) == 0:
            return chosen.sum(), chosen.sum()
        truth = targets.masks[pairs.target[0]].float()
        with torch.no_grad():
            at = self.points.for_losses(task, [number], chosen)
            t = sample_maps(truth[:, None], at)[:, 0]
        x = sample_maps(chosen[:, None], at)[:, 0]
        share = x.sigmoid()
        dice = 1 - (2 * (share * t).sum(1) + 1) / (share.sum(1) + t.sum(1) + 1)
        return F.binary_cross_entropy_with_logits(x, t, reduction="none").mean(1).sum(), dice.sum()


def _match(costs: Sequence[Tensor], queries: int) -> Pairs:
    """One layer's pairs from the costs [Q, N] of each image: a copy to the host for each, and one back."""
    query, target, start = [], [], 0
    for image, own in enumerate(costs):
        rows, columns = linear_sum_assignment(own.cpu().numpy())
        query.append(torch.as_tensor(rows).to(own.device) + image * queries)
        target.append(torch.as_tensor(columns).to(own.device) + start)
        start += own.shape[1]
    return Pairs(torch.cat(query)[None], torch.cat(target)[None])


def next_click(logits: Tensor, truth: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """`clicks.next_click` [K, H, W], by kornia's distance transform of whole masks."""
    size = (positive.shape[-2], positive.shape[-1])
    scaled = F.interpolate(logits[None].float(), size=size, mode="bilinear", align_corners=False)[0]
    predicted = scaled.sigmoid() > 0.5
    truth = F.pad(truth, (0, size[1] - truth.shape[-1], 0, size[0] - truth.shape[-2]))
    unclicked = ~(positive | negative)
    missing, surplus = truth & ~predicted & unclicked, ~truth & predicted & unclicked
    is_positive = missing.sum((1, 2)) > surplus.sum((1, 2))
    iou = (truth & predicted).sum((1, 2)) / ((truth | predicted).sum((1, 2)) + 1e-8)
    click = torch.zeros_like(positive)
    for place, error in enumerate(torch.where(is_positive[:, None, None], missing, surplus)):
        row, column = deepest_pixel(error)
        click[place, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
    click &= (iou < GOOD_ENOUGH)[:, None, None]
    return positive | (click & is_positive[:, None, None]), negative | (click & ~is_positive[:, None, None])


def deepest_pixel(region: Tensor) -> tuple[int, int]:
    """(row, column) of a bool region [H, W]: one convolution a ring, and a look at what it found."""
    reached = F.pad((~region)[None, None].float(), (1, 1, 1, 1), value=1.0)
    offsets = torch.tensor([-1.0, 0.0, 1.0], device=region.device)
    kernel = (torch.hypot(offsets[:, None], offsets[None]) / -SMOOTHING).exp()[None, None]
    distance = torch.zeros_like(reached)
    for ring in range(max(reached.shape)):
        step = F.conv2d(F.pad(reached, (1, 1, 1, 1), mode="replicate"), kernel).log() * -SMOOTHING
        new = (step.nan_to_num(posinf=0.0) > 0).float()
        if new.sum() == 0:
            break
        distance += (ring * 3 // 2 + step.nan_to_num(posinf=0.0)) * new
        reached = torch.where(new == 1, torch.ones_like(reached), reached)
    place = int(distance[0, 0, 1:-1, 1:-1].argmax())
    return place // region.shape[1], place % region.shape[1]
