"""Semantic scores follow from the confusion matrix as the original's evaluator defines them."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seem_train.metrics.semantic import SemanticScores


def by_definition(pairs: list[tuple[np.ndarray, np.ndarray]], classes: int) -> dict[str, float]:
    """The scores written out pixel set by pixel set, slowly."""
    prediction = np.concatenate([p.ravel() for p, _ in pairs]).astype(int)
    gt = np.concatenate([g.ravel() for _, g in pairs]).astype(int)
    prediction, gt = prediction[gt < classes], gt[gt < classes]
    ious, weights, accuracies, precisions, present = [], [], [], [], 0
    for index in range(classes):
        hit = np.sum((prediction == index) & (gt == index))
        present += bool(np.any(gt == index) or np.any(prediction == index))
        if np.any(prediction == index):
            precisions.append(hit / np.sum(prediction == index))
        if np.any(gt == index):
            ious.append(hit / np.sum((prediction == index) | (gt == index)))
            weights.append(np.mean(gt == index))
            accuracies.append(hit / np.sum(gt == index))
    return {
        "miou": sum(ious) / present if present else 0.0,
        "fwiou": float(np.dot(ious, weights)) if ious else 0.0,
        "pixel_accuracy": float(np.mean(prediction == gt)) if len(gt) else 0.0,
        "mean_accuracy": float(np.mean(accuracies)) if accuracies else 0.0,
        "mean_precision": float(np.mean(precisions)) if precisions else 0.0,
    }


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(1, 6), dtype=st.sampled_from(["uint8", "int32"]))
def test_random_maps_score_by_definition(seed: int, classes: int, dtype: str) -> None:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(2):
        gt = rng.choice([*range(classes), 255], size=(7, 5)).astype(dtype)
        prediction = np.where(rng.random((7, 5)) < 0.6, gt % classes, rng.integers(classes, size=(7, 5)))
        pairs.append((prediction.astype(dtype), gt))
    scores = SemanticScores(classes)
    for prediction, gt in pairs:
        scores.update(prediction, gt)
    result = scores.result()
    for name, expected in by_definition(pairs, classes).items():
        assert getattr(result, name) == pytest.approx(expected, abs=1e-12), name


def test_a_class_only_imagined_counts_as_zero_in_the_mean() -> None:
    scores = SemanticScores(3)
    scores.update(np.array([[0, 0, 0, 1]]), np.array([[0, 0, 0, 0]]))
    result = scores.result()
    assert result.miou == pytest.approx(0.75 / 2)
    assert result.iou == [0.75, None, None]
    assert result.precision == [1.0, 0.0, None]
    assert result.recall == [0.75, None, None]


def test_ignored_ground_truth_counts_nowhere() -> None:
    scores = SemanticScores(2)
    scores.update(np.array([[0, 1, 1]]), np.array([[0, 255, 65535]]))
    assert scores.confusion.tolist() == [[1, 0, 0], [0, 0, 0]]
    assert scores.result().miou == 1


def test_no_prediction_is_a_miss() -> None:
    scores = SemanticScores(2)
    scores.update(np.full((2, 2), 255, np.uint8), np.zeros((2, 2), np.uint8))
    result = scores.result()
    assert (result.miou, result.pixel_accuracy, result.recall[0]) == (0, 0, 0)


def test_images_without_ground_truth_and_no_images_are_defined() -> None:
    scores = SemanticScores(2)
    empty = scores.result()
    scores.update(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8))
    for result in (empty, scores.result()):
        assert (result.miou, result.fwiou, result.pixel_accuracy, result.mean_accuracy) == (0, 0, 0, 0)
        assert result.iou == [None, None]
        json.dumps(asdict(result), allow_nan=False)


def test_merging_equals_counting_in_one_go() -> None:
    rng = np.random.default_rng(1)
    whole, one, two = SemanticScores(4), SemanticScores(4), SemanticScores(4)
    for number in range(6):
        prediction, gt = rng.integers(4, size=(5, 5)), rng.integers(5, size=(5, 5))
        whole.update(prediction, gt)
        (one if number % 2 else two).update(prediction, gt)
    one.merge(two)
    assert one.result() == whole.result()


def test_more_than_255_classes_fit() -> None:
    scores = SemanticScores(300)
    scores.update(np.full((1, 4), 299, np.uint16), np.array([[299, 299, 299, 65535]], np.uint16))
    assert scores.confusion[299, 299] == 3
