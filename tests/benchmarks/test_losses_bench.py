"""The loss of one step, forward and backward, beside a plain layer-by-layer, image-by-image version of it."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from seem_train.losses.criterion import Criterion
from seem_train.losses.points import RandomPoints
from seem_train.losses.targets import ObjectTargets, Targets
from seem_train.model.predictions import LayerPredictions, ObjectPredictions, Predictions

LAYERS, IMAGES, QUERIES, CATEGORIES, SEGMENTS, POINTS = 10, 2, 101, 133, 12, 12544


def plain(
    layers: list[tuple[torch.Tensor, torch.Tensor]], masks: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Object losses as published: one matching an image and layer, float copies of masks, grid_sample
    throughout.
    """
    total = torch.zeros(())
    weight = torch.ones(CATEGORIES + 1)
    weight[-1] = 0.1

    def read(maps: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        return F.grid_sample(maps, 2 * at[:, :, None] - 1, align_corners=False)[:, :, :, 0]

    for logits, predicted in layers:
        indices = []
        for b in range(IMAGES):
            with torch.no_grad():
                truth = masks[b * SEGMENTS : (b + 1) * SEGMENTS].float()
                at = torch.rand(1, POINTS, 2)
                t = read(truth[:, None], at.expand(SEGMENTS, -1, -1))[:, 0]
                x = read(predicted[b][:, None], at.expand(QUERIES, -1, -1))[:, 0]
                positive = F.binary_cross_entropy_with_logits(x, torch.ones_like(x), reduction="none")
                negative = F.binary_cross_entropy_with_logits(x, torch.zeros_like(x), reduction="none")
                bce = (positive @ t.T + negative @ (1 - t).T) / POINTS
                share = x.sigmoid()
                dice = 1 - (2 * share @ t.T + 1) / (share.sum(1)[:, None] + t.sum(1)[None] + 1)
                wanted = labels[b * SEGMENTS : (b + 1) * SEGMENTS]
                cost = 5 * bce + 5 * dice - 2 * logits[b].softmax(-1)[:, wanted]
                indices.append(linear_sum_assignment(cost.cpu()))
        query = torch.cat([torch.as_tensor(q) + b * QUERIES for b, (q, _) in enumerate(indices)])
        target = torch.cat([torch.as_tensor(t) + b * SEGMENTS for b, (_, t) in enumerate(indices)])
        classes = torch.full((IMAGES * QUERIES,), CATEGORIES)
        classes[query] = labels[target]
        total = total + 2 * F.cross_entropy(logits.flatten(0, 1), classes, weight)
        chosen, truth = predicted.flatten(0, 1)[query][:, None], masks.float()[target][:, None]
        with torch.no_grad():
            candidates = torch.rand(len(query), 3 * POINTS, 2)
            unsure = -read(chosen, candidates)[:, 0].abs()
            best = unsure.topk(int(0.75 * POINTS), dim=1).indices
            at = candidates.gather(1, best[..., None].expand(-1, -1, 2))
            at = torch.cat([at, torch.rand(len(query), POINTS - best.shape[1], 2)], dim=1)
            t = read(truth, at)[:, 0]
        x = read(chosen, at)[:, 0]
        share = x.sigmoid()
        bce = F.binary_cross_entropy_with_logits(x, t, reduction="none").mean(1).sum() / len(labels)
        dice = 1 - (2 * (share * t).sum(1) + 1) / (share.sum(1) + t.sum(1) + 1)
        total = total + 5 * bce + 5 * dice.sum() / len(labels)
    return total


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
    criterion = Criterion(points=RandomPoints(POINTS))

    def seconds(work: Callable[[], torch.Tensor]) -> tuple[float, float]:
        begin = time.perf_counter()
        loss = work()
        loss.backward()
        return time.perf_counter() - begin, loss.item()

    ours, theirs = [], []
    for _ in range(3):  # taken in turns: the machine is shared
        ours.append(seconds(lambda: criterion(predictions, targets, torch.zeros(())).total))
        theirs.append(seconds(lambda: plain(layers, masks, labels)))
    ratio = np.median([t for t, _ in theirs]) / np.median([t for t, _ in ours])
    print(f"\nobject losses, {side} px: {ratio:.2f} times the plain version's speed")
    assert np.mean([v for _, v in ours]) == pytest.approx(np.mean([v for _, v in theirs]), rel=0.01)
    assert ratio > 1.0
