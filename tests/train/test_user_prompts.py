"""Prompts in every shape a user may write them, and where they come to lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seem_train.data.image_scale import scaled_mask
from seem_train.errors import UserError
from seem_train.model.prompts import Marks
from seem_train.prediction.prompt_types import Prompts
from seem_train.prediction.user_prompts import read_prompts, scaled

SIZE = (40, 60)  # height, width


def _mask(rows: slice = slice(5, 9), columns: slice = slice(7, 20)) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[rows, columns] = True
    return mask


def _only(**given: Any) -> Any:
    (one,) = read_prompts(SIZE, Prompts(**given))
    return one


def test_points_of_one_object_and_of_several() -> None:
    flat = _only(points=[(3, 4), (5, 6, 0), (7, 8, 1)])
    assert flat.positive.points == [(3, 4), (7, 8)]
    assert flat.negative.points == [(5, 6)]
    assert _only(points=(3, 4)).positive.points == [(3, 4)]
    assert _only(points=np.array([[3, 4], [5, 6]])).positive.points == [(3, 4), (5, 6)]
    two = read_prompts(SIZE, Prompts(points=[[(3, 4)], [(5, 6), (1, 1, 0)]]))
    assert [one.positive.points for one in two] == [[(3, 4)], [(5, 6)]]


def test_boxes_of_one_object_and_of_several() -> None:
    assert _only(boxes=(1, 2, 10, 12)).positive.boxes == [(1, 2, 10, 12)]
    assert len(read_prompts(SIZE, Prompts(boxes=np.array([[1, 2, 10, 12], [0, 0, 5, 5]])))) == 2


def test_strokes_are_lines_masks_or_several_lines_of_one_object() -> None:
    line = [(1, 1), (20, 20), (30, 5)]
    assert _only(strokes=line).positive.strokes == [line]
    assert [len(one.positive.strokes) for one in read_prompts(SIZE, Prompts(strokes=[line, line]))] == [1, 1]
    assert [
        len(one.positive.strokes) for one in read_prompts(SIZE, Prompts(strokes=[[line, line], [line]]))
    ] == [2, 1]
    assert _only(strokes=[(1, 1, 0), (9, 9, 0)]).negative.strokes == [[(1, 1), (9, 9)]]
    assert np.array_equal(_only(strokes=_mask()).positive.masks[0], _mask())
    line_and_mask = read_prompts(SIZE, Prompts(strokes=[line, _mask()]))
    assert line_and_mask[0].positive.strokes
    assert line_and_mask[1].positive.masks


def test_masks_may_be_arrays_or_tensors_of_one_or_more_objects() -> None:
    for mask in (_mask(), torch.from_numpy(_mask()), _mask().astype(np.uint8) * 255):
        assert np.array_equal(_only(masks=mask).positive.masks[0], _mask())
    assert len(read_prompts(SIZE, Prompts(masks=np.stack([_mask(), _mask()])))) == 2
    assert len(read_prompts(SIZE, Prompts(masks=[_mask(), _mask()]))) == 2


def test_references_are_pairs_and_a_stack_of_masks_speaks_of_several_objects() -> None:
    assert np.array_equal(_only(reference=("photo.jpg", _mask())).reference[1], _mask())
    assert len(read_prompts(SIZE, Prompts(reference=("photo.jpg", np.stack([_mask(), _mask()]))))) == 2
    both = read_prompts(SIZE, Prompts(reference=[("a.jpg", _mask()), None], text=[None, "mug"]))
    assert both[0].reference
    assert both[0].text is None
    assert both[1].reference is None


def test_what_is_given_together_speaks_of_the_same_object() -> None:
    one = _only(text="mug", points=[(3, 4)], boxes=(1, 2, 10, 12), strokes=_mask())
    assert one.text == "mug"
    assert len(one.positive.points) == len(one.positive.boxes) == len(one.positive.masks) == 1
    mixed = read_prompts(SIZE, Prompts(text=["mug", None], points=[None, [(3, 4)]]))
    assert [one.text for one in mixed] == ["mug", None]
    assert [one.is_marked for one in mixed] == [False, True]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "nothing to look for"),
        ({"points": []}, "nothing to look for"),
        ({"text": ["a", "b"], "points": [(1, 1)]}, "2 × text, 1 × group of points"),
        ({"text": ""}, "text 0 is empty"),
        ({"text": ["mug", "  "]}, "text 1 is empty"),
        ({"text": [7]}, "must be a string"),
        ({"points": [(60, 3)]}, r"point \(60, 3\) lies outside the image, which is 60 × 40"),
        ({"points": [(-1, 3)]}, "lies outside"),
        ({"points": [(1, 2, 5)]}, "what the object is not"),
        ({"points": [(1,)]}, r"give \(x, y\)"),
        ({"points": [("a", "b")]}, "made of numbers"),
        ({"points": [(float("nan"), 2)]}, "finite"),
        ({"points": "3,4"}, "must be a list"),
        ({"boxes": (1, 2, 3)}, "left, top, right, bottom"),
        ({"boxes": (9, 9, 9, 12)}, "holds no pixel"),
        ({"boxes": (70, 9, 90, 12)}, "holds no pixel"),
        ({"strokes": [(1, 1), (99, 1)]}, r"stroke \(99, 1\) lies outside"),
        ({"masks": np.zeros((5, 5), bool)}, r"must be \[40, 60\]"),
        ({"masks": np.zeros(SIZE, bool)}, "is empty"),
        ({"reference": "photo.jpg"}, "is a pair"),
        ({"reference": ("photo.jpg", np.zeros(5))}, "must be"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read_prompts(SIZE, Prompts(**given))


_number = st.one_of(st.integers(-5, 70), st.floats(allow_nan=True), st.none(), st.text(max_size=2))
_nested = st.recursive(_number, lambda inner: st.lists(inner, max_size=4), max_leaves=12)


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(st.sampled_from(["text", "points", "boxes", "strokes", "masks", "reference"]), _nested)
)
def test_anything_is_prompts_or_a_sentence(given: dict[str, Any]) -> None:
    try:
        asked = read_prompts(SIZE, Prompts(**given))
    except UserError as error:
        assert str(error)
    else:
        for one in asked:
            scaled(one.positive, SIZE, (17, 25)).paint(17, 25)


@settings(deadline=None, max_examples=200)
@given(
    photo=st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    seen=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    at=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
)
def test_a_point_lands_on_the_pixel_that_its_pixel_became(photo: Any, seen: Any, at: Any) -> None:
    x, y = int(at[0] * photo[1]), int(at[1] * photo[0])
    assume(x < photo[1] and y < photo[0])
    painted = scaled(Marks(points=[(x, y)], point_size=1), photo, seen).paint(*seen)
    ((row, column),) = painted.nonzero().tolist()
    assert row == min(int((y + 0.5) * seen[0] / photo[0]), seen[0] - 1)
    assert column == min(int((x + 0.5) * seen[1] / photo[1]), seen[1] - 1)


@settings(deadline=None, max_examples=100)
@given(
    photo=st.tuples(st.integers(1, 900), st.integers(1, 900)),
    seen=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    data=st.data(),
)
def test_a_mark_never_vanishes_and_never_leaves_the_image(photo: Any, seen: Any, data: Any) -> None:
    left = data.draw(st.integers(0, photo[1] - 1))
    top = data.draw(st.integers(0, photo[0] - 1))
    box = (left, top, left + data.draw(st.integers(1, 50)), top + data.draw(st.integers(1, 50)))
    assert scaled(Marks(boxes=[box]), photo, seen).paint(*seen).any()
    mask = np.zeros(photo, bool)
    mask[top, left] = True
    assert scaled_mask(mask, seen).any()


def test_a_mask_stays_where_one_side_shrinks_and_the_other_does_not() -> None:
    """Interpolation alone samples two of seven columns here."""
    for column in range(300):
        mask = np.zeros((1, 300), bool)
        mask[0, column] = True
        for size in ((1, 40), (9, 40)):
            assert 0 < scaled_mask(mask, size).mean() <= 2 / 40


def test_a_box_covers_the_same_share_at_every_size() -> None:
    painted = scaled(Marks(boxes=[(15, 10, 45, 30)]), SIZE, (400, 600)).paint(400, 600)
    rows, columns = np.nonzero(painted.numpy())
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (100, 300, 150, 450)
