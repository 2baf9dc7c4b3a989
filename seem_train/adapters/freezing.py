"""Putting a strategy in place: adapters in, parts frozen and thawed, and the count of what is trained.

Freezing goes by module, never by a piece of a name: upstream's substring rules froze adapters because they
lie inside a frozen part, and trained others that were meant to be frozen. `apply` returns what it declared,
and `check_trainable` holds the optimizer to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import nn

from seem_train.adapters.layers import Kind, Placement, adapter_kind, inject, is_adapter_name
from seem_train.adapters.strategies import PARTS, Strategy, Treatment

#: the adapters that a treatment puts in
KINDS: dict[Treatment, Kind] = {"frozen": "none", "adapters": "bottleneck", "lora": "lora", "trained": "none"}


def placement(
    strategy: Strategy, rank: int | None = None, backbone_stages: Sequence[int] = (3, 4)
) -> Placement:
    """Where the strategy's adapters go."""
    return Placement(
        decoder=KINDS[strategy.decoder],
        pixel_decoder="bottleneck" if strategy.pixel_decoder == "adapters" else "none",
        backbone=KINDS[strategy.backbone],
        backbone_stages=tuple(backbone_stages),
        rank=rank or strategy.rank,
    )


def as_begun(where: Placement, tensors: Collection[str]) -> Placement:
    """The adapters of a run that goes on, by the names of the tensors that it has trained.

    Versions before the pixel decoder had adapters left it as it was.
    """
    if any(name.startswith("pixel_decoder.") and is_adapter_name(name) for name in tensors):
        return where
    return dataclasses.replace(where, pixel_decoder="none")


#: decoder parameters that only prompts of a kind reach
INTERACTIVE_ONLY = ("mask_sptial_embed", "spatial_embed", "spatial_featured", "pn_indicator")


def apply(
    model: nn.Module, strategy: Strategy, where: Placement, tasks: Collection[str] | None = None
) -> list[str]:
    """Put the adapters in, freeze and thaw; returns the names of the parameters that will be trained.

    Bottlenecks that the weights brought along are layers like others: trained where their part is trained
    or gets bottlenecks, else frozen.

    Args:
        tasks: what will be learned; without ``interactive`` the decoder's prompt embeddings stay frozen,
            which would otherwise only decay.
    """
    inject(model, where)
    declared = []
    for part, attribute in PARTS.items():
        treatment = strategy.treatment(part)
        for name, parameter in model.get_submodule(attribute).named_parameters(attribute):
            unreached = (
                tasks is not None and "interactive" not in tasks and any(n in name for n in INTERACTIVE_ONLY)
            )
            kind = adapter_kind(name)
            adapts = kind != "none" and kind == KINDS[treatment]
            train = adapts or (treatment == "trained" and not unreached)
            parameter.requires_grad_(train)
            if train:
                declared.append(name)
    set_modes(model)
    return declared


def set_modes(model: nn.Module) -> None:
    """Train mode for modules that own trainable parameters and for what lies between them, eval mode for the
    rest.

    A frozen part under ``train()`` keeps dropping paths at random, as the original's frozen backbone does;
    here a block is in train mode only where it is itself being trained.
    """
    model.eval()
    for module in model.modules():
        own = [p for name, p in module.named_parameters() if not is_adapter_name(name)]
        if own and all(p.requires_grad for p in own):
            module.train()


def check_trainable(model: nn.Module, declared: Sequence[str], optimized: Sequence[str]) -> None:
    """Raise RuntimeError unless the optimizer has exactly the declared tensors."""
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not set(trainable) == set(declared) == set(optimized) or len(optimized) != len(declared):
        wrong = sorted(set(declared) ^ set(optimized) | set(declared) ^ set(trainable))
        raise RuntimeError(f"the optimizer does not hold what the strategy declared: {', '.join(wrong[:5])}")


@dataclass(frozen=True)
class PartCount:
    """One row of the freeze table; numbers of parameters."""

    part: str
    treatment: Treatment
    base: int
    base_trained: int
    adapters: int

    @property
    def trained(self) -> int:
        return self.base_trained + self.adapters


def count(model: nn.Module, strategy: Strategy) -> list[PartCount]:
    """What is frozen, adapted and trained in each part, counted on the model itself."""
    rows = []
    for part, attribute in PARTS.items():
        named = list(model.get_submodule(attribute).named_parameters(attribute))
        base = [p for name, p in named if not is_adapter_name(name)]
        rows.append(
            PartCount(
                part,
                strategy.treatment(part),
                sum(p.numel() for p in base),
                sum(p.numel() for p in base if p.requires_grad),
                sum(p.numel() for name, p in named if is_adapter_name(name) and p.requires_grad),
            )
        )
    return rows


def trainable_share(rows: Sequence[PartCount]) -> float:
    """Trained parameters over those of the base model."""
    return sum(row.trained for row in rows) / sum(row.base for row in rows)
