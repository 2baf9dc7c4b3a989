"""Interactive segmentation: how many clicks a user needs (NoC, as RITM and SEEM report it)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seem_train.metrics.counting import from_fixed_point, to_fixed_point

THRESHOLDS = (0.5, 0.8, 0.85, 0.9)


@dataclass(frozen=True)
class InteractiveResult:
    """All 0 where there was no object."""

    #: mean number of clicks until the IoU reaches "0.5", …; `max_clicks` if it never does
    noc: dict[str, float]
    failures: dict[str, int]  #: objects that never reach it
    iou_at: list[float]  #: mean IoU after click 1, 2, …, `max_clicks`
    objects: int
    max_clicks: int


class InteractiveScores:
    """Counts object by object."""

    def __init__(self, max_clicks: int = 20) -> None:
        self.max_clicks = max_clicks
        self.objects = 0
        self.clicks = np.zeros(len(THRESHOLDS), np.int64)
        self.failures = np.zeros(len(THRESHOLDS), np.int64)
        self.iou_sums = np.zeros(max_clicks, np.int64)  #: fixed point

    def update(self, ious: np.ndarray) -> None:
        """Count K objects.

        Args:
            ious: [K, n] IoU after each click, n ≤ max_clicks; where n is less, the user was content after the
                n-th click and the last IoU stands for the clicks not made.
        """
        count, clicks = ious.shape
        if not 0 < clicks <= self.max_clicks:
            raise ValueError(f"IoUs after {clicks} clicks, but 1 to {self.max_clicks} are counted")
        # In the precision they come in: 0.9 as float32 reaches the threshold 0.9.
        thresholds = np.array(THRESHOLDS, ious.dtype if ious.dtype.kind == "f" else np.float64)
        reached = ious[:, :, None] >= thresholds  # [K, n, T]
        ever = reached.any(1)
        self.clicks += np.where(ever, reached.argmax(1) + 1, self.max_clicks).sum(0)
        self.failures += (~ever).sum(0)
        self.iou_sums[:clicks] += to_fixed_point(ious).sum(0)
        self.iou_sums[clicks:] += to_fixed_point(ious[:, -1]).sum()
        self.objects += count

    def merge(self, other: InteractiveScores) -> None:
        """Add what another process counted (of other images)."""
        if other.max_clicks != self.max_clicks:
            raise ValueError(f"cannot merge scores of {self.max_clicks} and of {other.max_clicks} clicks")
        self.objects += other.objects
        self.clicks += other.clicks
        self.failures += other.failures
        self.iou_sums += other.iou_sums

    def result(self) -> InteractiveResult:
        objects = max(self.objects, 1)
        return InteractiveResult(
            noc={str(t): float(c / objects) for t, c in zip(THRESHOLDS, self.clicks, strict=True)},
            failures={str(t): int(c) for t, c in zip(THRESHOLDS, self.failures, strict=True)},
            iou_at=(from_fixed_point(self.iou_sums) / objects).tolist(),
            objects=self.objects,
            max_clicks=self.max_clicks,
        )
