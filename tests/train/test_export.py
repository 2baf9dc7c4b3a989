"""What is exported computes what the model computes: as weights, as programs, as ONNX run by onnxruntime."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from run_folders import write_run
from toy import MICRO, NAMES, micro, with_trunk
from typer.testing import CliRunner, Result

from seem_train import Predictor
from seem_train.adapters.layers import Placement
from seem_train.cli.app import app
from seem_train.data.image_scale import Scale
from seem_train.errors import UserError
from seem_train.exporting import export
from seem_train.exporting.graphs import ImageEncoder, PromptDecoder, TextEncoder
from seem_train.exporting.readme import EXAMPLE
from seem_train.model.config import DaViTConfig, SamViTConfig
from seem_train.model.draws import SeededDraws
from seem_train.model.language import tokenize
from seem_train.model.prepare import PreparedPrompts
from seem_train.model.prompts import ImagePrompts, Marks
from seem_train.model.seem import SEEM
from seem_train.prediction.vocabulary import as_categories
from seem_train.weights.opening import load_model
from seem_train.weights.tensor_files import read_tensors

SIDE = 64


def _photo(height: int = 90, width: int = 140) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _padded(model: SEEM, photo: np.ndarray, scale: Scale) -> tuple[torch.Tensor, tuple[int, int]]:
    seen = scale.apply(photo)
    height, width = seen.shape[-2:]
    batch = torch.tensor(model.config.pixel_mean)[None, :, None, None]
    batch = batch.expand(1, 3, -(-height // 32) * 32, -(-width // 32) * 32).clone()
    batch[0, :, :height, :width] = seen
    return batch, (height, width)


def _flat(model: SEEM, prepared: PreparedPrompts, texts: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What the prompt decoder is fed, of prompts as the model prepares them."""
    config = model.config.decoder
    pixels = prepared.pixels[0]
    assert prepared.queries is not None
    assert prepared.texts is not None
    assert prepared.texts_real is not None
    shape = (prepared.objects, *prepared_size)
    previous = torch.zeros(1, *shape) if prepared.previous is None else prepared.previous
    nobody = torch.full((config.layers, config.memories), -1)
    return (
        prepared.texts,
        prepared.texts_real,
        texts,
        pixels.points,
        pixels.owners,
        pixels.positive,
        prepared.queries.view(prepared.objects, -1),
        previous,
        nobody if prepared.memories is None else prepared.memories,
    )


prepared_size = (16, 32)  # mask resolution of _photo() at SIDE: padded to 64 × 128


# The graphs' own modules: flat tensors in and out, the model's numbers. -------------------------------------


@pytest.fixture(scope="module")
def model() -> SEEM:
    return micro()


