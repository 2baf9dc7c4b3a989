"""Matching: pairwise costs and the assignment of all tasks, layers and images at once."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from seem_train.losses.matcher import (
    MatchCosts,
    NonFiniteLoss,
    assign,
    mask_costs,
    pair_bce,
    pair_dice,
)
from seem_train.losses.points import pixels_first, read_pixels, sample_maps, surrounding
from tests.parity.fixed import GridPoints


def test_pairwise_bce_and_dice_equal_one_pair_at_a_time() -> None:
    logits, truth = torch.randn(2, 5, 40) * 4, torch.rand(2, 3, 40)
    bce, dice = pair_bce(logits, truth), pair_dice(logits, truth)
    for b in range(2):
        for q in range(5):
            for n in range(3):
                x, t = logits[b, q], truth[b, n]
                expected = F.binary_cross_entropy_with_logits(x, t)
                torch.testing.assert_close(bce[b, q, n], expected, atol=1e-5, rtol=1e-5)
                share = x.sigmoid()
                expected = 1 - (2 * (share * t).sum() + 1) / (share.sum() + t.sum() + 1)
                torch.testing.assert_close(dice[b, q, n], expected, atol=1e-5, rtol=1e-5)


def test_bce_stays_finite_for_extreme_logits() -> None:
    logits = torch.tensor([[[1e4, -1e4]]])
    assert pair_bce(logits, torch.tensor([[[1.0, 0.0]]])).item() == 0.0
    assert pair_bce(logits, torch.tensor([[[0.0, 1.0]]])).item() == 1e4


def test_assignment_equals_scipy_for_every_layer_image_and_task() -> None:
    torch.manual_seed(1)
    many, none = torch.rand(3, 2, 4, 6), torch.rand(3, 2, 4, 2)  # 6 targets for 4 queries; an image without
    pairs = assign({"objects": many, "grounding": none}, {"objects": (6, 3), "grounding": (0, 2)})
    first, second = pairs["objects"], pairs["grounding"]
    assert first.query.shape == (3, 4 + 3)
    assert second.query.shape == (3, 2)
    for layer in range(3):
        one, other = (linear_sum_assignment(many[layer, n, :, :count]) for n, count in enumerate((6, 3)))
        assert first.query[layer].tolist() == [*one[0], *(4 + other[0])]
        assert first.target[layer].tolist() == [*one[1], *(6 + other[1])]
    assert (second.query >= 4).all(), "of the image without a target no query is matched"


def test_a_diverged_network_is_reported_with_its_place() -> None:
    costs = torch.rand(2, 2, 4, 3)
    costs[1, 0, 2, 2] = float("nan")
    with pytest.raises(NonFiniteLoss, match="matching_grounding_1"):
        assign(
            {"objects": torch.rand(2, 2, 4, 3), "grounding": costs},
            {"objects": (3, 3), "grounding": (3, 1)},
        )
    assign({"grounding": costs}, {"grounding": (2, 1)})  # beyond the image's count nothing is read


def test_mask_costs_match_the_mask_that_looks_alike() -> None:
    masks = torch.zeros(3, 16, 16, dtype=torch.bool)
    masks[0, :8], masks[1, 8:], masks[2, :, :8] = True, True, True
    alike = masks.float() * 20 - 10
    layer = torch.stack([alike[[1, 0, 2]], alike[[2, 2, 0]]])  # image 0: queries see 1, 0, 2
    costs = mask_costs("objects", [layer], masks, (2, 1), MatchCosts(0, 5, 5), GridPoints(8, 8))
    pairs = assign({"objects": costs}, {"objects": (2, 1)})["objects"]
    assert pairs.query[0, :2].tolist() == [0, 1]
    assert pairs.query[0, 2] in (3 + 0, 3 + 1)
    assert pairs.target[0].tolist() == [1, 0, 2 + 0]


def test_costs_by_blocks_of_points_are_those_of_all_points_at_once() -> None:
    torch.manual_seed(4)
    layers = [torch.randn(2, 5, 9, 7) * 20 for _ in range(2)]
    layers[1][0, 0] = 1e4  # a certain query, far beyond where exp overflows
    targets, counts, costs = torch.rand(5, 30, 21) > 0.6, (2, 3), MatchCosts(2.0, 5.0, 3.0)
    source = GridPoints(50, 70)  # more than two blocks
    found = mask_costs("objects", layers, targets, counts, costs, source)
    at = source.for_matching("objects", 2, 2, targets.device)
    for layer, masks in enumerate(layers):
        for image, truth in enumerate(targets.split(counts)):
            x = sample_maps(masks[image : image + 1], at[layer, image : image + 1])[0]
            t = sample_maps(truth[None].float(), at[layer, image : image + 1])[0]
            expected = 5.0 * pair_bce(x, t) + 3.0 * pair_dice(x, t)
            torch.testing.assert_close(found[layer, image, :, : len(truth)], expected, rtol=1e-5, atol=1e-4)


def test_points_beyond_the_outermost_pixel_centres_read_the_border_weaker() -> None:
    maps, at = torch.rand(3, 4, 6), torch.tensor([[0.0, 0.0], [0.999, 0.5], [0.3, 1.0], [0.5, 0.5]])
    read = read_pixels(pixels_first(maps), *surrounding(at, (4, 6)))
    torch.testing.assert_close(read.T, sample_maps(maps[None], at[None])[0])
