"""Panoptic quality (Kirillov et al., arXiv 1801.00868), number for number as panopticapi counts it.

Straight from id maps in memory: no PNG, no sorting of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from seem_data.layout import CategoryRow
from seem_train.metrics.counting import count_pairs, from_fixed_point, indices_of, paired_runs, to_fixed_point


@dataclass(frozen=True)
class QualityScore:
    """PQ = SQ · RQ of one category, or their means over `categories` of them."""

    pq: float
    sq: float
    rq: float
    #: how many took part in the mean (panopticapi's `n`); 0 where there was nothing to score
    categories: int = 1


@dataclass(frozen=True)
class PanopticScores:
    """`all`, `things` and `stuff` are means over the categories that occur in truth or prediction.

    Where none occurs (panopticapi divides by zero there) all three numbers are 0 and `categories` is 0.
    `per_class` has every category by its id; those that never occurred are 0 with `categories` 0.
    """

    all: QualityScore
    things: QualityScore
    stuff: QualityScore
    per_class: dict[int, QualityScore]
    images: int


class SegmentRow(TypedDict):
    """A segment of a panoptic id map, as COCO calls its fields."""

    id: int
    category_id: int


class TrueSegment(SegmentRow, total=False):
    """Of the ground truth; left out where it is not known."""

    iscrowd: int
    area: int


class PanopticQuality:
    """Counts matches image by image.

    Args:
        categories: COCO panoptic categories, each with `id` and `isthing`.
    """

    def __init__(self, categories: Sequence[CategoryRow]) -> None:
        self._ids = [int(category["id"]) for category in categories]
        self._index = {id_: index for index, id_ in enumerate(self._ids)}
        self._isthing = np.array([bool(category["isthing"]) for category in categories], bool)
        #: [4, C] int64: sum of matched IoUs (fixed point), true positives, false positives, false negatives
        self.counts = np.zeros((4, len(self._ids)), np.int64)
        self.images = 0

    def update(
        self,
        pred_id_map: np.ndarray,
        pred_segments: Sequence[SegmentRow],
        gt_id_map: np.ndarray,
        gt_segments: Sequence[TrueSegment],
    ) -> np.ndarray:
        """Count one image.

        Args:
            pred_id_map, gt_id_map: [H, W] segment ids, 0 = unlabelled.
            pred_segments: dicts with `id` and `category_id`.
            gt_segments: likewise, with `iscrowd` and `area` where known. A ground-truth id of the map that
                is not listed is no segment and not void either, as in panopticapi.

        Returns:
            What this image added to `counts`, [4, C]; `quality` makes a score of it.

        Raises:
            ValueError: the maps differ in size, or map and list of the prediction do not name the same
                segments, or a category is unknown.
        """
        gt, pred = list(gt_segments), list(pred_segments)
        gt_ids, pred_ids = [segment["id"] for segment in gt], [segment["id"] for segment in pred]
        gt_category, pred_category = self._category_indices(gt), self._category_indices(pred)
        crowd = np.array([segment.get("iscrowd", 0) == 1 for segment in gt], bool)

        # Two more rows and columns than segments: of pixels that are void, and of ids listed nowhere.
        void = -2
        gt_runs, pred_runs, lengths = paired_runs(gt_id_map, pred_id_map)
        rows = indices_of(gt_runs, gt_ids)
        columns = indices_of(pred_runs, pred_ids)
        shared = count_pairs(rows, columns, lengths, (len(gt) + 2, len(pred) + 2))
        overlap, pred_area = shared[:-2, :-2], shared[:, :-2].sum(0)
        unlisted = pred_runs[columns == len(pred) + 1] if shared[:, -1].any() else pred_runs[:0]
        self._check_prediction(pred_ids, pred_area, unlisted)
        gt_area = np.array([s.get("area", n) for s, n in zip(gt, shared[:-2].sum(1).tolist(), strict=True)])

        comparable = (gt_category[:, None] == pred_category) & ~crowd[:, None]
        rows, columns = np.nonzero(comparable & (overlap > 0))
        intersection = overlap[rows, columns]
        union = pred_area[columns] + gt_area[rows] - intersection - shared[void, columns]
        iou = intersection / union
        match = iou > 0.5
        rows, columns, iou = rows[match], columns[match], iou[match]

        gt_missed = ~crowd
        gt_missed[rows] = False
        # A prediction that lies mostly on void, or on a crowd of its category, is neither right nor wrong.
        excused = shared[void, :-2].copy()
        crowd_of = {gt_category[row]: row for row in np.flatnonzero(crowd)}  # the last one counts
        for category, row in crowd_of.items():
            excused += np.where(pred_category == category, overlap[row], 0)
        pred_wrong = excused <= 0.5 * pred_area
        pred_wrong[columns] = False

        return self._add(iou, gt_category[rows], pred_category[pred_wrong], gt_category[gt_missed])

    def _add(self, iou: np.ndarray, matched: np.ndarray, wrong: np.ndarray, missed: np.ndarray) -> np.ndarray:
        """Count an image: IoUs of its matches, and categories of what matched, was wrong, was missed."""
        added = np.zeros_like(self.counts)
        np.add.at(added[0], matched, to_fixed_point(iou))
        for row, categories in enumerate((matched, wrong, missed), start=1):
            added[row] = np.bincount(categories, minlength=added.shape[1])
        self.counts += added
        self.images += 1
        return added

    def merge(self, other: PanopticQuality) -> None:
        """Add what another process counted (of other images)."""
        self.counts += other.counts
        self.images += other.images

    def quality(self, counts: np.ndarray) -> QualityScore:
        """Mean quality over the categories that occur in counts [4, C]."""
        return _mean(_per_category(counts))

    def result(self) -> PanopticScores:
        per_category = _per_category(self.counts)
        return PanopticScores(
            all=_mean(per_category),
            things=_mean(per_category[:, self._isthing]),
            stuff=_mean(per_category[:, ~self._isthing]),
            per_class={
                id_: QualityScore(*map(float, column[:3]), categories=int(column[3]))
                for id_, column in zip(self._ids, per_category.T, strict=True)
            },
            images=self.images,
        )

    def _category_indices(self, segments: Sequence[SegmentRow]) -> np.ndarray:
        indices = [self._index.get(segment["category_id"], -1) for segment in segments]
        if -1 in indices:
            unknown = {segment["category_id"] for segment in segments} - self._index.keys()
            raise ValueError(f"segments of unknown categories: {sorted(unknown)}")
        return np.array(indices, np.intp)

    @staticmethod
    def _check_prediction(ids: list[int], areas: np.ndarray, unlisted: np.ndarray) -> None:
        if len(unlisted):
            values = np.unique(unlisted).tolist()
            raise ValueError(f"the predicted id map holds segments that are not listed: {values}")
        if not areas.all():
            absent = [id_ for id_, area in zip(ids, areas, strict=True) if not area]
            raise ValueError(f"predicted segments are listed that the id map does not hold: {absent}")


def _per_category(counts: np.ndarray) -> np.ndarray:
    """[4, C]: PQ, SQ, RQ, and 1 where the category occurred."""
    iou = from_fixed_point(counts[0])
    tp, fp, fn = counts[1:]
    occurs = (tp + fp + fn) > 0
    weight = np.where(occurs, tp + 0.5 * fp + 0.5 * fn, 1.0)
    return np.stack((iou / weight, iou / np.maximum(tp, 1), tp / weight, occurs))


def _mean(per_category: np.ndarray) -> QualityScore:
    occurring = per_category[:3, per_category[3] > 0]
    if not occurring.shape[1]:
        return QualityScore(0.0, 0.0, 0.0, 0)
    pq, sq, rq = occurring.mean(1)
    return QualityScore(float(pq), float(sq), float(rq), occurring.shape[1])
