"""Golden cases of training: a whole step of the original, replayed with our model and losses.

Loss terms (1e-4 relative), all matchings (equal) and the gradient norm of every parameter (1e-3 relative) are
compared. Everything, from the loss weights to the points, is read from the case's files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seem_train.data.clicks import next_click
from seem_train.losses.criterion import Criterion, LossConfig, LossTerms, TaskWeights
from seem_train.losses.matcher import MatchCosts
from seem_train.losses.points import PointSource, Task
from seem_train.losses.targets import GroundingTargets, ObjectTargets, SpatialTargets, Targets
from seem_train.model.language import TextEmbeddings
from seem_train.model.predictions import Predictions
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.weights.opening import load_model
from tests.parity.fixed import GridPoints, ReplayDraws, official_terms, recorded_pairs
from tests.parity.golden import Case, Comparison

LOSS_TOLERANCE = 1e-4  #: relative
#: Losses below this are compared absolutely: the original's own float32 noise in logits is of order 1e-4.
LOSS_FLOOR = 0.1
GRADIENT_TOLERANCE = 1e-3  #: relative
#: Gradients this much smaller than the largest are rounding noise around zero and are compared absolutely.
GRADIENT_FLOOR = 1e-7

#: What the original calls the matching of a task, and the function that draws its points.
MODES: dict[Task, str] = {"objects": "default", "spatial": "spatial", "grounding": "grounding"}
_MATCHERS: dict[Task, str] = {
    "objects": "memory_efficient_forward",
    "spatial": "spatial_forward",
    "grounding": "grounding_forward",
}
_POINT_CALLERS = ("matcher.py:", "point_features.py:")


def of_images(case: Case, name: str) -> list[Tensor]:
    """The inputs ``in.0.<name>``, ``in.1.<name>``, …"""
    count = sum(n.startswith("in.") and n.endswith(".image") for n in case.tensors)
    return [case.tensors[f"in.{b}.{name}"] for b in range(count)]


@dataclass(frozen=True)
class RecordedPoints:
    """Points as the original drew them, by task and layer (0 is the final one)."""

    matching: dict[tuple[Task, int], Tensor]  #: [B, P, 2]
    losses: dict[tuple[Task, int], Tensor]  #: [M, P, 2]

    @classmethod
    def of(cls, case: Case) -> RecordedPoints:
        """The recording is in call order: for each layer, final first, the matching of one task image by
        image (or only of images with targets) and then the points of its losses; tasks that were not
        computed are absent."""
        matching: dict[tuple[Task, int], Tensor] = {}
        images = len(of_images(case, "image"))
        busy = [b for b, classes in enumerate(of_images(case, "gt_classes")) if len(classes)]
        layers = sum(m["mode"] == MODES["objects"] for m in case.info["matching"])
        for task, function in _MATCHERS.items():
            drawn = [
                case.tensors[d["key"]]
                for d in case.info["random_draws"]
                if d["caller"] == f"matcher.py:{function}"
            ]
            each = len(drawn) // layers
            for layer in range(layers if each else 0):
                points = torch.cat(drawn[layer * each : (layer + 1) * each])
                everywhere = points.new_zeros(images, *points.shape[1:])
                everywhere[busy if each < images else slice(None)] = points
                matching[task, layer] = everywhere
        order: list[Task] = [task for task in MODES if (task, 0) in matching]
        recorded = sorted((n for n in case.tensors if n.startswith("loss_points.")), key=_number)
        losses: dict[tuple[Task, int], Tensor] = {}
        for place, name in enumerate(recorded):
            losses[order[place % len(order)], place // len(order)] = case.tensors[name]
        return cls(matching, losses)

    def for_matching(self, task: Task, layers: int, images: int, device: torch.device) -> Tensor:
        found = torch.stack([self.matching[task, layer] for layer in range(layers)]).to(device)
        if found.shape[1] != images:
            raise ValueError(f"{task}: points are recorded for {found.shape[1]} images, asked for {images}")
        return found

    def for_losses(self, task: Task, layers: Sequence[int], logits: Tensor) -> Tensor:
        return torch.cat([self.losses[task, layer] for layer in layers]).to(logits.device)


def loss_config(decoder: dict[str, Any]) -> LossConfig:
    """The losses that MODEL.DECODER of the original's configuration describes, as its code executes it."""

    def weights(prefix: str) -> TaskWeights:
        return TaskWeights(
            ce=decoder[f"{prefix}CLASS_WEIGHT"],
            bce=decoder[f"{prefix}MASK_WEIGHT"],
            dice=decoder[f"{prefix}DICE_WEIGHT"],
        )

    objects, spatial, grounding = weights(""), decoder["COST_SPATIAL"], decoder["GROUNDING"]
    return LossConfig(
        objects=objects,
        grounding=weights("G"),
        spatial=weights("S"),
        costs=MatchCosts(objects.ce, objects.bce, objects.dice),
        spatial_costs=MatchCosts(spatial["CLASS_WEIGHT"], spatial["MASK_WEIGHT"], spatial["DICE_WEIGHT"]),
        no_object=decoder["NO_OBJECT_WEIGHT"],
        mode_weights={"text": grounding["TEXT_WEIGHT"], "class": grounding["CLASS_WEIGHT"]},
    ).as_executed()


