"""SAM's ViT as SEEM uses it: timm's encoder and a neck that makes four levels of its one.

Blocks with windows of 14 and a few global ones, all with decomposed relative positions
(https://arxiv.org/abs/2203.16527); the neck is a simple feature pyramid of transposed and strided
convolutions with GroupNorm(1) and GELU (https://arxiv.org/abs/2210.11006); see `model/ORIGINAL.md`, 2.

The original adds its 64 × 64 absolute positions as they are and so takes 1024 × 1024 pixels only. Other
sizes work here, by interpolating the tables of absolute and relative positions: an extension of ours,
without effect at the size of the tables.
"""

from __future__ import annotations

from collections.abc import Mapping

from timm.layers.pos_embed import resample_abs_pos_embed_nhwc
from timm.models.vision_transformer_sam import VisionTransformerSAM
from torch import Tensor, nn

from seem_train.model.config import SamViTConfig
from seem_train.model.trunks.base import Trunk


class SimpleFPN(nn.Module):
    """One map of stride 16 → four of strides 4, 8, 16, 32 (`neck` in the official names)."""

    def __init__(self, dim: int, out_dims: tuple[int, ...]) -> None:
        super().__init__()
        d4, d8, d16, d32 = out_dims
        wide4, wide8, wide32 = max(2 * d4, dim // 2), max(d8, dim // 2), max(d32, 2 * dim)
        self.down_4 = nn.Sequential(
            nn.ConvTranspose2d(dim, wide4, 2, stride=2),
            nn.GroupNorm(1, wide4),
            nn.GELU(),
            nn.ConvTranspose2d(wide4, wide4 // 2, 2, stride=2),
            nn.GroupNorm(1, wide4 // 2),
            *_narrowed(wide4 // 2, d4),
        )
        up, down = nn.ConvTranspose2d(dim, wide8, 2, stride=2), nn.Conv2d(dim, wide32, 2, stride=2)
        self.down_8 = nn.Sequential(up, nn.GroupNorm(1, wide8), *_narrowed(wide8, d8))
        self.down_16 = nn.Sequential(*_narrowed(dim, d16))
        self.down_32 = nn.Sequential(down, nn.GroupNorm(1, wide32), *_narrowed(wide32, d32))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {
            "res2": self.down_4(x),
            "res3": self.down_8(x),
            "res4": self.down_16(x),
            "res5": self.down_32(x),
        }


def _narrowed(wide: int, dim: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(wide, dim, 1), nn.GroupNorm(1, dim), nn.GELU()


class SamViTTrunk(Trunk):
    """The encoder's last block through the neck; the sides must be multiples of 2 · patch_size."""

    def __init__(self, config: SamViTConfig) -> None:
        super().__init__()
        self.out_channels = {f"res{i + 2}": dim for i, dim in enumerate(config.out_dims)}
        self.vit = VisionTransformerSAM(
            img_size=config.image_size,
            patch_size=config.patch_size,
            embed_dim=config.embed_dim,
            depth=config.depth,
            num_heads=config.heads,
            mlp_ratio=config.mlp_ratio,
            window_size=config.window,
            global_attn_indexes=config.global_blocks,
            norm_layer=None,  # timm's own choice: LayerNorm with an epsilon of 1e-6
            use_rel_pos=True,
            num_classes=0,
        )
        del self.vit.neck, self.vit.head  # the original has its own neck
        self.neck = SimpleFPN(config.embed_dim, config.out_dims)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.vit.patch_embed(x)
        positions = self.vit.pos_embed
        assert positions is not None
        height, width = x.shape[1:3]
        x = x + resample_abs_pos_embed_nhwc(positions, [height, width])
        return self.neck(self.run(x, *self.vit.blocks).permute(0, 3, 1, 2))

    def to_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name.removeprefix("vit.").replace(".mlp.fc", ".mlp.lin"): tensor for name, tensor in state.items()
        }
