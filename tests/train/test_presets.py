"""The released models by name: their tensors' names and shapes, their sizes, and what they compute."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from seem_train.errors import UserError
from seem_train.model.checkpoints import CHECKPOINTS
from seem_train.model.complexity import count_parameters, measure_gflops
from seem_train.model.presets import PRESETS, get_preset
from seem_train.model.seem import SEEM
from seem_train.model.weights import official_state_dict

#: preset → the original's configuration, and a digest of the sorted "name shape" lines of its state dict
OFFICIAL = {
    "focal-l": ("seem_v1_focall", "3388dae34265c98f"),
    "focal-t": ("focalt_unicl_lang_v1", "20252fb3641154f9"),
    "davit-d3": ("davitd3_unicl_lang_v1", "70dd15592a2634fc"),
    "davit-d5": ("davitd5_unicl_lang_v1", "c6cfbfbe1b23b326"),
    "samvit-b": ("samvitb_unicl_lang_v1", "db59eb39a03e4cf7"),
    "samvit-l": ("samvitl_unicl_lang_v1", "6d4172b96f49d972"),
    "focal-l-v0": ("focall_unicl_lang_v0", "3388dae34265c98f"),
    "focal-t-v0": ("focalt_unicl_lang_v0", "20252fb3641154f9"),
}


@cache
def official_shapes(preset: str, demo: bool = False) -> dict[str, tuple[int, ...]]:
    config = PRESETS[preset].config
    if demo:
        config = replace(config, decoder=replace(config.decoder, mode="demo"))
    with torch.device("meta"):
        state = official_state_dict(SEEM(config))
    assert all(tensor.is_meta for tensor in state.values())
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@cache
def parameters(preset: str) -> dict[str, int]:
    return count_parameters(PRESETS[preset].config)


@pytest.mark.parametrize("preset", OFFICIAL)
def test_names_and_shapes_are_the_official_ones(preset: str) -> None:
    lines = sorted(f"{name} {shape}" for name, shape in official_shapes(preset).items())
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == OFFICIAL[preset][1]


@pytest.mark.parametrize(
    ("preset", "manifest", "demo"),
    [(preset, manifest, False) for preset, (manifest, _) in OFFICIAL.items()]
    + [("focal-l", "focall_unicl_lang_demo", True), ("focal-t", "focalt_unicl_lang_demo", True)]
    + [("focal-l", "msdkarimi_noadapters", False)],
)
def test_the_manifest_of_the_original_is_met(
    shared_parity: Path, preset: str, manifest: str, demo: bool
) -> None:
    recorded = json.loads((shared_parity / "keys" / f"keys_{manifest}.json").read_text())
    wanted = {name: tuple(shape) for name, (shape, *_) in recorded["state_dict"].items()}
    assert official_shapes(preset, demo) == wanted
    counts = parameters(preset)
    assert counts["total"] == recorded["param_counts"]["total"]
    assert counts["backbone"] == recorded["param_counts"]["backbone"]
    assert counts["pixel decoder"] == recorded["param_counts"]["sem_seg_head.pixel_decoder"]


def test_parts_add_up() -> None:
    counts = count_parameters(PRESETS["tiny"].config)
    assert counts["total"] == sum(n for part, n in counts.items() if part != "total")
    tokens = PRESETS["tiny"].config.language
    assert 2e6 < counts["total"] - tokens.vocabulary * tokens.width < 4e6


@pytest.mark.parametrize("name", ["tiny", "focal-t", "samvit-b"])
def test_stated_gflops_are_what_is_counted(name: str) -> None:
    assert PRESETS[name].gflops == pytest.approx(measure_gflops(PRESETS[name].config), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"tiny", "focal-t", "samvit-b"}))
def test_all_stated_gflops_are_what_is_counted(name: str) -> None:
    assert PRESETS[name].gflops == pytest.approx(measure_gflops(PRESETS[name].config), rel=0.01)


def test_every_official_file_has_a_preset_and_about_its_size() -> None:
    for checkpoint in CHECKPOINTS.values():
        total = parameters(checkpoint.preset)["total"]
        assert checkpoint.size is not None and 0 < checkpoint.size - 4 * total < 1_000_000


@pytest.mark.parametrize(
    ("typed", "meant"), [("focal_l", "focal-l"), ("Focal-T", "focal-t"), ("samvitb", "samvit-b")]
)
def test_a_slip_in_the_name_gets_a_suggestion(typed: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"did you mean {meant}\\?"):
        get_preset(typed)
