"""The trunks of the released models other than FocalNet, and the deformable pixel decoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from timm.layers.drop import DropPath
from torch import Tensor, nn

from seem_train.errors import UserError
from seem_train.model.config import (
    DaViTConfig,
    DecoderConfig,
    FocalDWConfig,
    LanguageConfig,
    PixelDecoderConfig,
    SamViTConfig,
    SEEMConfig,
    TrunkConfig,
)
from seem_train.model.pixel_decoders.deformable import DeformableAttention, DeformablePixelDecoder
from seem_train.model.seem import PIXEL_DECODERS, SEEM
from seem_train.model.trunks.build import build_trunk
from seem_train.model.trunks.davit import DaViTTrunk
from seem_train.model.trunks.focal_dw import FocalDWTrunk
from seem_train.model.trunks.samvit import SamViTTrunk
from seem_train.weights.original_config import trunk_config

CASES = ("h2_trunk_focal_t", "h3_trunk_davit", "h4_trunk_samvit")
TINY = {
    "focal_dw": FocalDWConfig(8, (1, 1, 2, 1), (2, 2, 1, 1), drop_path_rate=0.0),
    "davit": DaViTConfig((8, 16, 32, 48), (1, 1, 2, 1), (1, 2, 2, 4), (2, 1, 4, 2), 5, drop_path_rate=0.0),
    "davit with 3 × 3 patches": DaViTConfig(
        (8, 8, 16, 16), (1, 1, 1, 1), (1,) * 4, (1,) * 4, down_kernel=3, drop_path_rate=0.0
    ),
    "samvit": SamViTConfig(16, 2, 2, (1,), 64, 16, 3, out_dims=(8, 8, 16, 16)),
}


def case_parts(case: dict) -> tuple[TrunkConfig, PixelDecoderConfig]:
    sizes = case["trunk"]
    if "vit" in sizes:
        vit = sizes["vit"]
        trunk: TrunkConfig = SamViTConfig(
            vit["embed_dim"],
            vit["depth"],
            vit["num_heads"],
            tuple(vit["global_attn_indexes"]),
            vit["img_size"],
            vit["patch_size"],
            vit["window_size"],
            vit["mlp_ratio"],
            tuple(sizes["neck"]["out_dims"]),
        )
    else:
        name = {"focal": "focal_dw", "davit": "davit"}[next(iter(sizes))]
        trunk = trunk_config({"NAME": name, next(iter(sizes)).upper(): next(iter(sizes.values()))}, "case")
    deformable = case["encoder"]["NAME"] == "transformer_encoder_deform"
    return trunk, PixelDecoderConfig(
        kind="deformable" if deformable else "fpn",
        conv_dim=case["encoder"]["CONVS_DIM"],
        mask_dim=case["encoder"]["MASK_DIM"],
        encoder_layers=case["encoder"]["TRANSFORMER_ENC_LAYERS"],
        heads=4,
        ffn_dim=1024 if deformable else 96,
    )


@pytest.mark.parametrize("name", CASES)
def test_features_are_the_originals(shared_parity: Path, name: str) -> None:
    case = json.loads((shared_parity / name / "case.json").read_text())
    data = load_file(shared_parity / name / "data.safetensors")
    trunk_configuration, pixel_configuration = case_parts(case)
    trunk = build_trunk(trunk_configuration).eval()
    decoder = PIXEL_DECODERS[pixel_configuration.kind](pixel_configuration, trunk.out_channels).eval()
    weights = part(data, "weights.backbone.")
    for key, tensor in trunk.to_official(trunk.state_dict()).items():
        tensor.copy_(weights.pop(key))
    assert not weights
    decoder.load_state_dict(part(data, "weights.sem_seg_head.pixel_decoder."))
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    images = [key for key in data if key.startswith("image_")]
    assert images
    for image in images:
        with torch.no_grad():
            features = trunk(((data[image] - mean) / std)[None])
            mask_features, levels = decoder(features)
        ours = {**features, "mask_features": mask_features}
        ours.update({f"multi_scale.{i}": level for i, level in enumerate(levels)})
        for key, value in ours.items():
            golden = data[f"{image.removeprefix('image_')}.{key}"]
            assert (value - golden).abs().max() <= 1e-4 * golden.abs().max(), key


def part(data: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in data.items() if name.startswith(prefix)}


@pytest.mark.parametrize("config", TINY.values(), ids=TINY)
def test_four_levels_at_strides_4_to_32(config: TrunkConfig) -> None:
    trunk = build_trunk(config).eval()
    features = trunk(torch.randn(2, 3, 64, 96))
    assert list(features) == ["res2", "res3", "res4", "res5"] == list(trunk.out_channels)
    for i, (name, level) in enumerate(features.items()):
        assert level.shape == (2, trunk.out_channels[name], 64 // 4 // 2**i, 96 // 4 // 2**i)


@pytest.mark.parametrize("config", TINY.values(), ids=TINY)
def test_what_is_copied_to_the_official_names_is_in_the_trunk(config: TrunkConfig) -> None:
    trunk = build_trunk(config)
    official = trunk.to_official(trunk.state_dict())
    assert len(official) == len(trunk.state_dict())
    for tensor in official.values():
        tensor.fill_(7)
    assert all((tensor == 7).all() for tensor in trunk.state_dict().values())


@pytest.mark.parametrize("config", TINY.values(), ids=TINY)
def test_checkpointing_changes_no_gradient(config: TrunkConfig) -> None:
    torch.manual_seed(0)
    trunk = build_trunk(config).train()
    x = torch.randn(1, 3, 64, 64)

    def gradients() -> list[Tensor]:
        trunk.zero_grad()
        sum(level.square().sum() for level in trunk(x).values()).backward()
        return [p.grad.clone() for p in trunk.parameters() if p.grad is not None]

    plain = gradients()
    trunk.checkpointing = True
    recomputed = gradients()
    assert len(plain) == len(list(trunk.parameters()))
    for a, b in zip(plain, recomputed, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.slow
@pytest.mark.parametrize("config", TINY.values(), ids=TINY)
def test_compiles_into_one_graph(config: TrunkConfig) -> None:
    trunk = build_trunk(config).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        compiled = torch.compile(trunk, backend="eager", fullgraph=True)(x)
        for name, level in trunk(x).items():
            torch.testing.assert_close(compiled[name], level)


def test_davit_drops_each_half_of_a_block_at_its_own_rate() -> None:
    trunk = DaViTTrunk(DaViTConfig((8,) * 4, (1, 1, 2, 1), (1,) * 4, (1,) * 4, drop_path_rate=0.9))
    rates = [m.drop_prob for m in trunk.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.9 * i / 9 for i in range(10)])


def test_davit_groups_of_channels_need_not_be_the_heads() -> None:
    few = DaViTTrunk(TINY["davit"]).eval()
    config = TINY["davit"]
    many = DaViTTrunk(
        DaViTConfig(config.dims, config.depths, config.heads, (1, 1, 1, 1), config.window)
    ).eval()
    many.load_state_dict(few.state_dict())
    x = torch.randn(1, 3, 32, 32)
    assert not torch.allclose(few(x)["res5"], many(x)["res5"])


def test_focal_dw_drops_linearly_over_all_blocks() -> None:
    trunk = FocalDWTrunk(FocalDWConfig(8, (1, 1, 2, 1), (1,) * 4, drop_path_rate=0.4))
    rates = [m.drop_prob for m in trunk.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_samvit_interpolates_its_positions_for_another_size() -> None:
    trunk = SamViTTrunk(TINY["samvit"]).eval()
    nn.init.normal_(trunk.vit.pos_embed)
    x = torch.randn(1, 3, 96, 32)
    small = trunk(x)["res4"]
    assert small.shape[-2:] == (6, 2)
    with torch.no_grad():
        trunk.vit.pos_embed.zero_()
    assert not torch.allclose(small, trunk(x)["res4"])  # the positions did enter


def test_a_kernel_that_no_davit_has_is_refused() -> None:
    with pytest.raises(UserError, match="down_kernel is 2 or 3"):
        DaViTTrunk(DaViTConfig(down_kernel=4))


def naive_deformable_attention(
    attention: DeformableAttention, queries: Tensor, places: Tensor, x: Tensor, sizes: list[tuple[int, int]]
) -> Tensor:
    """The definition (deformable DETR, equation 3) with loops and bilinear weights by hand."""
    heads, points = attention.heads, 4
    count, dim = x.shape
    values = attention.value_proj(x).view(count, heads, -1)
    offsets = attention.sampling_offsets(queries).view(count, heads, len(sizes), points, 2)
    weights = attention.attention_weights(queries).view(count, heads, -1).softmax(-1).view(offsets.shape[:-1])
    out = torch.zeros(count, heads, dim // heads)
    start = 0
    for level, (height, width) in enumerate(sizes):
        maps = values[start : start + height * width].view(height, width, heads, -1)
        start += height * width
        for s in range(count):
            for h in range(heads):
                for p in range(points):
                    px = places[s, 0] * width + offsets[s, h, level, p, 0] - 0.5
                    py = places[s, 1] * height + offsets[s, h, level, p, 1] - 0.5
                    for iy in (int(py.floor()), int(py.floor()) + 1):
                        for ix in (int(px.floor()), int(px.floor()) + 1):
                            if 0 <= iy < height and 0 <= ix < width:
                                share = (1 - (px - ix).abs()) * (1 - (py - iy).abs())
                                out[s, h] += weights[s, h, level, p] * share * maps[iy, ix, h]
    return attention.output_proj(out.flatten(1))


@torch.no_grad()
def test_deformable_attention_is_its_definition() -> None:
    torch.manual_seed(1)
    sizes = [(2, 3), (4, 5)]
    count = sum(h * w for h, w in sizes)
    attention = DeformableAttention(8, 2, 2)
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.7)
    queries, x, places = torch.randn(count, 8), torch.randn(count, 8), torch.rand(count, 2)
    ours = attention(queries[None], places, x[None], sizes)[0]
    torch.testing.assert_close(ours, naive_deformable_attention(attention, queries, places, x, sizes))


def test_the_deformable_decoder_stays_in_float32_under_autocast() -> None:
    decoder = DeformablePixelDecoder(
        PixelDecoderConfig("deformable", 32, 32, 1, 2, 16), {f"res{i}": 4 for i in range(2, 6)}
    )
    features = {f"res{i}": torch.randn(1, 4, 64 // 2**i, 64 // 2**i) for i in range(2, 6)}
    with torch.autocast("cpu", torch.bfloat16):
        mask_features, levels = decoder({k: v.bfloat16() for k, v in features.items()})
    assert {mask_features.dtype, *(level.dtype for level in levels)} == {torch.float32}
    assert [tuple(level.shape[-2:]) for level in levels] == [(2, 2), (4, 4), (8, 8)]


def test_a_samvit_model_goes_all_the_way_at_any_size() -> None:
    config = SEEMConfig(
        trunk=TINY["samvit"],
        pixel_decoder=PixelDecoderConfig("deformable", 32, 32, 1, 2, 16),
        language=LanguageConfig(16, 1, 2, projection=32, vocabulary=20),
        decoder=DecoderConfig(dim=32, heads=2, ffn_dim=16, layers=3, queries=5),
    )
    model = SEEM(config).eval()
    with torch.no_grad():
        features = model.encode_image(torch.randint(0, 256, (3, 70, 40), dtype=torch.uint8))
        masks = model.decode(features).final.objects.masks
    assert masks.shape == (1, 5, 96 // 4, 64 // 4)
    assert masks.isfinite().all()
