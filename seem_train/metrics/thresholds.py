"""From which score on an answer is worth showing: where the F1 score on labelled data is greatest."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class BestThreshold:
    """What is right among all that scores at least `score`."""

    score: float
    f1: float
    precision: float
    recall: float
    truths: int  #: how many there were to find


@dataclass
class ThresholdSearch:
    """Collects scores, and whether each was right, image by image."""

    truths: int = 0
    scores: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)

    def update(self, scores: np.ndarray, right: np.ndarray, truths: int) -> None:
        """
        Args:
            scores, right: [N] of what was found.
            truths: how many there were to find.
        """
        self.truths += truths
        self.scores += scores.astype(float).tolist()
        self.right += right.astype(bool).tolist()

    def merge(self, other: ThresholdSearch) -> None:
        """Add what another process collected (of other images)."""
        self.truths += other.truths
        self.scores += other.scores
        self.right += other.right

    def best(self) -> BestThreshold | None:
        """None where nothing that was found is right. Between two scores the threshold lies in the middle."""
        if not any(self.right):
            return None
        order = np.argsort(-np.array(self.scores), kind="stable")
        scores, right = np.array(self.scores)[order], np.array(self.right)[order]
        hits, found = np.cumsum(right), np.arange(1, len(right) + 1)
        f1 = 2 * hits / (found + self.truths)
        last_of_its_score = np.append(scores[1:] < scores[:-1], True)
        place = int(np.argmax(np.where(last_of_its_score, f1, -1)))
        below = scores[place + 1] if place + 1 < len(scores) else scores[place]
        return BestThreshold(
            score=float(scores[place] + below) / 2,
            f1=float(f1[place]),
            precision=float(hits[place] / found[place]),
            recall=float(hits[place] / self.truths),
            truths=self.truths,
        )
