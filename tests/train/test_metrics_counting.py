"""Runs that two label maps share, and ids as indices, beside the plain way to say it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seem_train.metrics.counting import count_pairs, indices_of, paired_runs

IDS = st.integers(1, 2**31 - 1)


@given(st.data(), hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9))
def test_runs_end_where_either_map_changes(data: st.DataObject, shape: tuple[int, ...]) -> None:
    maps = hnp.arrays(np.int32, shape, elements=st.sampled_from([0, 1, 7, 2**24 - 1]))
    first, second = data.draw(maps), data.draw(maps)
    ours, theirs, lengths = paired_runs(first, second)
    np.testing.assert_array_equal(np.repeat(ours, lengths), first.ravel())
    np.testing.assert_array_equal(np.repeat(theirs, lengths), second.ravel())
    assert ((ours[1:] != ours[:-1]) | (theirs[1:] != theirs[:-1])).all()
    assert (lengths > 0).all()


@given(st.lists(IDS, unique=True, max_size=60), st.lists(st.just(0) | IDS, max_size=20), st.integers(0, 9))
def test_an_id_is_found_wherever_it_is_listed(known: list[int], others: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).permutation(np.array([*known, *others, 0], np.int32))
    place = {0: len(known)} | {id_: index for index, id_ in enumerate(known)}
    expected = [place.get(value, len(known) + 1) for value in values.tolist()]
    assert indices_of(values, known).tolist() == expected


@pytest.mark.parametrize("number", [999, 1001, 5000])
def test_thousands_of_segments_are_found_too(number: int) -> None:
    ids = np.random.default_rng(0).choice(np.arange(1, 2**24), number + 1, replace=False)
    values = np.array([*ids, 0], np.int32)
    assert indices_of(values, ids[:-1].tolist()).tolist() == [*range(number), number + 1, number]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.int64])
def test_maps_of_any_whole_numbers_are_read(dtype: type) -> None:
    assert indices_of(np.array([0, 9, 200, 3], dtype), [3, 200]).tolist() == [2, 3, 1, 0]


def test_pairs_are_counted_as_pixels() -> None:
    rows, columns = np.array([0, 0, 1]), np.array([1, 1, 0])
    assert count_pairs(rows, columns, np.array([2, 3, 4]), (2, 3)).tolist() == [[0, 5, 0], [4, 0, 0]]


def test_of_an_id_listed_twice_the_last_place_counts() -> None:
    assert indices_of(np.array([7, 5], np.int32), [7, 5, 7]).tolist() == [2, 1]
