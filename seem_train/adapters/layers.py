"""Adapters: small trainable branches beside frozen weights, without effect until they are trained.

Two kinds, after Houlsby et al. (https://arxiv.org/abs/1902.00751), with the depthwise convolution that makes
bottlenecks fit dense prediction (https://arxiv.org/abs/2408.08345), and Hu et al.
(https://arxiv.org/abs/2106.09685):

* a *bottleneck* adds ``up(GELU(down(LayerNorm(x))))`` to what a module returns;
* *LoRA* adds ``up · down`` to a weight, through torch's own parametrisations, and can be merged into it.

Both end in a matrix of zeros, so a model with fresh adapters returns the bits of the model without them.
Adapters live inside the modules they belong to (``….adapter.…``, ``….parametrizations.…``); every other
parameter keeps its name, except a weight under LoRA, which is called ``….parametrizations.NAME.original``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from seem_train.errors import UserError

Kind = Literal["none", "bottleneck", "lora"]


@dataclass(frozen=True)
class Placement:
    """Where adapters go; with a model configuration it settles all parameter names."""

    decoder: Kind = "none"
    backbone: Kind = "none"
    backbone_stages: tuple[int, ...] = (3, 4)  #: counted from 1 (stride 4) to 4 (stride 32)
    rank: int = 64  #: width of the bottleneck, or rank of the update
    pixel_decoder: Literal["none", "bottleneck"] = "none"


class Bottleneck(nn.Module):
    """x [.., dim] to the branch's addend [.., dim]; zero until `up` is trained."""

    def __init__(self, dim: int, rank: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.down = nn.Linear(dim, rank)
        self.up = nn.Linear(rank, dim)
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.gelu(self.down(self.norm(x))))


