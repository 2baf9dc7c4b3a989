"""A trunk for its configuration."""

from __future__ import annotations

from seem_train.model.config import DaViTConfig, FocalConfig, FocalDWConfig, SamViTConfig, TrunkConfig
from seem_train.model.trunks.base import Trunk
from seem_train.model.trunks.davit import DaViTTrunk
from seem_train.model.trunks.focal import FocalTrunk
from seem_train.model.trunks.focal_dw import FocalDWTrunk
from seem_train.model.trunks.samvit import SamViTTrunk
from seem_train.model.trunks.timm import TimmTrunk


def build_trunk(config: TrunkConfig) -> Trunk:
    if isinstance(config, FocalDWConfig):
        return FocalDWTrunk(config)
    if isinstance(config, FocalConfig):
        return FocalTrunk(config)
    if isinstance(config, DaViTConfig):
        return DaViTTrunk(config)
    if isinstance(config, SamViTConfig):
        return SamViTTrunk(config)
    return TimmTrunk(config)
