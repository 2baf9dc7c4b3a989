"""Golden cases of evaluation: post-processing, grounding, simulated clicks, metrics (see `compare`)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seem_train.data.clicks import next_click
from seem_train.metrics.grounding import GroundingScores
from seem_train.metrics.interactive import InteractiveScores
from seem_train.model import postprocess
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import ImageFeatures
from tests.parity.golden import LOGITS, MASKS, Case, Comparison


@dataclass(frozen=True)
class Instances:
    """N instances, best first."""

    scores: Tensor  #: [N] class probability × mean mask probability inside the mask
    category_index: Tensor  #: [N] int64
    masks: Tensor  #: [N, H, W] bool


def instances(
    logits: Tensor, masks: Tensor, top_k: int = 100, is_thing: Sequence[bool] | Tensor | None = None
) -> Instances:
    """The best pairs of `postprocess.rank_pairs`, with the masks of their queries at one size."""
    scores, category, query = postprocess.rank_pairs(logits, top_k, is_thing)
    # Mask quality once a query, not once a pair.
    used, slot = query.unique(return_inverse=True)
    foreground, quality = postprocess.judge_masks(masks[used])
    scores = scores * quality[slot]
    order = scores.argsort(descending=True, stable=True)
    return Instances(scores[order], category[order], foreground[slot[order]])


def replay_evaluation(case: Case, result: Comparison) -> tuple[str, ...]:
    model, golden, wanted = case.model(), case.tensors, case.info["batch"]
    images = [golden[f"image{i}"] for i in range(len(wanted))]
    features = model.encode_image(images)
    objects = model.decode(features, categories=case.categories()).final.objects
    assert objects.logits is not None
    things = _things(case, objects.logits.shape[-1] - 1)
    settings = model.config.postprocess
    for i, size in enumerate(wanted):
        masks = postprocess.resize_masks(
            objects.masks[i], features.padded, features.sizes[i], (size["height"], size["width"])
        )
        logits = objects.logits[i]
        scores = postprocess.semantic(logits, masks)
        result.equal(f"{i}.sem_seg_argmax", scores.argmax(0))
        for stride in case.with_prefix(f"{i}.sem_seg_strided"):
            step = int(stride)
            result.close(f"{i}.sem_seg_strided{stride}", scores[:, ::step, ::step], MASKS)
        total = golden.get(f"{i}.sem_seg_sum_per_class", scores.new_zeros(1))
        result.close(f"{i}.sem_seg_sum_per_class", scores.sum((1, 2)), 1e-5 * float(total.max()) + MASKS)
        panoptic = postprocess.panoptic(
            logits, masks, things, settings.object_threshold, settings.overlap_threshold
        )
        _compare_panoptic(result, f"{i}.panoptic", panoptic, case.info["segments_info"][i])
        found = instances(logits, masks, settings.top_instances, things)
        _compare_instances(result, f"{i}.inst_", found)
    return ("image", *(f"{i}.inst_boxes" for i in range(len(wanted))))  # the original's boxes are all zero


def _things(case: Case, categories: int) -> list[bool]:
    """Which categories are things, from a sentence such as "contiguous ids 0..79"."""
    found = re.search(r"(\d+)\.\.(\d+)", str(case.info.get("thing_classes", "")))
    if found is None:
        raise KeyError("thing_classes names no range of ids")
    return [int(found[1]) <= i <= int(found[2]) for i in range(categories)]


def _compare_panoptic(
    result: Comparison, name: str, ours: postprocess.PanopticResult, segments: list[dict[str, object]]
) -> None:
    result.equal(name, ours.id_map)
    described = [{"id": s.id, "isthing": s.isthing, "category_id": s.category_index} for s in ours.segments]
    result.same(f"{name} segments", described, segments)


def _compare_instances(result: Comparison, prefix: str, ours: Instances) -> None:
    """Golden instances are sorted by score; of the masks the first few are stored."""
    golden = result.case.tensors
    result.close(f"{prefix}scores", ours.scores, LOGITS)
    result.equal(f"{prefix}classes", ours.category_index)
    if f"{prefix}masks" in golden:
        result.equal(f"{prefix}masks", ours.masks[: len(golden[f"{prefix}masks"])])
    if f"{prefix}mask_area" in golden:
        result.equal(f"{prefix}mask_area", ours.masks.sum((1, 2)))


def replay_postprocessing(case: Case, result: Comparison) -> tuple[str, ...]:
    golden, info = case.tensors, case.info
    logits, masks = golden["mask_cls"], golden["mask_pred"]
    scores = postprocess.semantic(logits, masks)
    if "sem_seg" in golden:
        step = -(-masks.shape[-1] // golden["sem_seg"].shape[-1])
        result.close("sem_seg", scores[:, ::step, ::step], LOGITS)
    result.equal("sem_argmax", scores.argmax(0))
    things = _evaluation_things(case, logits.shape[-1] - 1)
    panoptic = postprocess.panoptic(
        logits, masks, things, info["object_mask_threshold"], info["overlap_threshold"]
    )
    _compare_panoptic(result, "panoptic", panoptic, info["segments_info"])
    _compare_instances(result, "inst_", instances(logits, masks, info["topk"], things))
    return ("mask_",)


def _evaluation_things(case: Case, categories: int) -> list[bool]:
    source = next(c for c in (case, *case.siblings()) if "thing_classes" in c.info)
    return _things(source, categories)


def replay_grounding(case: Case, result: Comparison) -> tuple[str, ...]:
    """All phrases in one pass; with `rand_shape`, a pass for each with its stroke, dilated first."""
    model, golden = case.model(), case.tensors
    features = model.encode_image(golden["image"])
    texts, draws = [sentences[0] for sentences in case.info["texts"]], case.draws()
    if (strokes := golden.get("rand_shape")) is None:
        passes = [(texts, None)]
    else:
        side = model.config.postprocess.click_dilation
        dilated = F.max_pool2d(strokes.float(), side, stride=1, padding=side // 2).bool()
        passes = [([t], d[None]) for t, d in zip(texts, dilated, strict=True)]
    masks = []
    for phrases, stroke in passes:
        prompts = ImagePrompts(phrases, positive=stroke)
        grounding = model.decode(features, prompts, draws=draws).final.grounding
        assert grounding is not None
        embeddings = model.encode_text(phrases)
        _, best = postprocess.select_grounding(
            grounding.class_vectors[0], embeddings.vectors, model.language.logit_scale
        )
        masks.append(grounding.masks[0][best])
    result.all_used(draws)
    height, width = golden["grounding_mask"].shape[-2:]
    resized = postprocess.resize_masks(torch.cat(masks), features.padded, features.sizes[0], (height, width))
    result.close("grounding_mask", resized, MASKS)
    return ("image", "rand")


def replay_interaction(case: Case, result: Comparison) -> tuple[str, ...]:
    """Rounds of clicks by a simulated user, starting from one click on each object."""
    model, golden = case.model(), case.tensors
    features = model.encode_image(golden["image"])
    height, width = features.sizes[0]
    rounds = sum(name.endswith(".prev_mask") for name in golden)
    gt = F.pad(golden["gt_masks"], (0, features.padded[1] - width, 0, features.padded[0] - height)).bool()
    first = golden["rand_shape"][:, 0].bool()
    positive = F.pad(first, (0, features.padded[1] - width, 0, features.padded[0] - height))
    negative = torch.zeros_like(positive)
    draws, previous, ious = case.draws(), None, []
    truth = golden["gt_masks_orisize"]
    for step in range(rounds):
        prompts = ImagePrompts((), positive, negative, previous)
        previous = model.refine(features, prompts, draws)[0]
        result.close(f"step{step}.prev_mask", previous[None], MASKS)
        ious.append(_iou(previous, features, truth))
        positive, negative = next_click(previous, gt, positive, negative)
        result.equal(f"step{step}.next_pos", positive)
        result.equal(f"step{step}.next_neg", negative)
    result.all_used(draws)
    for number, iou in enumerate(torch.stack(ious, dim=1)):
        result.close(f"iou.{number}", iou, LOGITS)
    return ("image", "gt_masks", "rand")


def _iou(logits: Tensor, features: ImageFeatures, truth: Tensor) -> Tensor:
    """[K] IoU with the truth at the original size, whose pixels of −1 do not count."""
    size = (truth.shape[-2], truth.shape[-1])
    masks = postprocess.resize_masks(logits, features.padded, features.sizes[0], size, mode="bilinear")
    predicted, counted = masks.sigmoid() > 0.5, truth >= 0
    overlap = (predicted & (truth == 1) & counted).sum((1, 2))
    union = ((predicted | (truth == 1)) & counted).sum((1, 2))
    return overlap / union


def replay_next_click(case: Case, result: Comparison) -> tuple[str, ...]:
    golden = case.tensors
    logits, positive, negative = golden["prev_mask"][0], golden["pos_in"].bool(), golden["neg_in"].bool()
    ours = next_click(logits, golden["gt_masks"].bool(), positive, negative)
    result.equal("pos_out", ours[0])
    result.equal("neg_out", ours[1])
    return ("prev_mask", "gt_masks", "pos_in", "neg_in", "false_positive_mask")


def replay_metrics(case: Case, result: Comparison) -> tuple[str, ...]:
    golden, info = case.tensors, case.info
    phrases = GroundingScores()
    for logits, gt in zip(golden["logits"], golden["gt"], strict=True):
        phrases.update((logits.sigmoid() > 0.5).numpy(), gt.bool().numpy())
    scores = phrases.result()
    ours = {f"precision@{t}": 100 * p for t, p in scores.precision.items()}
    ours |= {"cIoU": 100 * scores.ciou, "mIoU": 100 * scores.miou}
    clicks = InteractiveScores(golden["ious"].shape[1])
    clicks.update(golden["ious"].numpy())
    noc = clicks.result()
    ours_clicks = noc.noc | {"iou_max_iter": noc.iou_at[_scored_click(case) - 1]}
    for what, found in (("grounding", ours), ("noc", ours_clicks)):
        for name, golden_value in info[what].items():
            result.close(f"{what} {name}", torch.tensor(found[name]), 1e-4, torch.tensor(golden_value))
    return ("logits", "gt", "ious")


def _scored_click(case: Case) -> int:
    """After which click the original reports the mean IoU: a setting of the model that the folder has."""
    settings = json.loads(case.config_file().read_text(encoding="utf-8"))
    return settings["STROKE_SAMPLER"]["EVAL"]["IOU_ITER"]
