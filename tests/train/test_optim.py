"""Parameter groups equal to the original's where asked; a learning rate that is a function of the step."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from toy import micro

from seem_train.training.optim import (
    Ema,
    build_optimizer,
    clip_gradients,
    lr_factor,
    parameter_groups,
    set_lr,
)
from seem_train.weights.official import official_state_dict
from seem_train.weights.opening import load_model

MULTIPLIERS = {"backbone": 0.1, "language": 0.1}


@pytest.mark.parametrize("case", ["fix_param", "all_trainable"])
def test_the_original_rule_gives_every_tensor_the_originals_rate_and_decay(
    shared_parity: Path, case: str
) -> None:
    golden = json.loads((shared_parity / "optimizer_groups_tiny.json").read_text())[case]
    model = load_model(shared_parity / "tiny_v1").requires_grad_(True)
    if case == "fix_param":
        model.requires_grad_(False)
        model.decoder.requires_grad_(True)
    groups = parameter_groups(model, 1e-4, 0.05, MULTIPLIERS, rule="original")
    official = _official_names(model)
    ours = {official[n]: (g["lr"], g["weight_decay"]) for g in groups for n in g["names"]}
    assert set(ours) == set(golden["groups"])
    for name, (rate, decay) in golden["groups"].items():
        assert ours[name] == (pytest.approx(rate), decay), name
    assert len(groups) <= 4, "not one for each tensor"


def _official_names(model: nn.Module) -> dict[str, str]:
    """Our parameter names to the original's, told apart by what is in the tensors."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for number, parameter in enumerate(parameters.values()):
            parameter.fill_(1000 + number)
    state = official_state_dict(model)  # type: ignore[arg-type]
    by_number = {int(t.reshape(-1)[0]): name for name, t in state.items()}
    return {name: by_number[1000 + number] for number, name in enumerate(parameters)}


def test_our_rule_decays_matrices_only() -> None:
    model = micro().requires_grad_(True)
    groups = parameter_groups(model, 1e-4, 0.05, MULTIPLIERS)
    decay = {n: g["weight_decay"] for g in groups for n in g["names"]}
    parameters = dict(model.named_parameters())
    for name, value in decay.items():
        vector = parameters[name].ndim < 2
        table = any(
            part in name for part in ("query_", "_embed.weight", "token_embedding", "positional_embedding")
        )
        table = table or any(part in name for part in ("spatial_featured", "pn_indicator", "level_embed"))
        assert value == (0.0 if vector or table else 0.05), name


def test_adapters_of_the_backbone_learn_at_the_full_rate() -> None:
    from seem_train.adapters.freezing import apply, placement
    from seem_train.adapters.strategies import find

    model, strategy = micro(), find("adapter")
    apply(model, strategy, placement(strategy, 4))
    assert {g["lr"] for g in parameter_groups(model, 1e-4, 0.05, MULTIPLIERS)} == {1e-4}


def test_the_schedule_equals_the_originals(shared_parity: Path) -> None:
    golden = json.loads((shared_parity / "optimizer_groups_tiny.json").read_text())["fix_param"]
    total = golden["max_iter"]
    rates = [1e-4 * lr_factor(step, total, (0.88889, 0.96296)) for step in range(total)]
    changes = [(s, r) for s, r in enumerate(rates) if s == 0 or r != rates[s - 1]]
    assert [s for s, _ in changes] == [s for s, _ in golden["lr_changes_of_group0"]]
    assert [r for _, r in changes] == pytest.approx([r for _, r in golden["lr_changes_of_group0"]])


def test_warm_up_is_linear_and_time_can_be_what_runs_out() -> None:
    assert [lr_factor(s, 100, (0.9,), warmup=4) for s in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert lr_factor(10, 1000, (0.5, 0.9), progress=0.6) == pytest.approx(0.1)
    assert lr_factor(950, 1000, (0.5, 0.9), progress=0.6) == pytest.approx(0.01)


def test_set_lr_keeps_the_ratio_between_groups() -> None:
    model = micro().requires_grad_(True)
    optimizer = build_optimizer(parameter_groups(model, 1e-3, 0.05, MULTIPLIERS))
    assert set_lr(optimizer, 0.5) == pytest.approx(5e-4)
    assert {round(g["lr"], 9) for g in optimizer.param_groups} == {5e-4, 5e-5}


def test_clipping_bounds_the_norm_of_the_whole_gradient() -> None:
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2))]
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 10.0)
    norm = clip_gradients(parameters, 5.0)
    assert float(norm) == pytest.approx(10 * math.sqrt(7))
    assert math.sqrt(
        sum(float(p.grad.square().sum()) for p in parameters if p.grad is not None)
    ) == pytest.approx(5.0)
    assert float(clip_gradients(parameters, 0.0)) == pytest.approx(5.0)
    assert float(clip_gradients(parameters, 0.0)) == pytest.approx(5.0), "0 means never"


def test_the_running_average_follows_and_can_be_swapped_in_and_out() -> None:
    parameter = nn.Parameter(torch.zeros(4))
    named = {"w": parameter}
    ema = Ema(named, decay=0.9)
    with torch.no_grad():
        parameter.fill_(1.0)
    for step in range(1, 200):
        ema.update(named, step)
    assert ema.average["w"].mean() == pytest.approx(1.0, abs=1e-3)
    with torch.no_grad():
        parameter.fill_(3.0)
    ema.swap(named)
    assert parameter.detach().mean() == pytest.approx(1.0, abs=1e-3)
    ema.swap(named)
    assert torch.equal(parameter, torch.full((4,), 3.0))
