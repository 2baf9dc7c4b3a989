"""SEEM: encode an image once, encode texts once, decode as many prompts as you like."""

from __future__ import annotations

from torch import nn

from seem_train.model.backbone import build_backbone
from seem_train.model.config import SEEMConfig
from seem_train.model.decoder import SEEMDecoder
from seem_train.model.language import LanguageEncoder
from seem_train.model.pixel_decoder import build_pixel_decoder


class SEEM(nn.Module):
    """The whole model. Official names = ours with the prefixes `OFFICIAL_PREFIX` (and the trunk's own key map)."""

    OFFICIAL_PREFIX = {  # noqa: RUF012
        "backbone.": "backbone.",
        "pixel_decoder.": "sem_seg_head.pixel_decoder.",
        "language.": "sem_seg_head.predictor.lang_encoder.",
        "decoder.": "sem_seg_head.predictor.",
    }

    def __init__(self, config: SEEMConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.trunk)
        self.pixel_decoder = build_pixel_decoder(config.pixel_decoder, self.backbone.out_channels)
        self.language = LanguageEncoder(config.language)
        self.decoder = SEEMDecoder(config.decoder, config.pixel_decoder.mask_dim, config.language.projection)