@torch.enable_grad()
def replay_training(case: Case, result: Comparison) -> tuple[str, ...]:
    torch.manual_seed(0)
    model = load_model(case.path("config").parent, weights=case.path("weights"))
    model.requires_grad_(True).train()
    terms, targets, predictions = step(case, model)
    _compare_losses(result, terms)
    _compare_matchings(result, terms, targets, predictions)
    terms.total.backward()
    _compare_gradients(result, official_gradients(model))
    return ("",)  # the tensors are inputs, draws and norms; the losses stand in case.json


def _compare_losses(result: Comparison, terms: LossTerms) -> None:
    ours = {name: value.double() for name, value in official_terms(terms).items()}
    ours |= {"total": terms.total.detach()}
    theirs: dict[str, float] = {**result.case.info["raw_losses"], "total": result.case.info["total"]}
    if set(ours) != set(theirs):
        result.faults.append(f"loss terms differ: {sorted(set(ours) ^ set(theirs))[:4]}")
    for name in ours.keys() & theirs.keys():
        tolerance = LOSS_TOLERANCE * max(abs(theirs[name]), LOSS_FLOOR)
        result.close(name, ours[name], tolerance, torch.tensor(theirs[name], dtype=torch.float64))


def _compare_matchings(
    result: Comparison, terms: LossTerms, targets: Targets, predictions: Predictions
) -> None:
    final = predictions.final
    sizes: dict[Task, tuple[int, tuple[int, ...]]] = {
        "objects": (final.objects.masks.shape[1], targets.objects.counts)
    }
    if final.spatial is not None and targets.spatial is not None:
        sizes["spatial"] = (final.spatial.masks.shape[1], targets.spatial.counts)
    if final.grounding is not None and targets.grounding is not None:
        sizes["grounding"] = (final.grounding.masks.shape[1], targets.grounding.counts)
    for task, mode in MODES.items():
        theirs = [m["indices"] for m in result.case.info["matching"] if m["mode"] == mode]
        pairs = terms.pairs.get(task)
        ours = [] if pairs is None else list(zip(pairs.query.tolist(), pairs.target.tolist(), strict=True))
        result.same(f"{task}: layers matched", len(ours), len(theirs))
        for layer, (mine, golden) in enumerate(zip(ours, theirs, strict=False)):
            result.same(f"{task}, layer {layer}: matched", mine, recorded_pairs(golden, *sizes[task]))


def _compare_gradients(result: Comparison, ours: dict[str, Tensor]) -> None:
    info = result.case.info
    norms = result.case.tensors["grad_norm"]
    floor = GRADIENT_FLOOR * float(norms.max())
    for name, norm in zip(info["grad_norm_names"], norms, strict=True):
        if name in ours:
            tolerance = GRADIENT_TOLERANCE * max(float(norm), floor)
            result.close(f"|grad {name}|", ours[name].norm(), tolerance, norm)
        else:
            result.faults.append(f"{name}: no such parameter")
    for name in info["grad_none"]:
        if name not in ours or ours[name].any():
            result.faults.append(f"{name}: has a gradient, in the original it has none")


def step(case: Case, model: SEEM) -> tuple[LossTerms, Targets, Predictions]:
    """The forward half of the recorded training step, with our model and losses."""
    draws = ReplayDraws(_drawn(case, lambda caller: not caller.startswith(_POINT_CALLERS)))
    features = model.encode_image(of_images(case, "image"))
    categories = model.language.sentence_embeddings(case.info["prompts"])
    texts = [model.encode_text(g["texts"]) for g in case.info["groundings"]]
    spoken = [model.encode_text(_first_of_each_group(g)) for g in case.info["groundings"]]
    prompts = _prompts(case, model, features, spoken, draws)
    predictions = model.decode(features, prompts, categories, draws=draws, every_layer=True)
    if draws.used != len(draws.recorded):
        raise ValueError(f"only {draws.used} of {len(draws.recorded)} recorded draws were used")
    targets = _targets(case, features.padded)
    assert targets.grounding is not None
    vectors = [t.vectors[:count] for t, count in zip(texts, targets.grounding.counts, strict=True)]
    decoder = json.loads(case.path("config").read_text(encoding="utf-8"))["MODEL"]["DECODER"]
    source: PointSource = GridPoints(*case.info["grid"]) if case.info["grid"] else RecordedPoints.of(case)
    criterion = Criterion(loss_config(decoder), source)
    terms = criterion(predictions, targets, model.language.logit_scale, torch.cat(vectors))
    return terms, targets, predictions


