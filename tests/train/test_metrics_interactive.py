"""The number of clicks equals the original's golden case."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from seem_train.metrics.interactive import InteractiveScores


def test_numbers_of_clicks_are_the_originals(shared_parity: Path) -> None:
    folder = shared_parity / "e7_metrics"
    expected = json.loads((folder / "case.json").read_text())["noc"]
    scores = InteractiveScores()
    scores.update(load_file(folder / "data.safetensors")["ious"])
    result = scores.result()
    for threshold, clicks in result.noc.items():
        assert clicks == pytest.approx(expected[threshold], abs=1e-12)
    assert result.iou_at[0] == pytest.approx(expected["iou_max_iter"], abs=1e-7)
    assert (result.objects, result.max_clicks) == (6, 20)


def test_an_object_that_never_gets_there_costs_all_clicks_and_is_a_failure() -> None:
    scores = InteractiveScores(max_clicks=4)
    scores.update(np.array([[0.1, 0.6, 0.7, 0.84], [0.95, 0.95, 0.95, 0.95]]))
    result = scores.result()
    assert result.noc == {"0.5": 1.5, "0.8": 2.5, "0.85": 2.5, "0.9": 2.5}
    assert result.failures == {"0.5": 0, "0.8": 0, "0.85": 1, "0.9": 1}


def test_after_the_user_is_content_the_iou_stays() -> None:
    short, long = InteractiveScores(max_clicks=5), InteractiveScores(max_clicks=5)
    short.update(np.array([[0.4, 0.92]]))
    long.update(np.array([[0.4, 0.92, 0.92, 0.92, 0.92]]))
    assert short.result() == long.result()
    assert short.result().iou_at == pytest.approx([0.4, 0.92, 0.92, 0.92, 0.92])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_iou_that_just_reaches_a_threshold_counts(dtype: type) -> None:
    scores = InteractiveScores(max_clicks=1)
    scores.update(np.array([[0.5], [0.8], [0.85], [0.9]], dtype))
    assert scores.result().failures == {"0.5": 0, "0.8": 1, "0.85": 2, "0.9": 3}


def test_no_objects_have_a_defined_result() -> None:
    result = InteractiveScores().result()
    assert (result.objects, set(result.noc.values()), set(result.iou_at)) == (0, {0.0}, {0.0})
    json.dumps(asdict(result), allow_nan=False)


def test_any_split_over_processes_gives_the_same_digits() -> None:
    ious = np.random.default_rng(2).random((9, 20))
    whole, one, two = InteractiveScores(), InteractiveScores(), InteractiveScores()
    whole.update(ious)
    one.update(ious[4:])
    two.update(ious[:4])
    one.merge(two)
    assert one.result() == whole.result()


def test_scores_of_different_dialogues_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="clicks"):
        InteractiveScores(4).merge(InteractiveScores(5))
    with pytest.raises(ValueError, match="21 clicks"):
        InteractiveScores().update(np.zeros((1, 21)))