@torch.no_grad()
def test_the_image_encoder_gives_what_the_model_keeps(model: SEEM) -> None:
    scale = Scale.of(SIDE)
    features = model.encode_image(scale.apply(_photo()))
    batch, _ = _padded(model, _photo(), scale)
    found = dict(zip(ImageEncoder.OUTPUTS, ImageEncoder(model)(batch), strict=True))
    assert torch.allclose(found["mask_features"], features.mask_features, atol=1e-5)
    assert features.objects is not None
    assert torch.allclose(found["object_vectors"], features.objects.class_vectors, atol=1e-5)
    assert torch.allclose(found["object_masks"], features.objects.masks, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("again", [False, True], ids=["first round", "second round"])
def test_the_prompt_decoder_answers_as_the_model_does(model: SEEM, again: bool) -> None:
    scale = Scale.of(SIDE)
    features = model.encode_image(scale.apply(_photo()))
    size = features.sizes[0]
    marks = [Marks(points=[(10, 20), (50, 30)]), Marks(boxes=[(5, 5, 20, 20)])]
    positive = torch.stack([mark.paint(*size) for mark in marks])
    negative = torch.stack([Marks(points=[(90, 5)]).paint(*size), torch.zeros(size, dtype=torch.bool)])
    previous = torch.randn(2, *features.mask_features.shape[-2:]) * 5 if again else None
    texts = ["the red mug", "a plate"]
    prepared = model.prepare(features, ImagePrompts(texts, positive, negative, previous), SeededDraws(3))
    vectors = model.encode_text(texts).vectors
    batch, _ = _padded(model, _photo(), scale)
    encoded = ImageEncoder(model)(batch)[:7]
    assert tuple(encoded[0].shape[-2:]) == prepared_size
    similarity, text_masks, object_masks = PromptDecoder(model)(*encoded, *_flat(model, prepared, vectors))
    answer = model.decode(features, prepared).final
    assert answer.grounding is not None
    assert torch.allclose(text_masks, answer.grounding.masks, atol=1e-4)
    expected = model.language.text_logits(answer.grounding.class_vectors[0], vectors)
    assert torch.allclose(similarity, expected, atol=1e-4)
    assert torch.allclose(object_masks, model.refine(features, prepared), atol=1e-4)


@torch.no_grad()
def test_the_text_encoder_gives_the_models_embeddings(model: SEEM) -> None:
    texts = ["a mug", "the red plate on the left of the table"]
    ids, lengths = tokenize(texts)
    tokens, vectors = TextEncoder(model)(ids)
    expected = model.encode_text(texts)
    assert torch.allclose(vectors, expected.vectors, atol=1e-5)
    for place, length in enumerate(lengths):
        assert torch.allclose(tokens[place, :length], expected.tokens[place, :length], atol=1e-5)


def test_the_demo_model_is_refused() -> None:
    demo = micro(replace(MICRO, decoder=replace(MICRO.decoder, mode="demo")))
    with pytest.raises(UserError, match="only v1 models"):
        ImageEncoder(demo)


# Weights. --------------------------------------------------------------------------------------------------


def _export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *(str(a) for a in arguments)])


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_merged_weights_predict_the_same_masks(tmp_path: Path, suffix: str) -> None:
    run = write_run(tmp_path / "run", Placement(decoder="lora", backbone="lora", rank=4))
    refused = _export(run, "--out", tmp_path / f"plain{suffix}")
    assert refused.exit_code == 2
    assert "--merge" in refused.stderr
    result = _export(run, "--out", tmp_path / f"plain{suffix}", "--merge")
    assert result.exit_code == 0, result.output
    assert "official names" in result.stdout
    tuned, plain = Predictor(run), Predictor(load_model("tiny", tmp_path / f"plain{suffix}"), size=SIDE)
    for predictor in (tuned, plain):
        predictor.set_image(_photo())
    one, other = tuned.segment(points=[(30, 40)]), plain.segment(points=[(30, 40)])
    assert (one.masks != other.masks).mean() < 1e-3
    one, other = (p.semantic(tuned.categories) for p in (tuned, plain))
    assert (one.labels != other.labels).mean() < 1e-3


def test_merged_weights_remember_categories_and_size(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Placement(decoder="lora", rank=4))
    plain = tmp_path / "plain.safetensors"
    assert _export(run, "--out", plain, "--merge").exit_code == 0
    tuned, opened = Predictor(run), Predictor(str(plain))
    assert opened.categories == tuned.categories
    assert opened.scale == tuned.scale
    assert read_tensors(plain)["criterion.empty_weight"].shape == (len(tuned.categories) + 1,)
    shown = CliRunner().invoke(app, ["weights", "inspect", str(plain)]).stdout
    assert "categories (3): mug, plate, table" in shown and "shorter side 64" in shown
    facts = json.loads(CliRunner().invoke(app, ["weights", "inspect", str(plain), "--json"]).stdout)
    assert facts["categories"] == ["mug", "plate", "table"] and facts["size"] == 64


