"""Referring segmentation: one phrase, one mask (the scores of RefCOCO papers)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seem_train.metrics.counting import from_fixed_point, to_fixed_point

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class GroundingResult:
    """All 0 where there was no phrase."""

    ciou: float  #: sum of intersections over sum of unions: large objects weigh more
    miou: float  #: mean IoU over phrases
    precision: dict[str, float]  #: share of phrases whose IoU reaches "0.5", …, "0.9"
    phrases: int


class GroundingScores:
    """Counts phrase by phrase."""

    def __init__(self) -> None:
        #: int64: phrases, sum of intersections, of unions, of IoUs (fixed point), phrases at each threshold
        self.counts = np.zeros(4 + len(THRESHOLDS), np.int64)

    def update(self, prediction: np.ndarray, gt: np.ndarray) -> np.ndarray:
        """Count the phrases of one image from masks [T, H, W] bool each.

        Returns:
            IoU of every phrase [T] float64; 0 where prediction and truth are both empty, as in the original.
        """
        if prediction.shape != gt.shape:
            raise ValueError(f"masks of different shapes: {prediction.shape} and {gt.shape}")
        prediction, gt = prediction.astype(bool, copy=False), gt.astype(bool, copy=False)
        intersection = np.count_nonzero(prediction & gt, axis=(1, 2)).astype(np.int64)
        union = np.count_nonzero(prediction | gt, axis=(1, 2)).astype(np.int64)
        iou = intersection / np.maximum(union, 1)
        reached = [int(np.count_nonzero(iou >= threshold)) for threshold in THRESHOLDS]
        self.counts += np.array(
            [len(iou), intersection.sum(), union.sum(), to_fixed_point(iou).sum(), *reached], np.int64
        )
        return iou

    def merge(self, other: GroundingScores) -> None:
        """Add what another process counted (of other images)."""
        self.counts += other.counts

    def result(self) -> GroundingResult:
        phrases, intersection, union, iou, *reached = self.counts
        return GroundingResult(
            ciou=float(intersection / max(union, 1)),
            miou=float(from_fixed_point(iou) / max(phrases, 1)),
            precision={
                str(threshold): float(count / max(phrases, 1))
                for threshold, count in zip(THRESHOLDS, reached, strict=True)
            },
            phrases=int(phrases),
        )
