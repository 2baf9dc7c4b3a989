"""Order: decided by seed and epoch, whatever the number of ranks, the micro-batch and the restarts."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seem_train.data.sampler import Draw, Order, StepSampler
from seem_train.errors import UserError


def test_every_epoch_shows_every_image_once_in_another_order() -> None:
    order = Order(images=17, seed=3)
    first, second = ([d.index for d in order.epoch(e)] for e in (0, 1))
    assert sorted(first) == sorted(second) == list(range(17))
    assert first != second
    assert first == [d.index for d in Order(17, 3).epoch(0)]
    assert first != [d.index for d in Order(17, 4).epoch(0)]


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 23),
    ranks=st.sampled_from([1, 2, 4]),
    micro=st.sampled_from([1, 2]),
    steps=st.integers(1, 9),
    restart=st.integers(0, 9),
    repeated=st.booleans(),
)
def test_steps_see_the_same_images_on_any_number_of_ranks_and_after_restarts(
    images: int, ranks: int, micro: int, steps: int, restart: int, repeated: bool
) -> None:
    repeats = 1 + np.arange(images) / images if repeated else None
    order = Order(images, seed=1, repeats=repeats)
    alone = list(StepSampler(order, 8, 8, 0, steps))
    for first in (0, min(restart, steps)):
        shares = [list(StepSampler(order, 8, micro, first, steps, rank, ranks)) for rank in range(ranks)]
        each = 8 // (micro * ranks)
        assert all(len(share) == (steps - first) * each for share in shares)
        for step in range(first, steps):
            seen = [
                draw
                for share in shares
                for batch in share[(step - first) * each : (step - first + 1) * each]
                for draw in batch
            ]
            assert Counter(seen) == Counter(alone[step])


def test_length_is_the_number_of_micro_batches() -> None:
    sampler = StepSampler(Order(5, 0), 8, 2, first_step=3, last_step=7, rank=1, ranks=2)
    assert sampler.micro_batches == 2
    assert len(sampler) == len(list(sampler)) == 8


def test_rare_images_come_as_often_as_their_factor_says() -> None:
    order = Order(3, seed=0, repeats=np.array([1.0, 2.5, 1.0]))
    counts = Counter(draw.index for epoch in range(200) for draw in order.epoch(epoch))
    assert counts[0] == counts[2] == 200
    assert counts[1] == pytest.approx(500, rel=0.1)
    copies = [d.copy for d in order.epoch(0) if d.index == 1]
    assert sorted(copies) == list(range(len(copies)))


def test_the_stream_can_be_entered_anywhere() -> None:
    order = Order(4, seed=0, repeats=np.array([1.0, 1.5, 2.0, 1.25]))
    whole = list(islice(order.starting_at(0), 60))
    for position in (0, 3, 5, 21, 40):
        assert list(islice(order.starting_at(position), 20)) == whole[position : position + 20]


def test_generators_differ_by_draw_and_purpose_and_repeat() -> None:
    def number(draw: Draw, purpose: int, seed: int = 0) -> float:
        return draw.generator(seed, purpose).random()

    draws = [Draw(0, 1), Draw(1, 0), Draw(0, 1, 1)]
    numbers = {number(draw, purpose) for draw in draws for purpose in (0, 1)}
    assert len(numbers) == 6
    assert number(Draw(0, 1), 0) == number(Draw(0, 1), 0)
    assert number(Draw(0, 1), 0) != number(Draw(0, 1), 0, seed=1)


def test_uneven_batches_and_empty_sets_are_refused() -> None:
    with pytest.raises(UserError, match="--global-batch 16 is not a multiple of --batch 3 × 2"):
        StepSampler(Order(5, 0), 16, 3, 0, 1, ranks=2)
    with pytest.raises(UserError, match="no image"):
        StepSampler(Order(0, 0), 16, 4, 0, 1)
