"""The loss of one step, forward and backward, beside a plain layer-by-layer, image-by-image version of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from seem_train.losses.criterion import Criterion
from seem_train.losses.points import RandomPoints
from seem_train.losses.targets import ObjectTargets, Targets
from seem_train.model.predictions import LayerPredictions, ObjectPredictions, Predictions
from tests.benchmarks.original.losses import OriginalCriterion

LAYERS, IMAGES, QUERIES, CATEGORIES, SEGMENTS, POINTS = 10, 2, 101, 133, 12, 12544


@pytest.mark.bench
@pytest.mark.parametrize("side", [256])
def test_criterion_beside_the_plain_version(side: int) -> None:
    torch.manual_seed(0)
    low = torch.randn(IMAGES * SEGMENTS, 1, 8, 8)
    masks = F.interpolate(low, size=(side, side), mode="bilinear")[:, 0] > 0.5
    labels = torch.randint(CATEGORIES, (IMAGES * SEGMENTS,))
    layers = [
        (
            torch.randn(IMAGES, QUERIES, CATEGORIES + 1).requires_grad_(),
            (torch.randn(IMAGES, QUERIES, side // 4, side // 4) * 3).requires_grad_(),
        )
        for _ in range(LAYERS)
    ]
    predictions = Predictions(
        tuple(LayerPredictions(ObjectPredictions(m, m, m, logits)) for logits, m in reversed(layers))
    )
    targets = Targets(ObjectTargets(masks, labels, (SEGMENTS,) * IMAGES))
    points = RandomPoints(POINTS)
    fast, slow = Criterion(points=points), OriginalCriterion(points=points)

    def seconds(work: Callable[[], torch.Tensor]) -> tuple[float, float]:
        begin = time.perf_counter()
        loss = work()
        loss.backward()
        return time.perf_counter() - begin, loss.item()

    ours, theirs = [], []
    for _ in range(3):  # taken in turns: the machine is shared
        ours.append(seconds(lambda: fast(predictions, targets, torch.zeros(())).total))
        theirs.append(seconds(lambda: slow(predictions, targets, torch.zeros(())).total))
    ratio = np.median([t for t, _ in theirs]) / np.median([t for t, _ in ours])
    print(f"\nobject losses, {side} px: {ratio:.2f} times the plain version's speed")
    assert np.mean([v for _, v in ours]) == pytest.approx(np.mean([v for _, v in theirs]), rel=0.01)
    assert ratio > 1.0
