"""Scores of referring segmentation equal the original's golden case."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from seem_train.metrics.grounding import GroundingScores


def test_scores_are_the_originals(shared_parity: Path) -> None:
    folder = shared_parity / "e7_metrics"
    expected = json.loads((folder / "case.json").read_text())["grounding"]
    data = load_file(folder / "data.safetensors")
    scores = GroundingScores()
    for logits, gt in zip(data["logits"], data["gt"], strict=True):
        scores.update(logits > 0, gt > 0)
    result = scores.result()
    assert 100 * result.ciou == pytest.approx(expected["cIoU"], abs=1e-4)
    assert 100 * result.miou == pytest.approx(expected["mIoU"], abs=1e-4)
    for threshold, share in result.precision.items():
        assert 100 * share == pytest.approx(expected[f"precision@{threshold}"], abs=1e-4)
    assert result.phrases == 10


def _masks(*rows: str) -> np.ndarray:
    """One-row masks from strings of # and . ."""
    return np.array([[[mark == "#" for mark in row]] for row in rows])


def test_large_objects_weigh_more_in_ciou_than_in_miou() -> None:
    scores = GroundingScores()
    ious = scores.update(_masks("########", "#......."), _masks("########", ".#......"))
    assert ious.tolist() == [1, 0]
    result = scores.result()
    assert (result.ciou, result.miou) == (0.8, 0.5)


def test_an_iou_that_just_reaches_a_threshold_counts() -> None:
    scores = GroundingScores()
    scores.update(_masks("###.."), _masks("#####"))
    assert scores.result().precision == {"0.5": 1, "0.6": 1, "0.7": 0, "0.8": 0, "0.9": 0}


def test_empty_masks_and_no_phrases_are_defined() -> None:
    scores = GroundingScores()
    none = np.zeros((0, 4, 4), bool)
    assert scores.update(none, none).shape == (0,)
    empty = scores.result()
    assert (empty.ciou, empty.miou, empty.phrases, empty.precision["0.5"]) == (0, 0, 0, 0)
    assert scores.update(_masks("...."), _masks("....")).tolist() == [0]
    assert (scores.result().miou, scores.result().phrases) == (0, 1)
    json.dumps(asdict(scores.result()), allow_nan=False)


def test_any_split_over_processes_gives_the_same_digits() -> None:
    rng = np.random.default_rng(3)
    images = [(rng.random((3, 9, 9)) < 0.5, rng.random((3, 9, 9)) < 0.6) for _ in range(9)]
    whole, parts = GroundingScores(), [GroundingScores() for _ in range(3)]
    for number, image in enumerate(images):
        whole.update(*image)
        parts[number % 3].update(*image)
    parts[1].merge(parts[2])
    parts[1].merge(parts[0])
    assert parts[1].result() == whole.result()


def test_masks_of_different_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="different shapes"):
        GroundingScores().update(np.zeros((1, 4, 4), bool), np.zeros((1, 4, 5), bool))
