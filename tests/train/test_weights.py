"""Weights in and out: official names, recognising a file, loading, and files that are not what they seem."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import seem_train
from seem_train.errors import UserError
from seem_train.model.config import (
    DecoderConfig,
    LanguageConfig,
    PixelDecoderConfig,
    SamViTConfig,
    SEEMConfig,
)
from seem_train.model.seem import SEEM
from seem_train.weights.checkpoints import CHECKPOINTS, find_weights, weights_folder
from seem_train.weights.official import load_official, official_state_dict, recognise
from seem_train.weights.opening import load_model
from seem_train.weights.presets import PRESETS
from seem_train.weights.tensor_files import read_tensors, write_tensors


@pytest.fixture(scope="module")
def tiny() -> SEEM:
    torch.manual_seed(0)
    return load_model("tiny")


@pytest.fixture
def saved(tiny: SEEM, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.pt"
    torch.save(official_state_dict(tiny), path)
    return path


def hollow(preset: str) -> dict[str, Tensor]:
    """A full-size model's official names and shapes in a few bytes: every tensor one repeated zero."""
    with torch.device("meta"):
        state = official_state_dict(SEEM(PRESETS[preset].config))
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}


def same(a: SEEM, b: SEEM) -> bool:
    one, other = a.state_dict(), b.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ── loading ────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_saved_under_official_names_loads_again(tiny: SEEM, saved: Path) -> None:
    model = load_model("tiny", weights=saved)
    assert same(model, tiny)
    assert not model.training


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {f"module.model.{name}": tensor for name, tensor in state.items()},
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}},
    ],
)
def test_wrappers_and_prefixes_are_taken_off(tiny: SEEM, tmp_path: Path, wrap: Callable) -> None:
    path = tmp_path / "wrapped.pt"
    torch.save(wrap(official_state_dict(tiny)), path)
    assert same(load_model("tiny", weights=path), tiny)


def test_the_loss_weights_and_the_dilation_kernel_may_be_absent(tiny: SEEM, tmp_path: Path) -> None:
    state = official_state_dict(tiny)
    del state["criterion.empty_weight"], state["dilation_kernel"]
    torch.save(state, tmp_path / "bare.pt")
    assert same(load_model("tiny", weights=tmp_path / "bare.pt"), tiny)


def test_the_loss_weights_may_be_for_other_categories(tiny: SEEM) -> None:
    state = official_state_dict(tiny) | {"criterion.empty_weight": torch.ones(11)}
    assert load_official(tiny, state).ignored == ["dilation_kernel", "criterion.empty_weight"]


def test_the_lazy_public_name() -> None:
    assert seem_train.load_model is load_model
    assert "load_model" in dir(seem_train)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        seem_train.nonsense  # noqa: B018


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, seem_train, seem_train.cli; sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_and_an_unknown_device() -> None:
    with pytest.raises(UserError, match="no model named 'focal-xl'; did you mean focal-l"):
        load_model("focal-xl")
    with pytest.raises(UserError, match="no device 'gpu'"):
        load_model("tiny", device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="finds no CUDA GPU"):
            load_model("tiny", device="cuda")


# ── folders ────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_of_the_originals_form_loads_with_every_tensor(shared_parity: Path) -> None:
    model = load_model(shared_parity / "tiny_v1")
    theirs = read_tensors(shared_parity / "tiny_v1" / "weights.safetensors")
    ours = official_state_dict(model)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name].to(ours[name].dtype)) for name in theirs)


def test_a_folder_without_weights_takes_a_file(shared_parity: Path) -> None:
    demo, file = shared_parity / "tiny_demo", shared_parity / "tiny_v1" / "weights.safetensors"
    assert load_model(demo, weights=file).config.decoder.mode == "demo"
    with pytest.raises(UserError, match=r"has no weights\.safetensors; name a file"):
        load_model(demo)


def test_a_yaml_configuration_means_the_same(shared_parity: Path, tmp_path: Path) -> None:
    import yaml

    source = shared_parity / "tiny_v1"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(json.loads((source / "config.json").read_text())))
    shutil.copy(source / "weights.safetensors", tmp_path)
    assert same(load_model(tmp_path), load_model(source))