class ConvBottleneck(Bottleneck):
    """A bottleneck for feature maps, with a residual depthwise 3×3 convolution at rank width."""

    def __init__(self, dim: int, rank: int, channels_last: bool) -> None:
        super().__init__(dim, rank)
        self.channels_last = channels_last
        self.mix = nn.Conv2d(rank, rank, 3, padding=1, groups=rank)

    def forward(self, x: Tensor) -> Tensor:
        """[B, H, W, C] with `channels_last`, else [B, C, H, W], in and out."""
        narrow = self.down(self.norm(x if self.channels_last else x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        wide = self.up(F.gelu(narrow + self.mix(narrow)).permute(0, 2, 3, 1))
        return wide if self.channels_last else wide.permute(0, 3, 1, 2)


class LoRA(nn.Module):
    """A parametrisation: weight [out, in] or [out, in, 1, 1] to the same plus ``up · down``."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape[:2]
        self.down = nn.Parameter(torch.empty(rank, columns, device=weight.device))
        self.up = nn.Parameter(torch.zeros(rows, rank, device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


# Plain functions as hooks, the adapter as a child of its module: copies and pickles of the model stay whole.


Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]


def _add_to_output(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + module.adapter(output).to(output.dtype)  # type: ignore[operator]


def _add_beside(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + module.adapter(inputs[0]).to(output.dtype)  # type: ignore[operator]


def inject(model: nn.Module, placement: Placement) -> None:
    """Put fresh adapters into a SEEM model whose base weights are already loaded.

    A bottleneck that stands at its place already, since the base was tuned itself, stays and goes on from
    there. LoRA of the base must have been folded (`fold_lora`).

    Raises:
        UserError: a stage the trunk does not have, a rank below 1, or other than that of a bottleneck there.
    """
    if placement.rank < 1:
        raise UserError(f"--rank {placement.rank}: the rank of adapters is 1 or more (64 is usual)")
    if any(adapter_kind(name) == "lora" for name, _ in model.named_parameters()):
        raise ValueError("the model's LoRA has not been folded into its weights")
    if placement.decoder == "bottleneck":
        for module, dim in decoder_sites(model):
            _attach(module, Bottleneck(dim, placement.rank), _add_to_output)
        mask_embed, dim = mask_embed_site(model)
        _attach(mask_embed, Bottleneck(dim, placement.rank), _add_beside)
    elif placement.decoder == "lora":
        for module, name in decoder_weights(model):
            _attach_lora(module, name, placement.rank)
    if placement.pixel_decoder == "bottleneck":
        for module, channels in pyramid_sites(model):
            _attach(module, ConvBottleneck(channels, placement.rank, channels_last=False), _add_to_output)
    if placement.backbone != "none":
        stages = backbone_stages(model)
        wrong = [stage for stage in placement.backbone_stages if not 1 <= stage <= len(stages)]
        if wrong or not placement.backbone_stages:
            raise UserError(
                f"--backbone-stages {','.join(map(str, placement.backbone_stages))}: "
                f"the stages of this backbone are 1 to {len(stages)}"
            )
        for block in [b for stage in sorted(set(placement.backbone_stages)) for b in stages[stage - 1]]:
            if placement.backbone == "lora":
                for module, name in list(_dense_weights(block)):
                    _attach_lora(module, name, placement.rank)
            else:
                module, dim, last = block_site(model, block)
                _attach(module, ConvBottleneck(dim, placement.rank, last), _add_to_output)


def _attach(module: nn.Module, adapter: Bottleneck, hook: Hook) -> None:
    there = dict(module.named_children()).get("adapter")
    if isinstance(there, Bottleneck):
        if there.down.out_features != adapter.down.out_features:
            raise UserError(
                f"--rank {adapter.down.out_features}: the weights hold bottleneck adapters of rank "
                f"{there.down.out_features}; train them further with --rank {there.down.out_features}, or "
                "start from the weights below them"
            )
        return
    module.add_module("adapter", adapter.to(next(module.parameters()).device))
    module.register_forward_hook(hook)


def _attach_lora(module: nn.Module, name: str, rank: int) -> None:
    parametrize.register_parametrization(module, name, LoRA(getattr(module, name), rank))


# Sites: the only place that knows how the parts of the model are built. -------------------------------------

DECODER_LAYERS = (
    "transformer_cross_attention_layers",
    "transformer_self_attention_layers",
    "transformer_ffn_layers",
)


def decoder_sites(model: nn.Module) -> list[tuple[nn.Module, int]]:
    """The norm that ends each cross-attention, self-attention and feed-forward layer, and its width."""
    decoder: Any = model.get_submodule("decoder")
    norms = [layer.norm for name in DECODER_LAYERS for layer in getattr(decoder, name)]
    return [(norm, norm.normalized_shape[0]) for norm in norms]


def mask_embed_site(model: nn.Module) -> tuple[nn.Module, int]:
    module = model.get_submodule("decoder.mask_embed")
    named = module.named_parameters()
    widths = [p.shape for name, p in named if p.ndim == 2 and not is_adapter_name(name)]
    if widths[0][1] != widths[-1][0]:
        raise ValueError("the mask embedding changes the width, so nothing can be added beside it")
    return module, widths[0][1]


def pyramid_sites(model: nn.Module) -> list[tuple[nn.Module, int]]:
    """The convolution that smooths each level of the pixel decoder's pyramid and the one that makes the mask
    features, with their channels.

    What lies before them, the trunk and the transformer over its coarsest level, needs no gradients.
    """
    named = model.get_submodule("pixel_decoder").named_children()
    ends = [module for name, module in named if name.startswith("layer_") or name == "mask_features"]
    return [(end, cast(nn.Conv2d, end).out_channels) for end in ends]


def decoder_weights(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """The attention and feed-forward projections of the decoder's layers."""
    for name in DECODER_LAYERS:
        for module in _own_modules(model.get_submodule(f"decoder.{name}")):
            if "in_proj_weight" in module._parameters:
                yield module, "in_proj_weight"
            elif isinstance(module, nn.Linear):
                yield module, "weight"


def backbone_stages(model: nn.Module) -> list[list[nn.Module]]:
    """The blocks of each of the trunk's four stages; a trunk of one resolution is cut into quarters."""
    backbone: Any = model.get_submodule("backbone")
    if hasattr(backbone, "layers"):  # FocalNet, plain and with the extra depthwise convolutions
        return [list(stage.blocks) for stage in backbone.layers]
    if hasattr(backbone, "trunk"):  # DaViT: pairs of a window and a channel block
        return [[half for pair in stage.blocks for half in pair] for stage in backbone.trunk.stages]
    if hasattr(backbone, "stages"):  # timm: the block that ends each stage
        return [[block] for block, _ in backbone.stages]
    blocks = list(backbone.vit.blocks)
    quarter = -(-len(blocks) // 4)
    return [blocks[i : i + quarter] for i in range(0, len(blocks), quarter)]


def block_site(model: nn.Module, block: nn.Module) -> tuple[nn.Module, int, bool]:
    """The module whose output a bottleneck joins (the focal modulation; in other trunks the block), the
    channels of that, and whether they come last."""
    backbone: Any = model.get_submodule("backbone")
    if hasattr(backbone, "stages"):
        width = next(width for other, width in backbone.stages if other is block)
        return block, width, backbone.channels_last
    if hasattr(block, "modulation"):
        modulation: Any = block.modulation
        return modulation, modulation.dim, False
    norm: Any = block.norm2
    return block, norm.normalized_shape[0], type(block).__module__.endswith("vision_transformer_sam")


def _own_modules(module: nn.Module) -> Iterator[nn.Module]:
    """The module and all inside it but adapters."""
    return (inside for name, inside in module.named_modules() if "adapter" not in name.split("."))


def _dense_weights(block: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for module in _own_modules(block):
        point = isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1
        if point or isinstance(module, nn.Linear):
            yield module, "weight"


# What is an adapter, and how to get rid of it. ------------------------------------------------------


def adapter_kind(name: str) -> Kind:
    """Of which kind of adapter a parameter is part, by its name in ``named_parameters()``."""
    parts = name.split(".")
    if "parametrizations" in parts and parts[-1] != "original":
        return "lora"
    return "bottleneck" if "adapter" in parts else "none"


def is_adapter_name(name: str) -> bool:
    """Whether a parameter belongs to an adapter, by its name in ``named_parameters()``."""
    return adapter_kind(name) != "none"


def has_adapters(model: nn.Module) -> bool:
    return any(is_adapter_name(name) for name, _ in model.named_parameters())


def fold_lora(model: nn.Module) -> None:
    """Add LoRA to the weights it belongs to, in place; bottlenecks, layers of their own, stay."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for name in list(cast(nn.ModuleDict, module.parametrizations)):
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def merge(model: nn.Module) -> None:
    """Fold LoRA in; parameter names are then those of the base model.

    Raises:
        UserError: the model has bottleneck adapters, which no weight of the base model can hold.
    """
    if any(adapter_kind(name) == "bottleneck" for name, _ in model.named_parameters()):
        raise UserError(
            "bottleneck adapters cannot be merged: they are layers of their own, not changes of weights. "
            "Keep the adapter folder, or fine-tune with --strategy lora or head to get plain weights."
        )
    fold_lora(model)
