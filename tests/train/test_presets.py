"""The released models by name: their tensors' names and shapes, their sizes, and what they compute."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from seem_train.errors import UserError
from seem_train.model.config import SEEMConfig
from seem_train.model.draws import SeededDraws
from seem_train.model.footprint import count_parameters
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM
from seem_train.weights.checkpoints import CHECKPOINTS
from seem_train.weights.official import official_state_dict
from seem_train.weights.original_config import from_original
from seem_train.weights.presets import PRESETS, get_preset

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


def measure_gflops(config: SEEMConfig) -> float:
    """Matrix products, convolutions and attention of one 512 × 512 image, padded as the model pads it."""
    with torch.device("meta"):
        model = SEEM(config).eval()
        image = torch.zeros(1, 3, 512, 512, dtype=torch.uint8)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.decode(model.encode_image(image))
    return counter.get_total_flops() / 1e9


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


FOCAL = {"EMBED_DIM": 192, "DEPTHS": [2, 2, 18, 2], "FOCAL_LEVELS": [4] * 4, "FOCAL_WINDOWS": [3] * 4}
SMALL_FOCAL = {"EMBED_DIM": 96, "DEPTHS": [2, 2, 6, 2], "FOCAL_LEVELS": [3] * 4, "FOCAL_WINDOWS": [3] * 4}
DAVIT = {
    "DROP_PATH_RATE": 0.3,
    "PATCH_SIZE": [7, 2, 2, 2],
    "PATCH_STRIDE": [4, 2, 2, 2],
    "PATCH_PADDING": [3, 0, 0, 0],
    "PATCH_PRENORM": [False, True, True, True],
    "DIM_EMBED": [128, 256, 512, 1024],
    "NUM_HEADS": [4, 8, 16, 32],
    "NUM_GROUPS": [4, 8, 16, 32],
    "DEPTHS": [1, 1, 9, 1],
}
LARGE_DAVIT = {
    **DAVIT,
    "PATCH_SIZE": [7, 3, 3, 3],
    "PATCH_PADDING": [3, 1, 1, 1],
    "DIM_EMBED": [256, 512, 1024, 2048],
    "NUM_HEADS": [8, 16, 32, 64],
    "NUM_GROUPS": [8, 16, 32, 64],
}
BACKBONES = {
    "focal-l": {"NAME": "focal", "FOCAL": FOCAL},
    "focal-t": {"NAME": "focal_dw", "FOCAL": SMALL_FOCAL},
    "focal-l-v0": {"NAME": "focal", "FOCAL": FOCAL},
    "focal-t-v0": {"NAME": "focal_dw", "FOCAL": SMALL_FOCAL},
    "davit-d3": {"NAME": "davit", "DAVIT": DAVIT},
    "davit-d5": {"NAME": "davit", "DAVIT": LARGE_DAVIT},
    "samvit-b": {"NAME": "vit", "VIT": {"SIZE": "base"}},
    "samvit-l": {"NAME": "vit", "VIT": {"SIZE": "large"}},
}


def original_settings(preset: str) -> dict:
    """What the original's configuration files hold for a model, as far as the network is concerned."""
    sam = preset.startswith("samvit")
    return {
        "MODEL": {
            "DIM_PROJ": 512,
            "TEXT": {"CONTEXT_LENGTH": 77, "WIDTH": 512, "HEADS": 8, "LAYERS": 12},
            "BACKBONE": BACKBONES[preset],
            "ENCODER": {
                "NAME": "transformer_encoder_deform" if sam else "transformer_encoder_fpn",
                "CONVS_DIM": 512,
                "MASK_DIM": 512,
                "NORM": "GN",
                "COMMON_STRIDE": 4,
                "TRANSFORMER_ENC_LAYERS": 6,
            },
            "DECODER": {
                "NAME": "seem_v0" if preset.endswith("v0") else "seem_v1",
                "HIDDEN_DIM": 512,
                "NUM_OBJECT_QUERIES": 101,
                "NHEADS": 8,
                "DIM_FEEDFORWARD": 2048,
                "MAX_SPATIAL_LEN": [512, 512, 512, 512],
                "SIZE_DIVISIBILITY": 1024 if sam else 32,
                "DEC_LAYERS": 10,
                "TEST": {"OVERLAP_THRESHOLD": 0.8, "OBJECT_MASK_THRESHOLD": 0.8},
            },
        },
        "STROKE_SAMPLER": {"DILATION": 3, "EVAL": {"MAX_ITER": 20}},
        "ATTENTION_ARCH": {"SPATIAL_MEMORIES": 32, "QUERY_NUMBER": 3},
        "INPUT": {"PIXEL_MEAN": [123.675, 116.28, 103.53], "PIXEL_STD": [58.395, 57.12, 57.375]},
        "TEST": {"DETECTIONS_PER_IMAGE": 100},
    }


@pytest.mark.parametrize("preset", BACKBONES)
def test_the_originals_configuration_gives_the_preset(preset: str) -> None:
    assert from_original(original_settings(preset)) == PRESETS[preset].config


@pytest.mark.parametrize(
    ("preset", "setting", "value", "says"),
    [
        ("davit-d3", "PATCH_PRENORM", [True] * 4, r"DAVIT.PATCH_PRENORM is \(True, True, True, True\)"),
        ("davit-d5", "PATCH_SIZE", [7, 3, 2, 2], "DAVIT.PATCH_SIZE is"),
        ("focal-t", "USE_POSTLN", False, r"FOCAL.USE_POSTLN is False \(must be True\)"),
        ("samvit-b", "SIZE", "giant", "VIT.SIZE is 'giant'; known are base, large, huge"),
    ],
)
def test_a_variant_that_was_never_released_is_refused(
    preset: str, setting: str, value: object, says: str
) -> None:
    settings = deepcopy(original_settings(preset))
    backbone = settings["MODEL"]["BACKBONE"]
    section = next(key for key in backbone if key != "NAME")
    backbone[section][setting] = value
    with pytest.raises(UserError, match=says):
        from_original(settings)


def test_v0_gives_its_object_every_learned_query_and_draws_nothing() -> None:
    tiny = PRESETS["tiny"].config
    torch.manual_seed(0)
    model = SEEM(replace(tiny, decoder=replace(tiny.decoder, queries_per_prompt=tiny.decoder.queries))).eval()
    mark = torch.zeros(1, 64, 64, dtype=torch.bool)
    mark[0, 20:24, 30:34] = True
    with torch.no_grad():
        features = model.encode_image(torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8))
        answers = [
            model.decode(features, ImagePrompts(positive=mark), draws=SeededDraws(seed)).final.spatial
            for seed in (0, 1)
        ]
    assert answers[0] is not None and answers[1] is not None
    assert answers[0].masks.shape == (1, tiny.decoder.queries, 16, 16)
    assert torch.equal(answers[0].masks, answers[1].masks)