def test_all_missing_keys_of_a_configuration_are_named_at_once(shared_parity: Path, tmp_path: Path) -> None:
    config = json.loads((shared_parity / "tiny_v1" / "config.json").read_text())
    del config["MODEL"]["DIM_PROJ"], config["MODEL"]["DECODER"]["HIDDEN_DIM"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"lacks MODEL.DIM_PROJ, MODEL.DECODER.HIDDEN_DIM"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        ("BACKBONE", "NAME", "resnet", "NAME is 'resnet'; known are focal, focal_dw, davit and vit"),
        ("ENCODER", "NAME", "fpn", "known are transformer_encoder_fpn and transformer_encoder_deform"),
        ("ENCODER", "NORM", "BN", "NORM is 'BN' \\(must be 'GN'\\)"),
        ("DECODER", "NAME", "xdecoder", "known are seem_v0, seem_v1 and seem_demo"),
    ],
)
def test_what_is_no_seem_is_refused(
    shared_parity: Path, tmp_path: Path, section: str, key: str, value: str, says: str
) -> None:
    config = json.loads((shared_parity / "tiny_v1" / "config.json").read_text())
    config["MODEL"][section][key] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=says):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ["{not json", "[1, 2]"])
def test_a_broken_configuration(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(tmp_path)
    with pytest.raises(UserError, match=r"it has no config\.json"):
        load_model(tmp_path.parent)


# ── which model a file belongs to ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("preset", [p for p in PRESETS if not p.endswith("-v0")])
def test_a_file_is_recognised_by_names_and_shapes(preset: str) -> None:
    assert recognise(hollow(preset)) == preset


def test_v0_is_told_from_v1_by_the_name_of_the_official_file() -> None:
    state = hollow("focal-t")
    assert recognise(state, "seem_focalt_v0.pt") == "focal-t-v0"
    assert recognise(state, "seem_focall_v0.pt") == "focal-t"  # a wrong name does not deceive
    assert recognise({"weight": torch.zeros(1)}) is None


def test_weights_of_another_model_say_which(tmp_path: Path) -> None:
    torch.save(hollow("focal-t"), tmp_path / "w.pt")
    with pytest.raises(UserError, match="holds the weights of 'focal-t', not of 'tiny'"):
        load_model("tiny", weights=tmp_path / "w.pt")


def test_what_does_not_fit_is_counted_and_nothing_is_copied(tiny: SEEM) -> None:
    state = {name: tensor + 1 for name, tensor in official_state_dict(tiny).items()}
    del state["backbone.norm0.weight"], state["backbone.norm1.weight"], state["backbone.norm2.weight"]
    state["extra"] = torch.zeros(1)
    state["sem_seg_head.predictor.query_feat.weight"] = torch.zeros(2, 3)
    before = {name: tensor.clone() for name, tensor in tiny.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_official(tiny, state, "w.pt")
    text = str(caught.value)
    assert "missing: 3 (backbone.norm0.weight, backbone.norm1.weight, …)" in text
    assert "unexpected: 1 (extra)" in text
    assert "query_feat.weight (2, 3) ≠ (40, 128)" in text
    assert len(text) < 500
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.state_dict().items())


def test_position_tables_of_another_size_are_interpolated() -> None:
    def samvit(side: int) -> SEEM:
        return SEEM(
            SEEMConfig(
                trunk=SamViTConfig(16, 2, 2, (1,), side, 16, 3, out_dims=(8, 8, 16, 16)),
                pixel_decoder=PixelDecoderConfig("deformable", 32, 32, 1, 2, 16),
                language=LanguageConfig(16, 1, 2, projection=32, vocabulary=20),
                decoder=DecoderConfig(dim=32, heads=2, ffn_dim=16, layers=1, queries=4),
            )
        )

    large, small = samvit(128), samvit(64)
    state = official_state_dict(large)
    state["backbone.pos_embed"].fill_(0.5)
    report = load_official(small, state)
    assert report.fits
    assert report.resized == [
        "backbone.pos_embed",
        "backbone.blocks.1.attn.rel_pos_h",
        "backbone.blocks.1.attn.rel_pos_w",
    ]
    loaded = official_state_dict(small)
    torch.testing.assert_close(loaded["backbone.pos_embed"], torch.full((1, 4, 4, 16), 0.5))
    assert torch.equal(loaded["backbone.patch_embed.proj.weight"], state["backbone.patch_embed.proj.weight"])


# ── files ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_file_gives_back_every_bit(tmp_path: Path, suffix: str) -> None:
    base = torch.randn(4, 6)
    tensors = {
        "half": torch.randn(3).half(),
        "brain": torch.randn(3).bfloat16(),
        "double": torch.tensor([float("nan"), -0.0, float("inf")], dtype=torch.float64),
        "whole": torch.arange(4),
        "scalar": torch.tensor(2.5),
        "view": base.T,
        "other view": base[1:],
        "empty": torch.zeros(0, 3),
    }
    path = tmp_path / "deep" / f"file{suffix}"
    write_tensors(path, tensors)
    back = read_tensors(path)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert back[name].dtype == tensor.dtype and back[name].shape == tensor.shape
        assert torch.equal(bits(back[name]), bits(tensor)), name
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.pt"
    write_tensors(path, {"a": torch.ones(2)})

    def fail(_: object, part: Path) -> None:
        Path(part).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_tensors(path, {"a": torch.zeros(2)})
    assert torch.equal(read_tensors(path)["a"], torch.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]


def test_only_two_suffixes_are_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.safetensors or \.pt"):
        write_tensors(tmp_path / "w.bin", {})


class Harm:
    """Opening this pickle the usual way would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_with_code_is_not_opened(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"a": torch.zeros(1), "harm": Harm(trace)}, tmp_path / "zipped.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Harm(trace)))
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Harm(trace), protocol=2))
    for name, what in (
        ("zipped.pt", r"\w+\.system"),
        ("old.pt", r"\w+\.system"),
        ("bare.pt", "a plain pickle"),
    ):
        with pytest.raises(UserError, match=rf"holds more than tensors \({what}\) and is not opened"):
            read_tensors(tmp_path / name)
    assert not trace.exists()


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.999])
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_truncated_file(tiny: SEEM, tmp_path: Path, form: str, keep: float) -> None:
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pt")
    state = official_state_dict(tiny)
    if form == "legacy":
        torch.save(state, path, _use_new_zipfile_serialization=False)
    else:
        write_tensors(path, state)
    assert len(read_tensors(path)) == len(state)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(UserError, match="is incomplete or damaged"):
        read_tensors(path)


def test_a_truncated_official_file_says_how_much_is_there(tmp_path: Path) -> None:
    path = tmp_path / "seem_focalt_v1.pt"
    path.write_bytes(b"PK\x03\x04" + bytes(1000))
    with pytest.raises(UserError, match="1,004 of 658,792,514 bytes; download it again"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"\n  <html lang='en'>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:06cad\n", "is a Git LFS pointer"),
        (b"just some notes", "is neither a PyTorch nor a safetensors file"),
        (pickle.dumps([1, 2, 3]), "holds more than tensors"),
    ],
)
def test_a_file_that_is_something_else(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "seem_focall_v1.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        load_model("tiny", weights=path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_checkpoint_without_tensors_and_a_folder(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pt")
    with pytest.raises(UserError, match="holds no state dict"):
        read_tensors(tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"is a folder; name the \.pt or \.safetensors file"):
        load_model("tiny", weights=tmp_path)


# ── where files are kept ───────────────────────────────────────────────────────────────────────────


def test_a_bare_name_is_looked_for_in_the_weights_folder(
    saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SEEM_WEIGHTS", str(saved.parent))
    monkeypatch.chdir(tmp_path.parent)
    assert weights_folder() == saved.parent
    assert find_weights("tiny.pt") == saved
    with pytest.raises(UserError, match=r"weights file .*other\.pt does not exist$"):
        find_weights("other.pt")
    monkeypatch.delenv("SEEM_WEIGHTS")
    assert weights_folder() == Path.home() / ".cache" / "seem-tools" / "weights"


def test_a_missing_official_file_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEM_WEIGHTS", str(tmp_path / "kept"))
    for name in CHECKPOINTS:
        with pytest.raises(UserError, match=f"seem-train weights get {name}, or place it in .*kept"):
            load_model("focal-l", weights=name)


# ── what only looks like weights ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["sparse", "sparse_csr", "quantised", "meta"])
def test_tensors_that_are_no_plain_numbers_are_one_sentence(kind: str, tmp_path: Path) -> None:
    plain = torch.eye(4)
    odd = {
        "sparse": plain.to_sparse,
        "sparse_csr": plain.to_sparse_csr,
        "quantised": lambda: torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8),
        "meta": lambda: plain.to("meta"),
    }[kind]()
    torch.save({"good": plain, "odd.weight": odd}, tmp_path / "w.pt")
    with pytest.raises(UserError, match=r"w\.pt(: odd\.weight is .*only plain tensors are read| )"):
        read_tensors(tmp_path / "w.pt")


@pytest.mark.parametrize("container", ["state_dict", "model", "module"])
def test_a_tensor_beside_the_state_dict_is_not_the_weights(
    container: str, tiny: SEEM, tmp_path: Path
) -> None:
    state = official_state_dict(tiny)
    torch.save({"step": torch.tensor(5), container: state, "epoch": 3}, tmp_path / "w.pt")
    assert read_tensors(tmp_path / "w.pt").keys() == state.keys()