def test_bottlenecks_cannot_become_plain_weights(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Placement(decoder="bottleneck", rank=4))
    result = _export(run, "--out", tmp_path / "plain.pt", "--merge")
    assert result.exit_code == 2
    assert "cannot be merged" in result.stderr
    assert not (tmp_path / "plain.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "x.zip"], "give a file .safetensors or .pt"),
        (["--out", "x", "--format", "tflite"], "onnx and pt2"),
    ],
)
def test_what_cannot_be_exported_to_is_told(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    result = _export(tmp_path, *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: SEEM) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    with pytest.raises(UserError, match=r"pip install 'seem-tools\[onnx\]'"):
        export.export_graphs(model, tmp_path, as_categories(NAMES), Scale.of(SIDE))


# Graphs on disk: slow, since every export takes the exporter's minute. --------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "placement", [Placement(), Placement(decoder="bottleneck", backbone="bottleneck", rank=4)]
)
def test_programs_compute_what_the_model_computes(tmp_path: Path, placement: Placement) -> None:
    run = write_run(tmp_path / "run", placement)
    result = _export(run, "--out", tmp_path / "graphs", "--format", "pt2", "--json")
    assert result.exit_code == 0, result.output
    checks = json.loads(result.stdout)["checks"]
    assert [check["graph"] for check in checks] == ["image_encoder", "prompt_decoder", "text_encoder"]
    for check in checks:
        assert check["difference"] < 1e-3
    facts = json.loads((tmp_path / "graphs" / "model.json").read_text())
    assert [category["name"] for category in facts["categories"]] == ["mug", "plate", "table"]
    assert facts["image"]["short_side"] == SIDE


@pytest.mark.slow
@pytest.mark.parametrize("trunk", ["davit", "samvit"])
def test_trunks_with_windows_are_exported_at_one_size(tmp_path: Path, trunk: str) -> None:
    trunks = {
        "davit": DaViTConfig((8, 16, 32, 64), (1, 1, 1, 1), (1, 2, 4, 8), (1, 2, 4, 8)),
        "samvit": SamViTConfig(16, 2, 2, (1,)),
    }
    divisor = 1024 if trunk == "samvit" else 32
    tuned = micro(with_trunk(trunks[trunk], size_divisor=divisor))
    checks = export.export_graphs(tuned, tmp_path, as_categories(NAMES), Scale.of(SIDE), "pt2")
    assert max(check.difference for check in checks) < 1e-3
    image = json.loads((tmp_path / "model.json").read_text())["image"]
    assert image["short_side"] == image["longest_side"] == image["divisor"] == max(SIDE, divisor)


@pytest.mark.slow
def test_onnx_predicts_the_same_masks_and_its_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason="needs the extra `onnx`")
    run = write_run(tmp_path / "run")
    out = tmp_path / "graphs"
    result = _export(run, "--out", out)
    assert result.exit_code == 0, result.output
    Image.fromarray(_photo()).save(out / "photo.png")
    monkeypatch.chdir(out)
    predictor = Predictor(run)
    predictor.set_image("photo.png")
    x, y = 70, 45
    drawn = SeededDraws(0).queries(predictor.model.config.decoder.queries, 3)
    program = EXAMPLE.replace("photo.jpg", "photo.png")
    program = program.replace("drawn = np", "drawn = DRAWN\nunused = np")
    found: dict[str, Any] = {"DRAWN": drawn.numpy()[None]}
    exec(compile(program, "README.md", "exec"), found)
    assert "clicked" in capsys.readouterr().out
    assert "EXAMPLE" not in (out / "README.md").read_text()
    assert EXAMPLE in (out / "README.md").read_text()
    clicked, mug = predictor.segment(points=[(x, y)]), predictor.segment(text="mug")
    assert (
        found["clicked"] != clicked.masks[0]
    ).mean() < 0.01  # Pillow and torch interpolate alike, not equally
    assert (found["mug"] != mug.masks[0]).mean() < 0.01
