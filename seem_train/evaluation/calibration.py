"""Which of what a model found is right, to learn from which score on it is worth showing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from seem_data.layout import ImageRecord
from seem_train.data.dataset import SegmentationSet
from seem_train.metrics.instance import RunLengths, TrueInstance
from seem_train.metrics.thresholds import ThresholdSearch
from seem_train.runtime import stream_seed

RIGHT = 0.5  #: IoU from which on something is found


def add_instances(
    search: ThresholdSearch,
    scores: np.ndarray,
    categories: np.ndarray,
    found: Sequence[RunLengths],
    true: Sequence[TrueInstance],
) -> None:
    """Count one image's instances: the best first takes the true one of its category that it covers best.

    Args:
        scores, categories: [N]; category ids.
        found: N run-length encoded masks.
        true: COCO annotations; what lies on a crowd of its category is neither right nor wrong.
    """
    crowd = np.array([bool(row["iscrowd"]) for row in true], bool)
    same = categories[:, None] == np.array([row["category_id"] for row in true], int)[None]
    masks = [row["segmentation"] for row in true]
    ious = np.zeros((len(found), len(true)))
    if len(found) and len(true):
        ious = np.asarray(coco_mask.iou(list(found), masks, crowd.astype(np.uint8).tolist()))
    ious = np.where(same, ious, 0.0)
    taken = np.zeros(len(true), bool)
    counted, right = [], []
    for place in np.argsort(-scores, kind="stable").tolist():
        free = np.where(taken | crowd, 0.0, ious[place])
        best = int(free.argmax()) if len(true) else 0
        hit = len(true) > 0 and bool(free[best] >= RIGHT)
        if hit:
            taken[best] = True
        elif (ious[place] * crowd).max(initial=0.0) >= RIGHT:
            continue
        counted.append(place)
        right.append(hit)
    search.update(scores[counted], np.array(right, bool), int((~crowd).sum()))


class AbsentPhrases:
    """What is said of other images of a split, about categories that an image does not show."""

    def __init__(self, images: SegmentationSet) -> None:
        said: dict[int, dict[str, None]] = {}
        for row in images.split.grounding():
            for sentence in row.sentences[:1]:
                said.setdefault(row.category_id, {})[sentence.raw.lower()] = None
        if not images.split.has_grounding:
            said = {category.id: {category.name: None} for category in images.categories}
        self._said = {category: list(texts) for category, texts in said.items()}

    def of(self, image: ImageRecord, most: int) -> list[str]:
        """At most so many, drawn by the image's id."""
        shown = {segment.category_id for segment in image.segments}
        texts = [text for category, said in self._said.items() if category not in shown for text in said]
        draws = np.random.default_rng(stream_seed(image.id))
        chosen = draws.permutation(len(texts))[:most]
        return [texts[place] for place in sorted(chosen.tolist())]
