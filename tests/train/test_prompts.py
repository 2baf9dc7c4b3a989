"""What a user draws becomes pixels; a batch of prompts becomes tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy import MICRO

from seem_train.errors import UserError
from seem_train.model.draws import SeededDraws
from seem_train.model.language import TextEmbeddings
from seem_train.model.prepare import PreparedPrompts, prepare
from seem_train.model.prompts import ImagePrompts, Marks, ObjectPrompt, RegionTokens

SIZE = (40, 60)
INSIDE = st.tuples(st.integers(0, 59), st.integers(0, 39))


def ready(prompts: list[ImagePrompts], texts: list[TextEmbeddings | None] | None = None) -> PreparedPrompts:
    return prepare(
        prompts, texts or [None] * len(prompts), (64, 64), MICRO.decoder, SeededDraws(0), torch.device("cpu")
    )


def masks(*counts: int) -> torch.Tensor:
    """One mask for each count, with that many pixels."""
    found = torch.zeros(len(counts), 64, 64, dtype=torch.bool)
    for mask, count in zip(found, counts, strict=True):
        mask.view(-1)[100 : 100 + count] = True
    return found


@given(INSIDE)
def test_a_point_is_a_small_square_around_its_pixel(point: tuple[int, int]) -> None:
    painted = Marks(points=[point]).paint(*SIZE)
    x, y = point
    assert painted[y, x] and painted.sum() <= 9
    rows, columns = painted.nonzero().T
    assert (rows - y).abs().max() <= 1 and (columns - x).abs().max() <= 1


def test_a_box_is_filled_and_clipped_to_the_image() -> None:
    painted = Marks(boxes=[(50, 10, 90, 20)]).paint(*SIZE)
    assert painted.sum() == 10 * 10 and painted[10:20, 50:].all()
    whole = Marks(boxes=[(-5, -5, float("inf"), 99)]).paint(*SIZE)
    assert whole.all()
    assert Marks(boxes=[(2.4, 3.4, 2.6, 3.6)]).paint(*SIZE).nonzero().tolist() == [[3, 2]]


def test_a_stroke_of_one_vertex_is_a_dot() -> None:
    tap = Marks(strokes=[[(30, 20)]]).paint(*SIZE)
    assert tap[20, 30]
    assert tap.equal(Marks(strokes=[[(30, 20), (30, 20)]]).paint(*SIZE))


def test_polygons_are_filled_strokes_are_lines_masks_are_taken_as_they_are() -> None:
    assert Marks(polygons=[[(10, 10), (30, 10), (30, 30), (10, 30)]]).paint(*SIZE)[20, 20]
    line = Marks(strokes=[[(5, 5), (5, 35)]], stroke_width=1).paint(*SIZE)
    assert line[5:36, 5].all() and line.sum() == 31
    mask = np.zeros(SIZE, np.uint8)
    mask[3, 4] = 255
    assert Marks(masks=[mask]).paint(*SIZE).nonzero().tolist() == [[3, 4]]


@pytest.mark.parametrize(
    ("marks", "message"),
    [
        (Marks(points=[(60, 5)]), r"point \(60, 5\) lies outside the image, which is 60 × 40 pixels"),
        (Marks(points=[(-1, 5)]), "lies outside"),
        (Marks(strokes=[[(1, 1), (2, 40)]]), r"stroke \(2, 40\) lies outside"),
        (Marks(polygons=[[(1, 1), (70, 4), (3, 9)]]), "polygon .* lies outside"),
        (Marks(points=[(float("nan"), 5)]), "lies outside"),
        (Marks(boxes=[(30, 10, 20, 20)]), "holds no pixel"),
        (Marks(boxes=[(60, 10, 80, 20)]), "holds no pixel"),
        (Marks(boxes=[(0, float("nan"), 20, 20)]), "holds no pixel"),
        (Marks(masks=[np.ones((60, 40))]), "a prompt mask is 60 × 40, the image 40 × 60"),
    ],
)
def test_marks_that_cannot_be_meant_are_refused(marks: Marks, message: str) -> None:
    with pytest.raises(UserError, match=message):
        marks.paint(*SIZE)


def test_an_object_without_any_mark_is_refused_by_its_number() -> None:
    with pytest.raises(UserError, match="object 1 has no mark"):
        ImagePrompts.of([ObjectPrompt(Marks(points=[(1, 1)])), ObjectPrompt()], SIZE)


def test_an_object_without_memory_beside_one_with_memory_gets_a_mask_that_hides_nothing() -> None:
    point = Marks(points=[(1, 1)])
    given = ImagePrompts.of([ObjectPrompt(point, previous=torch.ones(10, 15)), ObjectPrompt(point)], SIZE)
    assert given.previous is not None and given.previous.mean((1, 2)).tolist() == [1, 0]


def test_pixels_of_ragged_batches_are_padded_and_keep_their_object_and_sign() -> None:
    found = ready([ImagePrompts(positive=masks(3, 2), negative=masks(0, 1)), ImagePrompts(positive=masks(1))])
    assert found.objects == 2 and len(found.pixels) == MICRO.decoder.levels + 1
    for drawn in found.pixels:
        assert drawn.owners.tolist() == [[0, 0, 0, 1, 1, 1], [0, -1, -1, -1, -1, -1]]
        assert drawn.positive[0].tolist() == [True] * 5 + [False]
    first = found.pixels[0].points[0, 0]
    assert first.tolist() == [36 / 64, 1 / 64]  # (x, y): pixel 100 is row 1, column 36


def test_many_pixels_are_drawn_with_the_same_share_for_each_object() -> None:
    found = ready([ImagePrompts(positive=masks(2000, 300, 1))])
    counts = [[int((d.owners[0] == k).sum()) for k in range(3)] for d in found.pixels]
    assert all(sum(c) == 512 and c[2] == 1 and 150 < c[1] <= 300 for c in counts)
    assert len({tuple(d.owners[0].tolist()) for d in found.pixels}) > 1  # drawn anew for each level


def test_an_empty_mask_is_an_object_without_pixels() -> None:
    found = ready([ImagePrompts(positive=masks(0)), ImagePrompts(positive=masks(2))])
    assert found.pixels[0].owners.tolist() == [[-1, -1], [0, 0]]
    assert ready([ImagePrompts(positive=masks(0))]).pixels[0].owners.shape == (1, 0)


def test_memories_are_drawn_for_each_layer_only_where_there_are_previous_masks() -> None:
    assert ready([ImagePrompts(positive=masks(1))]).memories is None
    with_memory = ImagePrompts(positive=masks(1, 1), previous=torch.ones(2, 16, 16))
    found = ready([with_memory, ImagePrompts(positive=masks(1))])
    assert found.memories is not None and found.memories.shape == (MICRO.decoder.layers, 4)
    assert found.previous is not None and found.previous.mean((2, 3)).tolist() == [[1, 1], [0, 0]]


def test_a_whole_row_of_refined_masks_may_be_given_back() -> None:
    row = torch.arange(3.0)[:, None, None].expand(3, 16, 16)
    found = ready([ImagePrompts(positive=masks(1), previous=row), ImagePrompts(positive=masks(1, 1))])
    assert found.previous is not None and found.previous.mean((2, 3)).tolist() == [[0, 1], [0, 0]]


def test_texts_of_ragged_batches_are_padded_with_zeros() -> None:
    two = TextEmbeddings(("a", "b"), torch.ones(2, 8), torch.ones(2, 3, 8), (3, 2))
    found = ready([ImagePrompts(two), ImagePrompts(), ImagePrompts(two)], [two, None, two])
    assert found.texts is not None and found.texts.shape == (3, 5, 8)
    assert found.texts_real is not None and found.texts_real.sum(1).tolist() == [5, 0, 5]
    assert (found.texts[1] == 0).all()


def test_references_of_ragged_batches_are_padded() -> None:
    one = RegionTokens((torch.ones(1, 4, 8),) * 3, (torch.zeros(1, 4).long(),) * 3, *torch.ones(2, 1, 1, 8))
    found = ready([ImagePrompts(reference=one), ImagePrompts(positive=masks(1, 1))]).reference
    assert found is not None and found.levels[0].shape == (2, 4, 8)
    assert found.owners[0].tolist() == [[0] * 4, [-1] * 4]
    assert found.positive[..., 0].tolist() == [[1, -1], [-1, -1]]
