"""The FPN pixel decoder and its sine positions."""

from __future__ import annotations

import math

import pytest
import torch

from seem_train.model.config import PixelDecoderConfig
from seem_train.model.layers import sine_position
from seem_train.model.pixel_decoders.fpn import FPNPixelDecoder

CHANNELS = {"res2": 8, "res3": 16, "res4": 24, "res5": 32}
CONFIG = PixelDecoderConfig(conv_dim=32, mask_dim=64, encoder_layers=1, heads=2, ffn_dim=16)


def features(side: int, batch: int = 1) -> dict[str, torch.Tensor]:
    return {n: torch.randn(batch, c, side >> i, side >> i) for i, (n, c) in enumerate(CHANNELS.items())}


def test_mask_features_at_stride_4_and_three_levels_coarse_to_fine() -> None:
    masks, levels = FPNPixelDecoder(CONFIG, CHANNELS)(features(24, batch=2))
    assert masks.shape == (2, 64, 24, 24)
    assert [tuple(level.shape) for level in levels] == [(2, 32, 3, 3), (2, 32, 6, 6), (2, 32, 12, 12)]


def test_levels_that_are_not_twice_the_coarser_one_are_met_by_the_nearest_pixel() -> None:
    x = features(24)
    x["res4"], x["res3"] = torch.randn(1, 24, 7, 5), torch.randn(1, 16, 13, 10)
    masks, levels = FPNPixelDecoder(CONFIG, CHANNELS)(x)
    assert masks.shape[-2:] == (24, 24) and [lv.shape[-2:] for lv in levels[1:]] == [(7, 5), (13, 10)]


def test_sine_position_rows_first_then_columns() -> None:
    position = sine_position(3, 4, 8)
    assert position.shape == (8, 3, 4)
    last_row, last_column = position[:4, -1, 0], position[4:, 0, -1]
    torch.testing.assert_close(last_row, last_column)  # both end at 2π
    assert last_row[0].item() == pytest.approx(math.sin(2 * math.pi), abs=1e-5)
    assert position[0, 0, 0].item() == pytest.approx(math.sin(2 * math.pi / 3), abs=1e-5)
    assert (position[:4].std(2) == 0).all() and (position[4:].std(1) == 0).all()


def test_can_be_captured_as_one_graph() -> None:
    decoder, x = FPNPixelDecoder(CONFIG, CHANNELS).eval(), features(24)
    compiled = torch.compile(decoder, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], decoder(x)[0])
