"""FocalNet: equal to the original's formulation, official names, sizes, checkpointing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from timm.models.focalnet import FocalNet

from seem_train.model.config import FocalConfig
from seem_train.model.trunks.build import build_trunk
from seem_train.model.trunks.focal import FocalTrunk
from tests.benchmarks.original.model import token_trunk

SMALL = FocalConfig(8, (1, 1, 2, 1), (3, 2, 2, 1), (3, 3, 3, 5), drop_path_rate=0.0)


def small(config: FocalConfig = SMALL) -> FocalTrunk:
    """With every parameter random: layer scales of 1e-4 would hide what the blocks do."""
    torch.manual_seed(0)
    trunk = FocalTrunk(config).eval()
    for name, parameter in trunk.named_parameters():
        torch.nn.init.normal_(parameter, 1.0 if "norm" in name or "gamma" in name else 0.0, 0.3)
    return trunk


@pytest.mark.parametrize("size", [(64, 96), (33, 50), (97, 102), (31, 4)])
def test_equals_the_originals_formulation_on_tokens(size: tuple[int, int]) -> None:
    trunk, x = small(), torch.randn(2, 3, *size)
    with torch.no_grad():
        ours, theirs = trunk(x), token_trunk(trunk, SMALL)(x)
    assert list(ours) == ["res2", "res3", "res4", "res5"]
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=2e-5, rtol=1e-4)


def test_equals_timms_focalnet_but_for_the_norms_of_the_outputs() -> None:
    trunk, x = small(), torch.randn(1, 3, 64, 64)
    timm = FocalNet(
        num_classes=0,
        global_pool="",
        embed_dim=8,
        depths=SMALL.depths,
        focal_levels=SMALL.focal_levels,
        focal_windows=SMALL.focal_windows,
        use_overlap_down=True,
        use_post_norm=True,
        normalize_modulator=True,
        layerscale_value=1e-4,
    ).eval()
    state = {n: t for n, t in trunk.state_dict().items() if not n.startswith("norms")}
    assert not timm.load_state_dict(state, strict=False).unexpected_keys
    with torch.no_grad():
        levels = timm.forward_intermediates(x, intermediates_only=True)
        ours = trunk(x)
        for norm, level, name in zip(trunk.norms, levels, ours, strict=True):
            torch.testing.assert_close(ours[name], norm(level), atol=2e-5, rtol=1e-4)


def test_what_is_copied_to_the_official_names_is_in_the_trunk() -> None:
    trunk = small()
    official = trunk.to_official(trunk.state_dict())
    assert official["layers.0.blocks.0.modulation.f.weight"].shape == (8 * 2 + 3 + 1, 8)
    assert {"patch_embed.proj.weight", "layers.0.downsample.proj.weight", "norm3.bias"} <= official.keys()
    for tensor in official.values():
        tensor.fill_(7)
    assert all((parameter == 7).all() for parameter in trunk.parameters())


def test_focal_l_has_the_names_and_shapes_of_the_released_checkpoint(shared_parity: Path) -> None:
    manifest = json.loads((shared_parity / "keys" / "keys_seem_v1_focall.json").read_text())["state_dict"]
    wanted = {n.removeprefix("backbone."): s for n, (s, *_) in manifest.items() if n.startswith("backbone.")}
    with torch.device("meta"):
        trunk = build_trunk(FocalConfig())
    official = trunk.to_official(trunk.state_dict())
    assert {n: list(t.shape) for n, t in official.items()} == wanted


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for enabled in (False, True):
        trunk = small().train()
        trunk.checkpointing = enabled
        sum(level.square().mean() for level in trunk(torch.ones(1, 3, 32, 32)).values()).backward()  # pyright: ignore
        gradients.append([p.grad for p in trunk.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_stochastic_depth_rises_from_0_to_the_configured_rate_over_all_blocks() -> None:
    trunk = FocalTrunk(FocalConfig(8, (1, 1, 2, 1), (1,) * 4, (3,) * 4, drop_path_rate=0.4))
    rates = [block.drop_path.drop_prob for stage in trunk.layers for block in stage.blocks]  # pyright: ignore
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_can_be_captured_as_one_graph() -> None:
    trunk, x = small(), torch.randn(1, 3, 64, 64)
    compiled = torch.compile(trunk, backend="aot_eager", fullgraph=True)
    with torch.no_grad():
        for ours, wanted in zip(compiled(x).values(), trunk(x).values(), strict=True):
            torch.testing.assert_close(ours, wanted)


def test_stays_channels_last() -> None:
    with torch.no_grad():
        for level in small()(torch.randn(2, 3, 64, 64)).values():
            assert level.is_contiguous(memory_format=torch.channels_last)
