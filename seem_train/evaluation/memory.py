"""How much memory an evaluation will take, told before it is taken: the largest photo decides."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from seem_train.config import EvalTask
from seem_train.data.dataset import SegmentationSet
from seem_train.data.image_scale import Scale
from seem_train.evaluation.scorers import LARGEST_SEMANTIC
from seem_train.evaluation.tasks import scale_of
from seem_train.model.footprint import peak_bytes, weight_bytes, without_numbers
from seem_train.model.postprocess import LARGEST_STACK
from seem_train.model.seem import SEEM

_PHOTO = 12  #: bytes a pixel: photo and id maps, two images read ahead
_MAP = 40  #: … and while a panoptic result is decided
#: stacks of masks, of `LARGEST_STACK` floats at most, that a task holds at one time
_STACKS: dict[EvalTask, float] = {"panoptic": 5, "instance": 6, "grounding": 2, "interactive": 4.2}


def estimate(
    model: SEEM,
    images: SegmentationSet,
    tasks: Sequence[EvalTask],
    size: int | None = None,
    limit: int | None = None,
) -> int:
    """Bytes of the peak of `evaluate` on the CPU, weights included, the interpreter and torch left out.

    Tests hold it within a factor of 1.5 of what was measured.

    Args:
        size, limit: as in `EvaluationSettings`.
    """
    photos = images.images[:limit]
    pixels, height, width = max((i.height * i.width, i.height, i.width) for i in photos)
    queries = model.config.decoder.queries
    counts = {"grounding": _most(images, True), "interactive": _most(images, not any(images.things))}
    at_once = max(1, LARGEST_STACK // pixels)
    needs = [0.0]
    for task, stacks in _STACKS.items():
        masks = min(at_once, counts.get(task, queries))
        if task in tasks:
            needs.append(stacks * 4 * pixels * masks + (_MAP * pixels if task == "panoptic" else 0))
    if "semantic" in tasks:
        needs.append(4 * queries * min(pixels, LARGEST_SEMANTIC))
    scales = {scale_of(task, size) for task in tasks}
    twin = without_numbers(model)
    seen = sum(_encoding(twin, scale, height, width) for scale in scales)
    return round(weight_bytes(model) + seen + _PHOTO * pixels + max(needs))


def _most(images: SegmentationSet, every: bool) -> int:
    """Of an image's segments without crowds, or its things alone, the greatest number."""
    things = {category.id for category in images.categories if category.isthing or every}
    return max(
        sum(not s.iscrowd and s.category_id in things for s in image.segments) for image in images.images
    )


def _encoding(twin: SEEM, scale: Scale, height: int, width: int) -> int:
    """Bytes of looking at a photo; what is seen is kept until all tasks are done."""
    photo = torch.zeros(1, 3, *scale.size(height, width), device="meta")
    return peak_bytes(lambda: twin.decode(twin.encode_image(photo)))
