"""The estimate of memory counts what is kept, and grows as it should."""

from __future__ import annotations

import pytest
import torch
import toy

from seem_train.adapters.freezing import apply, placement
from seem_train.adapters.strategies import find
from seem_train.training.memory import estimate, kept_activations, largest_batch


def prepared(strategy: str) -> torch.nn.Module:
    model, chosen = toy.micro(), find(strategy)
    apply(model, chosen, placement(chosen, 4))
    return model


def test_activations_grow_with_the_batch_and_the_graph() -> None:
    head, adapters, full = (prepared(name) for name in ("head", "adapter", "full"))
    assert kept_activations(head, 2, 64) > 1.8 * kept_activations(head, 1, 64) > 0  # type: ignore[arg-type]
    sizes = [kept_activations(model, 2, 64) for model in (head, adapters, full)]  # type: ignore[arg-type]
    assert sizes[0] < sizes[1] < sizes[2]


def test_the_weights_are_not_copied_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU a copy might not fit beside them."""
    model = prepared("full")
    monkeypatch.setattr(torch.nn.Parameter, "__deepcopy__", None)
    assert kept_activations(model, 1, 64) > 0  # type: ignore[arg-type]


def test_the_estimate_is_what_autograd_really_keeps() -> None:
    """The same forward pass with numbers: what its graph holds, by torch's own hooks."""
    model = prepared("full")
    seen: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    alive: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = model.encode_image(torch.rand(2, 3, 64, 64) * 255)  # type: ignore[operator]
        model.decode(features, every_layer=True)  # type: ignore[operator]
    counted = kept_activations(model, 2, 64)  # type: ignore[arg-type]
    assert 0.8 < counted / sum(seen.values()) < 1.6


def test_frozen_weights_cost_themselves_only_and_half_precision_saves() -> None:
    model = prepared("head-adapter")
    weights = sum(4 * p.numel() for p in model.parameters())
    assert estimate(model, 1, 64) > weights  # type: ignore[arg-type]
    assert estimate(model, 4, 64, "bf16") < estimate(model, 4, 64)  # type: ignore[arg-type]


def test_auto_batch_is_the_largest_that_leaves_room() -> None:
    model = prepared("full")
    needs = {n: estimate(model, n, 64) for n in (1, 2, 4, 8)}  # type: ignore[arg-type]
    for batch, need in needs.items():
        assert largest_batch(model, (1, 2, 4, 8), 64, "fp32", int(need / 0.79)) == batch  # type: ignore[arg-type]
    assert largest_batch(model, (1, 2, 4, 8), 64, "fp32", 0) == 1  # type: ignore[arg-type]
