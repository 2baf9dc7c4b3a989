"""The training loss of SEEM: objects, grounding and spatial prompts, after every decoder layer.

The original (UX-Decoder v1.0) is followed number for number where it is sound. Its faults are not inherited;
where numbers depend on one, an option of `LossConfig` brings it back (`LossConfig.as_executed()` sets all of
them):

- its matcher ignored COST_SPATIAL (5/2/2) and matched spatial prompts with the object costs (2/5/5):
  `spatial_costs`;
- one image without phrases silenced the grounding loss of the whole batch: `grounding_all_or_nothing`;
- queries of padding places competed in a prompt's softmax: `padded_prompts_compete`;
- masks of phrases held 255 in padded areas, and their texts were compared by salted hashes: see `targets`;
- every micro-batch and rank was divided by its own counts: see `targets.Counts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from seem_train.losses.grounding import contrastive_loss, text_logits
from seem_train.losses.masks import mask_losses
from seem_train.losses.matcher import MatchCosts, Pairs, assign, mask_costs, padded_rows
from seem_train.losses.points import PointSource, RandomPoints, Task
from seem_train.losses.spatial import choice_loss, choose_own, only, prompt_logits
from seem_train.losses.targets import (
    GroundingTargets,
    LossCounts,
    ObjectTargets,
    Sizes,
    SpatialTargets,
    Targets,
)
from seem_train.model.predictions import (
    GroundingPredictions,
    LayerPredictions,
    ObjectPredictions,
    Predictions,
    SpatialPredictions,
)

Predicted = ObjectPredictions | GroundingPredictions | SpatialPredictions
MaskTargets = ObjectTargets | GroundingTargets | SpatialTargets


@dataclass(frozen=True)
class TaskWeights:
    """Weights of a task's cross entropy, mask BCE and dice in the total."""

    ce: float
    bce: float
    dice: float


@dataclass(frozen=True)
class LossConfig:
    """Weights of the original's shipped configurations."""

    objects: TaskWeights = TaskWeights(ce=2.0, bce=5.0, dice=5.0)
    grounding: TaskWeights = TaskWeights(ce=0.4, bce=1.0, dice=1.0)
    spatial: TaskWeights = TaskWeights(ce=0.4, bce=1.0, dice=1.0)
    costs: MatchCosts = field(default_factory=lambda: MatchCosts(2.0, 5.0, 5.0))  #: objects and grounding
    spatial_costs: MatchCosts = field(default_factory=lambda: MatchCosts(5.0, 2.0, 2.0))
    no_object: float = 0.1  #: class weight of the background
    mode_weights: dict[str, float] = field(default_factory=lambda: {"text": 2.0, "class": 0.5})
    grounding_all_or_nothing: bool = False
    padded_prompts_compete: bool = False

    def as_executed(self) -> LossConfig:
        """With the original's faults, to reproduce its numbers."""
        return replace(
            self, spatial_costs=self.costs, grounding_all_or_nothing=True, padded_prompts_compete=True
        )


@dataclass(frozen=True)
class LossTerms:
    """The parts of a loss. Each of `raw` is [L], final layer first, unweighted and with gradient."""

    raw: dict[str, Tensor]
    weights: dict[str, float]
    pairs: dict[Task, Pairs]

    @property
    def total(self) -> Tensor:
        """The weighted sum, a scalar."""
        return torch.stack([self.weights[name] * values.sum() for name, values in self.raw.items()]).sum()


