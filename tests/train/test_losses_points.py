"""Points: reading masks at points, and where the points of a loss lie."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from seem_train.losses import points
from seem_train.losses.points import RandomPoints, sample_maps, sample_masks
from tests.parity.fixed import GridPoints


def reference(maps: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return F.grid_sample(maps, 2 * at[:, :, None] - 1, align_corners=False)[..., 0]


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 999))
def test_masks_are_read_like_grid_sample_reads_their_float_copies(height: int, width: int, seed: int) -> None:
    torch.manual_seed(seed)
    masks = torch.rand(4, height, width) > 0.5
    rows = torch.tensor([2, 0, 2, 3, 1])
    at = torch.rand(5, 37, 2) * 1.4 - 0.2  # some beyond the border
    expected = reference(masks[rows][:, None].float(), at)[:, 0]
    for read in (sample_masks, points.gather_masks):
        torch.testing.assert_close(read(masks, rows, at), expected, atol=2e-6, rtol=0)
        torch.testing.assert_close(read(masks.byte(), rows, at), expected, atol=2e-6, rtol=0)


def test_the_deterministic_reading_equals_the_usual_one_with_its_gradient() -> None:
    at = torch.rand(3, 50, 2)
    maps = torch.randn(3, 4, 7, 5, requires_grad=True)
    usual, other = sample_maps(maps, at), points.sample_by_corners(maps, at)
    torch.testing.assert_close(usual, other, atol=2e-6, rtol=0)
    weight = torch.randn_like(usual)
    expected = torch.autograd.grad((usual * weight).sum(), maps)[0]
    torch.testing.assert_close(
        torch.autograd.grad((other * weight).sum(), maps)[0], expected, atol=1e-5, rtol=0
    )


def test_a_grid_is_made_of_cell_centres_row_by_row() -> None:
    at = GridPoints(2, 4).for_matching("objects", 3, 2, torch.device("cpu"))
    assert at.shape == (3, 2, 8, 2)
    assert at[0, 0, :2].tolist() == [[0.125, 0.25], [0.375, 0.25]]
    assert at[2, 1, 4].tolist() == [0.125, 0.75]


def test_most_loss_points_lie_where_the_mask_is_unsure() -> None:
    torch.manual_seed(0)
    logits = torch.full((2, 64, 64), 9.0)
    logits[:, :, :32] = -9.0  # unsure only along the middle column
    at = RandomPoints(400, oversample=60.0, importance=0.75).for_losses("objects", [0], logits)
    assert at.shape == (2, 400, 2)
    assert ((at >= 0) & (at <= 1)).all()

    def unsure(points: torch.Tensor) -> torch.Tensor:
        border = ((points < 0.01) | (points > 0.99)).any(-1)  # zeros lie beyond it
        return (border | ((points[..., 0] - 0.5).abs() < 0.01)).float().mean(1)

    assert (unsure(at) > 0.7).all()
    uniform = RandomPoints(400, importance=0.0).for_losses("objects", [0], logits)
    assert (unsure(uniform) < 0.15).all()


def test_a_generator_makes_random_points_repeat() -> None:
    def draw(seed: int) -> torch.Tensor:
        source = RandomPoints(16, generator=torch.Generator().manual_seed(seed))
        return source.for_matching("objects", 2, 2, torch.device("cpu"))

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


@pytest.mark.parametrize("size", [(1, 1), (3, 500)])
def test_points_at_pixel_centres_read_the_pixels(size: tuple[int, int]) -> None:
    masks = torch.rand(1, *size) > 0.5
    at = GridPoints(*size).for_losses("objects", [0], masks.float())
    read = sample_masks(masks, torch.zeros(1, dtype=torch.long), at)
    torch.testing.assert_close(read[0], masks.float().flatten(), atol=2e-4, rtol=0)
