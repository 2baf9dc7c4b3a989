"""Random draws: seeded, replayed, and wrong recordings noticed."""

from __future__ import annotations

import pytest
import torch

from seem_train.model.draws import SeededDraws
from tests.parity.fixed import ReplayDraws


def test_the_same_seed_draws_the_same() -> None:
    one_object = torch.zeros(2000, dtype=torch.long)
    for draw in (
        lambda d: d.points(one_object, 50),
        lambda d: d.queries(101, 9),
        lambda d: d.memories(3, 32),
    ):
        assert torch.equal(draw(SeededDraws(7)), draw(SeededDraws(7)))
        assert not torch.equal(draw(SeededDraws(7)), draw(SeededDraws(8)))


def test_points_are_different_and_ascending_and_all_are_taken_where_there_are_few() -> None:
    drawn = SeededDraws(0).points(torch.arange(600) // 200, 512)
    assert (drawn.diff() > 0).all() and drawn.max() < 600
    assert SeededDraws(0).points(torch.zeros(5, dtype=torch.long), 512) == slice(None)


def test_a_small_object_has_the_chance_of_a_large_one() -> None:
    owners = torch.tensor([0] * 180 + [1] * 20)
    draws = SeededDraws(0)
    small = sum(int((draws.points(owners, 20) >= 180).sum()) for _ in range(200)) / (200 * 20)
    assert 0.35 < small < 0.5  # half with replacement, less without


def test_memories_are_ascending_and_in_range() -> None:
    drawn = SeededDraws(0).memories(3, 32)
    assert (drawn.diff() >= 0).all() and set(drawn.tolist()) == {0, 1, 2}


def test_a_recording_is_fed_in_order_and_sorted_where_the_original_sorts() -> None:
    draws = ReplayDraws([torch.tensor([2, 0, 1]), torch.tensor([9, 4]), torch.tensor([1, 0, 1])])
    assert draws.points(torch.zeros(7, dtype=torch.long), 3).tolist() == [0, 1, 2]
    assert draws.queries(21, 2).tolist() == [9, 4]
    assert draws.memories(2, 3).tolist() == [0, 1, 1]
    with pytest.raises(ValueError, match=r"draw 3 .* is not in the recording"):
        draws.queries(21, 1)


def test_a_draw_of_another_size_than_recorded_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"draw 0 \(spatial queries\) needs 6 values, the recording has 3"):
        ReplayDraws([torch.tensor([1, 2, 3])]).queries(21, 6)


def test_the_demo_model_recorded_nothing_where_all_points_were_taken() -> None:
    draws = ReplayDraws([], full_sets=False)
    assert draws.points(torch.zeros(4, dtype=torch.long), 512) == slice(None)
