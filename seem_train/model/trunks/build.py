"""A trunk for its configuration."""

from __future__ import annotations

from seem_train.model.config import DaViTConfig, FocalConfig, FocalDWConfig, SamViTConfig, TrunkConfig
from seem_train.model.trunks.base import Trunk
from seem_train.model.trunks.focal import FocalTrunk


def build_trunk(config: TrunkConfig) -> Trunk:
    """The rarer trunks are imported only when asked for."""
    if isinstance(config, FocalConfig):
        return FocalTrunk(config)
    if isinstance(config, FocalDWConfig):
        from seem_train.model.trunks.focal_dw import FocalDWTrunk

        return FocalDWTrunk(config)
    if isinstance(config, DaViTConfig):
        from seem_train.model.trunks.davit import DaViTTrunk

        return DaViTTrunk(config)
    if isinstance(config, SamViTConfig):
        from seem_train.model.trunks.samvit import SamViTTrunk

        return SamViTTrunk(config)
    from seem_train.model.trunks.timm import TimmTrunk

    return TimmTrunk(config)
