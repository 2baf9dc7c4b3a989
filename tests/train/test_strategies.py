"""Each strategy trains what it says and nothing else."""

from __future__ import annotations

import pytest
import torch
from timm.layers import DropPath
from toy import answer, loss_of, micro, outputs, pictures

from seem_train.adapters import freezing
from seem_train.adapters.freezing import apply, check_trainable, count, placement, trainable_share
from seem_train.adapters.layers import is_adapter_name
from seem_train.adapters.strategies import STRATEGIES, find
from seem_train.errors import UserError
from seem_train.model.seem import SEEM
from seem_train.training.optim import build_optimizer, parameter_groups
from seem_train.weights.presets import PRESETS


def prepared(name: str, rank: int = 4, **changes: tuple[str, ...]) -> tuple[SEEM, list[str]]:
    model, strategy = micro(), find(name, **changes)
    return model, apply(model, strategy, placement(strategy, rank))


@pytest.mark.parametrize("name", STRATEGIES)
def test_at_step_0_the_model_answers_as_before(name: str) -> None:
    plain = micro()
    model, _ = prepared(name)
    model.eval()
    with torch.no_grad():
        before, after = outputs(answer(plain)), outputs(answer(model))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", STRATEGIES)
def test_after_3_steps_exactly_the_declared_tensors_have_changed(name: str) -> None:
    model, declared = prepared(name)
    for module in model.modules():
        if isinstance(module, DropPath):
            module.drop_prob = 0.0  # a branch that chance skips in all three steps learns nothing
    before = {n: t.clone() for n, t in model.state_dict(keep_vars=True).items()}
    optimizer = build_optimizer(parameter_groups(model, 1e-2, 0.05, {"backbone": 0.1, "language": 0.1}))
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    changed = {n for n, t in model.state_dict(keep_vars=True).items() if not torch.equal(t, before[n])}
    assert changed == set(declared)
    assert declared


@pytest.mark.parametrize(("name", "most"), [("head-adapter", 0.01), ("adapter", 0.02), ("lora", 0.01)])
def test_adapters_are_a_small_share_of_focal_l(name: str, most: float) -> None:
    with torch.device("meta"):
        model = SEEM(PRESETS["focal-l"].config)
        strategy = find(name)
        apply(model, strategy, placement(strategy))
    rows = count(model, strategy)
    assert sum(row.base for row in rows) == 341_181_177, "the original's count"
    assert 0 < trainable_share(rows) <= most


def test_head_trains_what_the_original_trains_at_focal_l() -> None:
    with torch.device("meta"):
        model = SEEM(PRESETS["focal-l"].config)
        strategy = find("head")
        declared = apply(model, strategy, placement(strategy))
    assert len(declared) == 180
    assert sum(row.trained for row in count(model, strategy)) == 39_812_608


def test_frozen_parts_drop_no_paths_and_record_no_graph() -> None:
    model, _ = prepared("head-adapter")
    features = model.backbone(model.normalise(pictures())[0])
    assert all(f.grad_fn is None for f in features.values())
    assert not any(m.training for m in model.modules() if isinstance(m, DropPath))
    again = model.backbone(model.normalise(pictures())[0])
    assert all(torch.equal(features[k], again[k]) for k in features)


def test_the_graph_begins_at_the_first_adapted_stage() -> None:
    model, _ = prepared("adapter")
    features = model.backbone(model.normalise(pictures())[0])
    recorded = {name for name, f in features.items() if f.grad_fn is not None}
    assert recorded == {"res4", "res5"}, "stages 3 and 4, the default"
    assert not any(m.training for m in model.modules() if isinstance(m, DropPath))


def test_full_training_drops_paths() -> None:
    model, _ = prepared("full")
    assert any(m.training for m in model.backbone.modules() if isinstance(m, DropPath))
    assert not model.language.training


def test_freeze_and_unfreeze_change_a_strategy() -> None:
    _, declared = prepared("head", unfreeze=("pixel-decoder",))
    assert {n.split(".")[0] for n in declared} == {"decoder", "pixel_decoder"}
    _, declared = prepared("full", freeze=("backbone",))
    assert {n.split(".")[0] for n in declared} == {"decoder", "pixel_decoder"}
    with pytest.raises(UserError, match="leaves nothing to train"):
        find("head", freeze=("decoder",))


def test_what_no_task_reaches_stays_frozen() -> None:
    model = micro()
    strategy = find("head")
    declared = apply(model, strategy, placement(strategy), tasks={"panoptic"})
    assert not [n for n in declared if any(part in n for part in freezing.INTERACTIVE_ONLY)]
    assert any("query_feat" in n for n in declared)


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"unknown strategy 'head-adaptor'\. Did you mean 'head-adapter'"):
        find("head-adaptor")
    assert find("adapter") == find("backbone-adapter+head-adapter")


def test_the_optimizer_is_held_to_the_declaration() -> None:
    model, declared = prepared("head-adapter")
    groups = parameter_groups(model, 1e-4, 0.05, {})
    names = [n for g in groups for n in g["names"]]
    check_trainable(model, declared, names)
    with pytest.raises(RuntimeError, match=r"decoder\."):
        check_trainable(model, declared, names[1:])
    dict(model.named_parameters())["pixel_decoder.mask_features.weight"].requires_grad_(True)
    with pytest.raises(RuntimeError, match="mask_features"):
        check_trainable(model, declared, names)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_freeze_table_adds_up(name: str) -> None:
    model, declared = prepared(name)
    rows = count(model, find(name))
    parameters = dict(model.named_parameters())
    assert sum(r.trained for r in rows) == sum(parameters[n].numel() for n in declared)
    assert sum(r.base for r in rows) == sum(
        p.numel() for n, p in parameters.items() if not is_adapter_name(n)
    )
