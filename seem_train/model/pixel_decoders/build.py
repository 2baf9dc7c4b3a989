"""A pixel decoder for its configuration."""

from __future__ import annotations

from torch import nn

from seem_train.model.config import PixelDecoderConfig
from seem_train.model.pixel_decoders.deformable import DeformablePixelDecoder
from seem_train.model.pixel_decoders.fpn import FPNPixelDecoder


def build_pixel_decoder(config: PixelDecoderConfig, channels: dict[str, int]) -> nn.Module:
    """`channels` are the trunk's ``out_channels``."""
    if config.kind == "deformable":
        return DeformablePixelDecoder(config, channels)
    return FPNPixelDecoder(config, channels)
