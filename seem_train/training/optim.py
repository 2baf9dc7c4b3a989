"""Parameter groups, AdamW, and the learning rate as a function of progress."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn

from seem_train.adapters.layers import is_adapter_name

DecayRule = Literal["matrices", "original"]


class ParameterGroup(TypedDict):
    """As torch's optimizers take them; `base_lr` is the rate before the schedule."""

    params: list[nn.Parameter]
    names: list[str]
    lr: float
    base_lr: float
    weight_decay: float


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    multipliers: Mapping[str, float],
    rule: DecayRule = "matrices",
) -> list[ParameterGroup]:
    """The trainable parameters in as few groups as there are pairs of learning rate and decay.

    The original makes one group for each tensor, hundreds of small kernels at every step; the numbers are the
    same.

    Args:
        multipliers: by first part of the name (``{"backbone": 0.1}``); adapters, which are new, always take
        1.
        rule: which parameters decay. ``matrices``: those with two or more dimensions, without embeddings.
            ``original``: all but those of norms and ``nn.Embedding``; so also biases (its test for them looks
            at the wrong name) and whatever norms its text encoder writes by itself.
    """
    exempt = _exempt(model, rule)
    groups: dict[tuple[float, float], ParameterGroup] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = lr * (1.0 if is_adapter_name(name) else multipliers.get(name.partition(".")[0], 1.0))
        decay = 0.0 if id(parameter) in exempt else weight_decay
        group = groups.setdefault(
            (rate, decay), {"params": [], "names": [], "lr": rate, "base_lr": rate, "weight_decay": decay}
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase, nn.LocalResponseNorm)


def _exempt(model: nn.Module, rule: DecayRule) -> set[int]:
    """Parameters without decay, by identity."""
    found: set[int] = set()
    for name, module in model.named_modules():
        spared = isinstance(module, (nn.Embedding, *_NORMS))
        if rule == "original" and name.startswith("language."):
            # The original's text encoder brings a LayerNorm of its own, which its rule knows as no norm.
            spared = isinstance(module, nn.Embedding)
        for own, parameter in module.named_parameters(recurse=False):
            small = parameter.ndim < 2 or own.startswith(("pos_embed", "positional_embedding"))
            if spared or (rule == "matrices" and small):
                found.add(id(parameter))
    return found


def build_optimizer(groups: list[ParameterGroup], betas: Sequence[float] = (0.9, 0.999)) -> torch.optim.AdamW:
    """AdamW; one fused kernel for each tensor list, where the device has it (CUDA, CPU).

    The moments are made here and not, as torch would, after the first backward pass: they would fill the gaps
    between the activations that it frees, for good, so that the next step finds no room there; and memory
    that does not suffice fails before any work is done.
    """
    fused = all(p.device.type in ("cuda", "cpu") for group in groups for p in group["params"])
    optimizer = torch.optim.AdamW([dict(group) for group in groups], betas=(betas[0], betas[1]), fused=fused)
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device if fused else None),
            "exp_avg": torch.zeros_like(parameter, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(parameter, memory_format=torch.preserve_format),
        }
    return optimizer


def lr_factor(
    step: int, total: int, milestones: Sequence[float], warmup: int = 0, progress: float = 0.0
) -> float:
    """What the learning rate of step `step` (from 0) of `total` is multiplied with.

    A linear warm-up, then a tenth after each milestone: the step ``int(milestone · total)``, as in the
    original. `progress` (0…1) is the share of an allotted time that has passed; whichever is further on
    counts. The factor depends on nothing else, so a schedule needs no state to be resumed.
    """
    passed = sum(step >= int(share * total) or progress >= share for share in milestones)
    ramp = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return ramp * 0.1**passed


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> float:
    """Set every group's learning rate to its own base times `factor`; returns the largest."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return max(group["lr"] for group in optimizer.param_groups)


def clip_gradients(parameters: Iterable[Tensor], largest: float) -> Tensor:
    """Scale all gradients so that their common norm is at most `largest` (0: never).

    Returns the norm before, on the device, so nothing waits for it.
    """
    return nn.utils.clip_grad_norm_(parameters, largest if largest > 0 else math.inf)


class Ema:
    """A running average of the trainable parameters (float32)."""

    def __init__(self, parameters: Mapping[str, Tensor], decay: float) -> None:
        self.decay = decay
        self.average = {name: p.detach().float().clone() for name, p in parameters.items()}

    @torch.no_grad()
    def update(self, parameters: Mapping[str, Tensor], step: int) -> None:
        """Call after step number `step` (from 1); early steps move the average faster."""
        decay = min(self.decay, step / (step + 10))
        now = [parameters[name].detach().float() for name in self.average]
        # One launch on a GPU. The name is private, and what torch.optim itself averages weights with.
        torch._foreach_lerp_(list(self.average.values()), now, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]

    @torch.no_grad()
    def swap(self, parameters: Mapping[str, Tensor]) -> None:
        """Exchange the average and the model's parameters; twice is no change."""
        for name, average in self.average.items():
            current = parameters[name].detach().clone()
            parameters[name].data.copy_(average)
            average.copy_(current)
