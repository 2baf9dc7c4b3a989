"""FocalNet, the trunk of focal-L and of `tiny`.

It computes what timm's computes with ``normalize_modulator=True``, under timm's names, but stays
channels-last throughout, and has what timm's lacks: norms on the four outputs and padding of odd sizes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from timm.layers.drop import DropPath
from timm.layers.layer_scale import LayerScale2d
from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn

from seem_train.model.config import FocalConfig
from seem_train.model.trunks.base import Trunk

Norm = functools.partial(LayerNorm2d, eps=1e-5)  #: over the channels of [B, C, H, W]


class Downsample(nn.Module):
    """A strided convolution and a norm."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        # The weight lies as the pixels do, or each call would copy it first.
        self.proj = nn.Conv2d(channels_in, channels_out, kernel, stride, padding).to(
            memory_format=torch.channels_last
        )
        self.norm = Norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x))


class Gelu(nn.Module):
    """Exact GELU; in place where no gradient is due (evaluated or frozen), which saves much of its time on a
    CPU."""

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x) if x.requires_grad else torch.ops.aten.gelu_(x)


class Pointwise(nn.Conv2d):
    """1×1 convolution as one matrix product over channels-last pixels, on any device."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 1)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class Modulation(nn.Module):
    """Each pixel's query times the gated sum of contexts of growing size; [B, C, H, W] in and out."""

    def __init__(
        self, dim: int, window: int, levels: int, linear: Callable[[int, int], nn.Module] = Pointwise
    ) -> None:
        super().__init__()
        self.dim, self.levels = dim, levels
        self.f = linear(dim, 2 * dim + levels + 1)
        self.h = Pointwise(dim, dim)
        self.proj = linear(dim, dim)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, k, padding=k // 2, groups=dim, bias=False), Gelu())
            for k in range(window, window + 2 * levels, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        query, context, gates = self.f(x).split((self.dim, self.dim, self.levels + 1), dim=1)
        gates = gates / (self.levels + 1)
        total = torch.zeros_like(context)
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            total.addcmul_(context, gates[:, level : level + 1])  # product and sum in one pass over memory
        everywhere = F.gelu(context.mean((2, 3), keepdim=True))
        total.addcmul_(everywhere, gates[:, self.levels :])
        return self.proj(query * self.h(total))


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int, linear: Callable[[int, int], nn.Module] = Pointwise) -> None:
        super().__init__()
        self.fc1 = linear(dim, hidden)
        self.act = Gelu()
        self.fc2 = linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """Post-norm: nothing is normalised before the modulation or the MLP, their results are."""

    def __init__(self, dim: int, levels: int, window: int, mlp_ratio: float, drop_path: float) -> None:
        super().__init__()
        self.modulation = Modulation(dim, window, levels)
        self.norm1_post = Norm(dim)
        self.ls1 = LayerScale2d(dim, 1e-4)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.norm2_post = Norm(dim)
        self.ls2 = LayerScale2d(dim, 1e-4)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        change = self.drop_path(self.norm1_post(self.modulation(x)))
        x = torch.addcmul(x, change, self.ls1.gamma[:, None, None])
        change = self.drop_path(self.norm2_post(self.mlp(x)))
        return torch.addcmul(x, change, self.ls2.gamma[:, None, None])


class FocalTrunk(Trunk):
    """FocalNet (https://arxiv.org/abs/2203.11926) with a LayerNorm on a copy of each stage's output."""

    def __init__(self, config: FocalConfig) -> None:
        super().__init__()
        count = sum(config.depths)
        rates = iter([config.drop_path_rate * i / max(count - 1, 1) for i in range(count)])
        self.stem = Downsample(3, config.embed_dim, 7, 4, 2)
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.out_channels = {}
        for number, depth in enumerate(config.depths):
            channels = config.embed_dim * 2**number
            levels, window = config.focal_levels[number], config.focal_windows[number]
            down = Downsample(channels // 2, channels, 3, 2, 1) if number else nn.Identity()
            blocks = nn.ModuleList(
                Block(channels, levels, window, config.mlp_ratio, next(rates)) for _ in range(depth)
            )
            self.layers.append(nn.ModuleDict({"downsample": down, "blocks": blocks}))
            self.norms.append(Norm(channels))
            self.out_channels[f"res{number + 2}"] = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        height, width = x.shape[-2:]
        x = self.stem(F.pad(x, (0, -width % 4, 0, -height % 4)))
        features = {}
        for name, stage, norm in zip(self.out_channels, self.layers, self.norms, strict=True):
            x = stage.get_submodule("downsample")(x)
            x = self.run(x, *stage.get_submodule("blocks").children())
            features[name] = norm(x)
        return features

    def to_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        renamed = {_official_name(name): value for name, value in state.items()}
        return {name: value[..., 0, 0] if _is_linear(name) else value for name, value in renamed.items()}


# timm downsamples at the start of a stage, the original at the end of the one before.
_OFFICIAL_NAMES = [
    (r"^stem\.", lambda _: "patch_embed."),
    (r"^norms\.(\d+)\.", lambda m: f"norm{m[1]}."),
    (r"^layers\.(\d+)\.downsample\.", lambda m: f"layers.{int(m[1]) - 1}.downsample."),
    (r"(\.blocks\.\d+)\.ls([12])\.gamma$", lambda m: f"{m[1]}.gamma_{m[2]}"),
    (r"(\.blocks\.\d+)\.norm([12])_post\.", lambda m: f"{m[1]}.norm{m[2]}."),
]


def _official_name(name: str) -> str:
    for pattern, replacement in _OFFICIAL_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _is_linear(official: str) -> bool:
    """Whether the original has a Linear where timm has a 1×1 convolution."""
    return re.search(r"\.(modulation\.(f|proj)|mlp\.fc[12])\.weight$", official) is not None
