"""DaViT trunk: timm's module with the original's channel attention, under the official parameter names.

Window attention over pixels, then attention over channels (queries scaled by 1/sqrt(number of pixels)),
each with two residual depthwise convolutions. Source: https://arxiv.org/abs/2204.03645;
`model/ORIGINAL.md`, 2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from timm.layers.drop import DropPath
from timm.models.davit import ChannelAttentionV2, ChannelBlock, SpatialBlock
from timm.models.davit import DaVit as TimmDaViT
from torch import Tensor

from seem_train.errors import UserError
from seem_train.model.config import DaViTConfig
from seem_train.model.trunks.base import Trunk

#: one block's names in timm and in the original, where ATTN is window_attn or channel_attn
_BLOCK_NAMES = (
    ("cpe1.proj.", "conv1.fn.dw."),
    ("norm1.", "ATTN.norm."),
    ("attn.", "ATTN.fn."),
    ("cpe2.proj.", "conv2.fn.dw."),
    ("norm2.", "ffn.norm."),
    ("mlp.", "ffn.fn.net."),
)


class DaViTTrunk(Trunk):
    """Four stages at strides 4, 8, 16, 32; the stages' outputs as they are, without norms."""

    def __init__(self, config: DaViTConfig) -> None:
        super().__init__()
        if config.down_kernel not in (2, 3):
            raise UserError(f"davit: down_kernel is 2 or 3, not {config.down_kernel}")
        self.out_channels = {f"res{i + 2}": dim for i, dim in enumerate(config.dims)}
        self.trunk = TimmDaViT(
            depths=config.depths,
            embed_dims=config.dims,
            num_heads=config.heads,
            window_size=config.window,
            mlp_ratio=config.mlp_ratio,
            down_kernel_size=config.down_kernel,
            channel_attn_v2=True,
            named_blocks=True,
            num_classes=0,
        )
        del self.trunk.norm_pre, self.trunk.head  # the original has neither
        # timm has one number for heads and groups, and one drop rate for both blocks of a pair.
        halves = 2 * sum(config.depths)
        rates = iter([config.drop_path_rate * i / max(halves - 1, 1) for i in range(halves)])
        for groups, stage in zip(config.groups, self.trunk.stages, strict=True):
            for module in stage.modules():
                if isinstance(module, ChannelAttentionV2):
                    module.groups = groups
                elif isinstance(module, SpatialBlock | ChannelBlock):
                    module.drop_path1 = module.drop_path2 = DropPath(next(rates))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.trunk.stem(x)
        features = {}
        for i, stage in enumerate(self.trunk.stages):
            x = self.run(x, stage)
            features[f"res{i + 2}"] = x
        return features

    def to_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {_official_name(name): tensor for name, tensor in state.items()}


def _official_name(name: str) -> str:
    name = name.removeprefix("trunk.")
    if match := re.match(r"(?:stem|stages\.(\d+)\.downsample)\.(conv|norm)\.(.*)", name):
        stage, part, rest = match.groups()
        return f"convs.{stage or 0}.{'proj' if part == 'conv' else 'norm'}.{rest}"
    if match := re.match(r"stages\.(\d+)\.blocks\.(\d+)\.(spatial_block|channel_block)\.(.*)", name):
        stage, block, half, rest = match.groups()
        kind = "window_attn" if half == "spatial_block" else "channel_attn"
        for timms, theirs in _BLOCK_NAMES:
            if rest.startswith(timms):
                theirs = theirs.replace("ATTN", kind)
                return f"blocks.{stage}.{block}.{half}.{theirs}{rest.removeprefix(timms)}"
    return name