def _prompts(
    case: Case, model: SEEM, features: ImageFeatures, texts: list[TextEmbeddings], draws: ReplayDraws
) -> list[ImagePrompts]:
    """The prompts of the last forward pass, after the recorded number of refinement rounds.

    All images get as many objects as the one with most, the rest without marks, as in the original, where
    memories carry the masks of such objects too.
    """
    most = max(len(shapes) for shapes in of_images(case, "spatial_rand_shape"))
    positive = [_padded(shapes, features.padded, most) for shapes in of_images(case, "spatial_rand_shape")]
    truth = [_padded(masks, features.padded) for masks in of_images(case, "spatial_gt_masks")]
    negative = [torch.zeros_like(p) for p in positive]
    previous: list[Tensor | None] = [None] * len(positive)
    for _ in range(case.info["rand_iter_num"]):
        given = [
            ImagePrompts(positive=p, negative=n, previous=before)
            for p, n, before in zip(positive, negative, previous, strict=True)
        ]
        refined = model.refine(features, given, draws)
        for b, (masks, known) in enumerate(zip(refined, truth, strict=True)):
            previous[b], real = masks, len(known)
            clicked = next_click(masks[:real], known, positive[b][:real], negative[b][:real])
            positive[b][:real], negative[b][:real] = clicked
    return [
        ImagePrompts(texts=t, positive=p, negative=n, previous=before)
        for t, p, n, before in zip(texts, positive, negative, previous, strict=True)
    ]


def _targets(case: Case, padded: tuple[int, int]) -> Targets:
    masks = [_padded(m, padded) for m in of_images(case, "gt_masks")]
    spatial = [_padded(m, padded) for m in of_images(case, "spatial_gt_masks")]
    # An image without phrases has an empty tensor of any shape.
    phrases = [
        _padded(m, padded) if m.numel() else torch.zeros(0, *padded, dtype=torch.bool)
        for m in of_images(case, "grounding_masks")
    ]
    counts = tuple(len(m) for m in phrases)
    described = case.info["groundings"]
    return Targets(
        ObjectTargets(
            torch.cat(masks), torch.cat(of_images(case, "gt_classes")), tuple(len(m) for m in masks)
        ),
        GroundingTargets(
            torch.cat(phrases),
            torch.cat(
                [torch.tensor(g["hash"][:count]) for g, count in zip(described, counts, strict=True)]
            ).long(),
            tuple(g["mode"] for g in described),
            counts,
        ),
        SpatialTargets(
            torch.cat(spatial),
            tuple(bool(mask.any()) for mask in torch.cat(spatial)),
            tuple(len(m) for m in spatial),
        ),
    )


def official_gradients(model: SEEM) -> dict[str, Tensor]:
    """Gradients under the official names and shapes; zero where a parameter got none."""
    result: dict[str, Tensor] = {}
    for ours, theirs in SEEM.OFFICIAL_PREFIX.items():
        part: Any = getattr(model, ours)
        tensors = {name: torch.zeros_like(tensor) for name, tensor in part.state_dict().items()}
        tensors.update({n: p.grad for n, p in part.named_parameters() if p.grad is not None})
        tensors = part.to_official(tensors) if hasattr(part, "to_official") else tensors
        result.update({theirs + name: tensor for name, tensor in tensors.items()})
    return result


def _first_of_each_group(grounding: dict[str, Any]) -> list[str]:
    """The texts whose tokens the queries see: phrases that count as equal are said once."""
    first = dict(zip(reversed(grounding["hash"]), reversed(range(len(grounding["hash"]))), strict=True))
    return [grounding["texts"][place] for place in sorted(first.values())]


def _padded(masks: Tensor, size: tuple[int, int], count: int = 0) -> Tensor:
    """Masks [N, H, W] as bool, zero-padded right and below, and with empty masks to at least `count`."""
    missing = max(count - len(masks), 0)
    return F.pad(masks != 0, (0, size[1] - masks.shape[-1], 0, size[0] - masks.shape[-2], 0, missing))


def _drawn(case: Case, wanted: Callable[[str], bool]) -> list[Tensor]:
    """The recorded draws of some callers, in their order."""
    return [case.tensors[d["key"]] for d in case.info["random_draws"] if wanted(d["caller"])]


def _number(name: str) -> int:
    return int(name.rsplit(".", 1)[1])
