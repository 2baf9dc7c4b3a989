"""The simulated user clicks where the original's does."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from seem_train.data.clicks import deepest_pixel, next_click


def test_next_click_is_the_originals(shared_parity: Path) -> None:
    data = load_file(shared_parity / "e6_next_click_unit" / "data.safetensors")
    positive, negative = next_click(
        data["prev_mask"][0], data["gt_masks"].bool(), data["pos_in"].bool(), data["neg_in"].bool()
    )
    assert torch.equal(positive, data["pos_out"].bool())
    assert torch.equal(negative, data["neg_out"].bool())


def test_a_whole_dialogue_is_the_originals(shared_parity: Path) -> None:
    data = load_file(shared_parity / "e5_evaluate_interactive" / "data.safetensors")
    first = data["rand_shape"][:, 0].bool()
    height, width = data["step0.next_pos"].shape[-2:]
    positive = F.pad(first, (0, width - first.shape[-1], 0, height - first.shape[-2]))
    negative = torch.zeros_like(positive)
    for step in range(4):
        logits = data[f"step{step}.prev_mask"][0]
        positive, negative = next_click(logits, data["gt_masks"].bool(), positive, negative)
        assert torch.equal(positive, data[f"step{step}.next_pos"].bool()), step
        assert torch.equal(negative, data[f"step{step}.next_neg"].bool()), step


def _click(logits: Tensor, gt: Tensor) -> tuple[list[list[int]], list[list[int]]]:
    nothing = torch.zeros_like(gt)
    positive, negative = next_click(logits, gt, nothing, nothing)
    return positive[0].nonzero().tolist(), negative[0].nonzero().tolist()


def _square(size: int = 20, first: int = 5, last: int = 14) -> Tensor:
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    mask[:, first:last, first:last] = True
    return mask


def test_a_missed_object_is_clicked_in_its_middle() -> None:
    positive, negative = _click(torch.full((1, 5, 5), -3.0), _square())
    assert positive == [[y, x] for y in (8, 9, 10) for x in (8, 9, 10)]
    assert negative == []


def test_what_is_too_much_is_clicked_as_negative() -> None:
    positive, negative = _click(_square().float() * 6 - 3, torch.zeros(1, 20, 20, dtype=torch.bool))
    assert positive == []
    assert [9, 9] in negative
    assert len(negative) == 9


def test_a_good_mask_gets_no_click() -> None:
    positive, negative = _click(_square().float() * 6 - 3, _square())
    assert positive == negative == []


def test_pixels_that_were_clicked_are_not_clicked_again() -> None:
    gt = _square()
    clicked = torch.zeros_like(gt)
    clicked[:, 5:14, 5:9] = True
    positive, _ = next_click(torch.full((1, 5, 5), -3.0), gt, clicked, torch.zeros_like(gt))
    new = (positive & ~clicked)[0].nonzero()
    assert len(new)
    assert new[:, 1].min() >= 9


def test_no_objects_no_clicks() -> None:
    none = torch.zeros(0, 16, 16, dtype=torch.bool)
    positive, negative = next_click(torch.zeros(0, 4, 4), none, none, none)
    assert positive.shape == negative.shape == (0, 16, 16)


def _cascaded_convolutions(region: np.ndarray) -> tuple[int, int]:
    """The same distance as kornia defines it: one 3×3 convolution for each ring, on a border of zeros."""
    image = F.pad(
        ~torch.from_numpy(region)[None, None].expand(1, 2, -1, -1), (1, 1, 1, 1), value=True
    ).float()
    steps = torch.arange(3.0) - 1
    kernel = torch.exp(-torch.hypot(steps[:, None], steps) / 0.35).expand(2, 1, 3, 3)
    total, reached = torch.zeros_like(image), image.clone()
    for ring in range(max(image.shape)):
        distance = -0.35 * F.conv2d(reached, kernel, padding=1, groups=2).log()
        new = torch.isfinite(distance) & (distance > 0)
        total = total + torch.where(new, ring * 3 // 2 + distance, 0.0)
        reached[new] = 1
    inner = total[0, 0, 1:-1, 1:-1]
    row, column = divmod(int(inner.flatten().max(0).indices), inner.shape[1])
    return row, column


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 60), width=st.integers(1, 60))
def test_the_deepest_pixel_is_that_of_the_cascaded_distance(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    region = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(0, 5))):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(1, 25)), int(rng.integers(1, 25)))
        cv2.ellipse(region, centre, axes, float(rng.integers(180)), 0, 360, int(rng.random() < 0.7), -1)
    assert deepest_pixel(region > 0) == _cascaded_convolutions(region > 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (64, 64)])
def test_a_region_that_fills_the_image_has_its_depth_in_the_middle(shape: tuple[int, int]) -> None:
    row, column = deepest_pixel(np.ones(shape, bool))
    assert (row, column) == _cascaded_convolutions(np.ones(shape, bool))