class Criterion:
    """Predictions and targets → `LossTerms`. Computes in float32 whatever autocast says."""

    def __init__(self, config: LossConfig | None = None, points: PointSource | None = None) -> None:
        self.config = config or LossConfig()
        self.points = points or RandomPoints()

    def count(self, sizes: Sizes, queries: int) -> LossCounts:
        """This batch's divisors; `queries`: object queries of the model. Asks the device nothing."""
        matched = sum(min(queries, count) for count in sizes.segments)
        unmatched = queries * len(sizes.segments) - matched
        phrases = sizes.phrases if sizes.phrases and self._speaks(sizes.phrases) else ()
        return LossCounts(
            segments=sum(sizes.segments),
            labels=matched + self.config.no_object * unmatched,
            phrases=sum(min(queries, count) for count in phrases),
            grounded_images=sum(count > 0 for count in phrases),
            prompts=sizes.prompts,
        )

    def __call__(
        self,
        predictions: Predictions,
        targets: Targets,
        logit_scale: Tensor,
        phrases: Tensor | None = None,
        counts: LossCounts | None = None,
    ) -> LossTerms:
        """The terms of one batch.

        Args:
            logit_scale: the model's learned log temperature, for grounding.
            phrases: [N, D] what the model makes of the phrases of `targets.grounding`, not normalised.
            counts: the divisors of the whole step (see `LossCounts`); this batch's own where None.

        Raises:
            NonFiniteLoss: a matching cost is not finite.
            ValueError: phrases are to be grounded, and their embeddings are missing.
        """
        layers = predictions.layers[::-1]
        device = layers[0].objects.masks.device
        with torch.autocast(device.type, enabled=False):
            return self._terms(layers, targets, logit_scale, phrases, counts)

    def _terms(
        self,
        layers: Sequence[LayerPredictions],
        targets: Targets,
        logit_scale: Tensor,
        phrases: Tensor | None,
        counts: LossCounts | None,
    ) -> LossTerms:
        objects = [layer.objects for layer in layers]
        spoken = [layer.grounding for layer in layers if layer.grounding is not None]
        marked = [layer.spatial for layer in layers if layer.spatial is not None]
        grounding = targets.grounding if spoken else None
        if grounding is not None and not self._speaks(grounding.counts):
            grounding = None  # nothing is learned from it
        counts = counts or self.count(targets.sizes, objects[0].masks.shape[1])

        # All that is solved on the host goes there together.
        class_logits = torch.stack([_logits(o).float() for o in objects])
        costs: dict[Task, Tensor] = {"objects": self._object_costs(class_logits, objects, targets.objects)}
        sizes: dict[Task, Sequence[int]] = {"objects": targets.objects.counts}
        similarity = None
        if grounding is not None:
            if phrases is None:
                raise ValueError("the targets have phrases: their text embeddings are needed")
            class_vectors = [g.class_vectors for g in spoken]
            similarity = text_logits(class_vectors, phrases, grounding.counts, logit_scale)
            costs["grounding"] = self._mask_costs("grounding", spoken, grounding, self.config.costs)
            chances = similarity.detach().softmax(dim=2)  # over queries
            costs["grounding"] -= self.config.costs.category * chances
            sizes["grounding"] = grounding.counts
        pairs = assign(costs, sizes)

        ce = self._label_loss(class_logits, pairs["objects"], targets.objects)
        raw = {"loss_mask_ce": _per(ce, counts.labels)}
        raw |= self._mask_terms("objects", "loss_mask", objects, pairs, targets.objects, counts.segments)
        if marked and targets.spatial is not None:
            raw |= self._spatial_terms(marked, targets.spatial, pairs, counts.prompts)
        if grounding is not None and similarity is not None:
            ce = contrastive_loss(similarity, pairs["grounding"], grounding, self.config.mode_weights)
            raw["loss_grounding_ce"] = _per(ce, counts.grounded_images)
            raw |= self._mask_terms("grounding", "loss_grounding", spoken, pairs, grounding, counts.phrases)
        elif spoken:
            zeros = torch.stack([touch((g.masks, g.class_vectors)) for g in spoken])
            raw |= {f"loss_grounding_{kind}": zeros for kind in ("ce", "bce", "dice")}
        return LossTerms(raw, self._weights(), pairs)

    def _speaks(self, phrases: Sequence[int]) -> bool:
        return all(phrases) if self.config.grounding_all_or_nothing else any(phrases)

    def _object_costs(
        self, logits: Tensor, predicted: Sequence[ObjectPredictions], targets: ObjectTargets
    ) -> Tensor:
        rows, _ = padded_rows(targets.counts, logits.device)
        layers, images, queries, _ = logits.shape
        if rows.shape[1] == 0:
            return logits.new_zeros(layers, images, queries, 0)
        categories = targets.categories.index_select(0, rows.reshape(-1)).view_as(rows)
        probability = logits.detach().softmax(-1)
        chosen = probability.gather(-1, categories[None, :, None].expand(layers, -1, queries, -1))
        costs = self._mask_costs("objects", predicted, targets, self.config.costs)
        return costs - self.config.costs.category * chosen

    def _mask_costs(
        self, task: Task, predicted: Sequence[Predicted], targets: MaskTargets, costs: MatchCosts
    ) -> Tensor:
        masks = [p.masks.detach() for p in predicted]
        return mask_costs(task, masks, targets.masks, targets.counts, costs, self.points)

    def _mask_terms(
        self,
        task: Task,
        name: str,
        predicted: Sequence[Predicted],
        pairs: dict[Task, Pairs],
        targets: MaskTargets,
        count: float,
    ) -> dict[str, Tensor]:
        bce, dice = mask_losses(task, [p.masks for p in predicted], pairs[task], targets.masks, self.points)
        return {f"{name}_bce": _per(bce, count), f"{name}_dice": _per(dice, count)}

    def _label_loss(self, logits: Tensor, pairs: Pairs, targets: ObjectTargets) -> Tensor:
        """Weighted cross entropy of every object query; the background where it is unmatched: [L], summed."""
        background = logits.shape[-1] - 1
        labels = torch.full(
            (len(logits), logits.shape[1] * logits.shape[2]), background, device=logits.device
        )
        labels.scatter_(1, pairs.query, targets.categories[pairs.target])
        weight = torch.where(labels == background, self.config.no_object, 1.0)
        losses = F.cross_entropy(logits.flatten(0, 2), labels.reshape(-1), reduction="none")
        return (losses.view_as(labels) * weight).sum(1)

    def _spatial_terms(
        self,
        predicted: Sequence[SpatialPredictions],
        targets: SpatialTargets,
        pairs: dict[Task, Pairs],
        prompts: float,
    ) -> dict[str, Tensor]:
        """Matches every prompt with one of its own queries (into `pairs`); prompts without a mask teach
        nothing.
        """
        if not any(targets.present):
            zeros = torch.stack([touch((p.masks, p.mask_vectors)) for p in predicted])
            return {f"loss_spatial_{kind}": zeros for kind in ("ce", "bce", "dice")}
        logits = prompt_logits(predicted, targets.counts, self.config.padded_prompts_compete)
        costs = self.config.spatial_costs
        by_mask = self._mask_costs("spatial", predicted, targets, costs)
        pairs["spatial"] = choose_own(by_mask, logits.detach(), costs.category, targets.counts)
        kept = only(pairs["spatial"], targets.present)
        ce = choice_loss(logits, kept, targets.counts)
        masks = self._mask_terms("spatial", "loss_spatial", predicted, {"spatial": kept}, targets, prompts)
        return {"loss_spatial_ce": _per(ce, prompts)} | masks

    def _weights(self) -> dict[str, float]:
        own = self.config
        tasks = {"mask": own.objects, "grounding": own.grounding, "spatial": own.spatial}
        return {
            f"loss_{task}_{kind}": value for task, w in tasks.items() for kind, value in asdict(w).items()
        }


def _per(total: Tensor, count: float) -> Tensor:
    """A sum over things, divided by their number in the whole step; where there are none the sum is zero."""
    return total / (count or 1.0)


def touch(tensors: Iterable[Tensor]) -> Tensor:
    """Zero, but depending on every one of `tensors`.

    Added to the loss it gives parameters that a step did not use (the memory queries when there was no
    refinement round, the prompt projections when no image had a prompt) a zero gradient on every rank, so DDP
    needs no search for unused parameters. The original leaves them without one (`model/ORIGINAL.md`, fault
    6).
    """
    return torch.stack([t.reshape(-1)[:1].float().sum() * 0.0 for t in tensors]).sum()


def _logits(objects: ObjectPredictions) -> Tensor:
    if objects.logits is None:
        raise ValueError(
            "the predictions have no class logits: decode with the text embeddings of the categories"
        )
    return objects.logits
