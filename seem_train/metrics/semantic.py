"""Semantic segmentation scores from one confusion matrix, defined as the original's evaluator has them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seem_train.metrics.counting import count_pairs, paired_runs


@dataclass(frozen=True)
class SemanticResult:
    """Means and, in the order of the categories, numbers per class; None where a class gives no number.

    A class's IoU and recall need ground truth of it, its precision a prediction. `miou` divides the sum of
    IoUs by the number of classes present in truth *or* prediction, so a class that is only imagined counts
    as zero. `mean_accuracy` is the mean recall, `mean_precision` that over the predicted classes. Every mean
    of nothing is 0.
    """

    miou: float
    fwiou: float  #: IoU weighted by the pixels of the class in the ground truth
    pixel_accuracy: float
    mean_accuracy: float
    mean_precision: float
    iou: list[float | None]
    precision: list[float | None]
    recall: list[float | None]
    images: int


class SemanticScores:
    """Counts pixels image by image.

    Args:
        categories: how many there are, C; their contiguous indices are 0..C-1.
    """

    def __init__(self, categories: int) -> None:
        self.categories = categories
        #: [C, C+1] int64: pixels of class (row) predicted as class (column) or, last, as nothing
        self.confusion = np.zeros((categories, categories + 1), np.int64)
        self.images = 0

    def update(self, prediction: np.ndarray, gt: np.ndarray) -> np.ndarray:
        """Count one image from class indices [H, W].

        Ground truth outside 0..C-1 (255 or 65535 in the dataset layout) is ignored. A prediction outside it
        is no class: a miss wherever there is ground truth.

        Returns:
            What this image added to `confusion`.
        """
        true, predicted, lengths = paired_runs(gt, prediction)
        known = (true >= 0) & (true < self.categories)
        true, predicted, lengths = true[known], predicted[known].astype(np.int64), lengths[known]
        is_class = (predicted >= 0) & (predicted < self.categories)
        predicted = np.where(is_class, predicted, self.categories)
        added = count_pairs(true, predicted, lengths, (self.categories, self.categories + 1))
        self.confusion += added
        self.images += 1
        return added

    def merge(self, other: SemanticScores) -> None:
        """Add what another process counted (of other images)."""
        self.confusion += other.confusion
        self.images += other.images

    def result(self) -> SemanticResult:
        hits = np.diagonal(self.confusion).astype(np.float64)
        true = self.confusion.sum(1)
        predicted = self.confusion[:, :-1].sum(0)
        union = true + predicted - hits
        iou, recall, precision = _ratio(hits, union), _ratio(hits, true), _ratio(hits, predicted)
        in_truth, in_either = true > 0, (true + predicted) > 0
        total = max(int(true.sum()), 1)
        return SemanticResult(
            miou=float(iou[in_truth].sum() / max(int(in_either.sum()), 1)),
            fwiou=float((iou * true).sum() / total),
            pixel_accuracy=float(hits.sum() / total),
            mean_accuracy=_mean(recall[in_truth]),
            mean_precision=_mean(precision[predicted > 0]),
            iou=_listed(iou, in_truth),
            precision=_listed(precision, predicted > 0),
            recall=_listed(recall, in_truth),
            images=self.images,
        )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _listed(values: np.ndarray, defined: np.ndarray) -> list[float | None]:
    return [value if known else None for value, known in zip(values.tolist(), defined.tolist(), strict=True)]
