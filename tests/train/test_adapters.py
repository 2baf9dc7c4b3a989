"""Adapters change nothing until they are trained, then everything they are meant to."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Literal

import pytest
import torch
from toy import MICRO, answer, loss_of, micro, outputs, pictures, with_trunk

from seem_train.adapters import layers as adapters
from seem_train.adapters.layers import Placement, inject, is_adapter_name, merge
from seem_train.errors import UserError
from seem_train.model.config import DaViTConfig, DecoderConfig, FocalDWConfig, SamViTConfig

PLACEMENTS = {
    "head": Placement(decoder="bottleneck", rank=4),
    "backbone": Placement(backbone="bottleneck", rank=4),
    "both, all stages": Placement("bottleneck", "bottleneck", (1, 2, 3, 4), 4),
    "both decoders": Placement(decoder="bottleneck", pixel_decoder="bottleneck", rank=4),
    "lora": Placement(decoder="lora", rank=4),
    "lora in both": Placement("lora", "lora", (3, 4), 4),
}
TRUNKS = {
    "focal": MICRO,
    "focal_dw": with_trunk(
        FocalDWConfig(embed_dim=8, depths=(1, 1, 1, 1), focal_levels=(2, 2, 2, 2), focal_windows=(3, 3, 3, 3))
    ),
    "davit": with_trunk(
        DaViTConfig(dims=(8, 16, 32, 64), depths=(1, 1, 1, 1), heads=(1, 2, 2, 4), groups=(1, 2, 2, 4))
    ),
    "samvit": with_trunk(
        SamViTConfig(
            embed_dim=16,
            depth=4,
            heads=2,
            global_blocks=(1, 3),
            image_size=64,
            window=2,
            out_dims=(8, 16, 32, 64),
        )
    ),
}


@pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS)
def test_fresh_adapters_return_the_bits_of_the_model_without_them(placement: Placement) -> None:
    model = micro()
    with torch.no_grad():
        before = outputs(answer(model))
        inject(model, placement)
        after = outputs(answer(model))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("name", TRUNKS)
@pytest.mark.parametrize("kind", ["bottleneck", "lora"])
def test_every_trunk_takes_adapters_in_every_stage(name: str, kind: adapters.Kind) -> None:
    model = micro(TRUNKS[name])
    images = pictures()
    with torch.no_grad():
        before = outputs(answer(model, images))
        inject(model, Placement(backbone=kind, backbone_stages=(1, 2, 3, 4), rank=4))
        after = outputs(answer(model, images))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    loss_of(model).backward()
    last = "up.weight" if kind == "bottleneck" else "up"
    grown = {n: p.grad for n, p in model.named_parameters() if is_adapter_name(n) and n.endswith(last)}
    assert len(grown) >= 4
    idle = [n for n, gradient in grown.items() if gradient is None or not gradient.any()]
    assert idle == [], "an adapter that nothing flows through"


@pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS)
def test_every_adapter_is_reached_by_the_gradient(placement: Placement) -> None:
    model = micro()
    inject(model, placement)
    _disturb(model)
    loss_of(model).backward()
    idle = [
        n for n, p in model.named_parameters() if is_adapter_name(n) and (p.grad is None or not p.grad.any())
    ]
    assert idle == []


def test_the_decoder_has_an_adapter_after_each_sublayer_and_one_beside_the_mask_embedding() -> None:
    model = micro()
    inject(model, Placement(decoder="bottleneck", rank=4))
    owners = {n.split(".adapter.")[0] for n, _ in model.named_parameters() if ".adapter." in n}
    layers = range(MICRO.decoder.layers)
    expected = {f"decoder.{kind}.{i}.norm" for kind in adapters.DECODER_LAYERS for i in layers}
    assert owners == expected | {"decoder.mask_embed"}


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("fpn", ["layer_4", "layer_3", "layer_2", "layer_1", "mask_features"]),
        ("deformable", ["layer_1", "mask_features"]),
    ],
)
def test_the_pixel_decoder_has_an_adapter_at_each_end_of_its_pyramid(
    kind: Literal["fpn", "deformable"], ends: list[str]
) -> None:
    model = micro(replace(MICRO, pixel_decoder=replace(MICRO.pixel_decoder, kind=kind)))
    inject(model, Placement(pixel_decoder="bottleneck", rank=4))
    assert {n.split(".")[1] for n, _ in model.named_parameters() if is_adapter_name(n)} == set(ends)


def test_adapters_of_the_pixel_decoder_record_no_graph_before_it() -> None:
    model = micro().requires_grad_(False)
    inject(model, Placement(pixel_decoder="bottleneck", rank=4))
    features = model.backbone(model.normalise(pictures())[0])
    assert not model.pixel_decoder.encode(features["res5"]).requires_grad
    assert model.pixel_decoder(features)[0].requires_grad


def test_a_bottleneck_has_its_norm_inside_the_branch() -> None:
    """The fork's adapters end in a norm around the sum, which rescales what passes by: ours must add only."""
    branch = adapters.Bottleneck(8, 2)
    torch.nn.init.normal_(branch.up.weight)
    x = torch.randn(5, 8)
    assert torch.allclose(branch(x), branch(10 * x), atol=1e-4), "the branch sees a normalised input"


def test_a_copy_of_a_model_uses_its_own_adapters() -> None:
    model = micro()
    inject(model, PLACEMENTS["both, all stages"])
    twin = copy.deepcopy(model)
    _disturb(twin)
    with torch.no_grad():
        same, other = outputs(answer(model)), outputs(answer(twin))
        fresh = outputs(answer(micro()))
    assert all(torch.equal(a, b) for a, b in zip(same, fresh, strict=True))
    assert not torch.equal(same[-1], other[-1])


@pytest.mark.parametrize("name", ["lora", "lora in both"])
def test_merged_lora_is_a_plain_model_with_the_same_answers(name: str) -> None:
    model, plain = micro(), micro()
    inject(model, PLACEMENTS[name])
    _disturb(model)
    with torch.no_grad():
        before = outputs(answer(model))
        merge(model)
        after = outputs(answer(model))
    assert {n for n, _ in model.named_parameters()} == {n for n, _ in plain.named_parameters()}
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b)
    changed = dict(plain.named_parameters())
    assert any(not torch.equal(p, changed[n]) for n, p in model.named_parameters())


def test_bottlenecks_refuse_to_be_merged() -> None:
    model = micro()
    inject(model, PLACEMENTS["head"])
    with pytest.raises(UserError, match="cannot be merged"):
        merge(model)


def test_impossible_placements_are_refused() -> None:
    with pytest.raises(UserError, match="stages of this backbone are 1 to 4"):
        inject(micro(), Placement(backbone="bottleneck", backbone_stages=(3, 5)))
    with pytest.raises(UserError, match="rank"):
        inject(micro(), Placement(decoder="bottleneck", rank=0))


def test_adapters_follow_low_precision() -> None:
    model = micro(replace(MICRO, decoder=DecoderConfig(**{**vars(MICRO.decoder), "layers": 1})))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        before = outputs(answer(model))
        inject(model, PLACEMENTS["both, all stages"])
        after = outputs(answer(model))
    assert [o.dtype for o in before] == [o.dtype for o in after]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def _disturb(model: torch.nn.Module) -> None:
    torch.manual_seed(9)
    for name, parameter in model.named_parameters():
        if is_adapter_name(name):
            torch.nn.init.normal_(parameter.data, std=0.2)
