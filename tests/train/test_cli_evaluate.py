"""`seem-train evaluate` from the command line: tables, JSON, files, comparisons, and one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_dataset import CATEGORIES, write_dataset
from typer.testing import CliRunner, Result

from seem_data.layout import reading
from seem_train.adapters.layers import Placement
from seem_train.cli.app import app
from seem_train.model.card import Base, Card
from seem_train.model.seem import SEEM
from seem_train.weights import adapter_folder
from seem_train.weights.adapter_folder import fingerprint
from seem_train.weights.official import official_state_dict
from seem_train.weights.presets import get_preset
from seem_train.weights.tensor_files import write_tensors

QUICK = ["--max-clicks", "2", "--object-threshold", "0", "--overlap-threshold", "0"]


def seem_train(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_tensors(path, official_state_dict(SEEM(get_preset("tiny").config)), {"format": "pt"})
    return path


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), images=3)


@pytest.fixture(scope="module")
def run(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose training turned the decoder's mask head upside down."""
    folder = tmp_path_factory.mktemp("run")
    model = SEEM(get_preset("tiny").config)
    torch.manual_seed(0)
    reference = SEEM(get_preset("tiny").config)
    head = [n for n, _ in model.named_parameters() if n.startswith("decoder.mask_embed")][-2:]
    trained = {name: -dict(reference.named_parameters())[name].detach() for name in head}
    card = Card(
        model="tiny",
        strategy="head",
        placement=Placement(),
        base=Base(str(weights), fingerprint(weights)),
        categories=tuple(CATEGORIES),
        preprocessing={"size": 64, "eval_size": 64},
    )
    adapter_folder.write(folder / "best", trained, card)
    return folder


def test_tables_show_classes_scores_and_what_was_counted(run: Path, dataset: Path) -> None:
    result = seem_train(run, dataset, *QUICK)
    assert result.exit_code == 0, result.output
    for word in ("cup", "plate", "table", "PQ", "mIoU", "AP50", "cIoU", "NoC@0.85", "3 images", "3 objects"):
        assert word in result.output, word


def test_json_is_one_object_with_every_number(run: Path, dataset: Path) -> None:
    document = json.loads(seem_train(run, dataset, *QUICK, "--json").stdout)
    assert document["settings"]["size"] == 64  # what the run was evaluated with
    assert document["headline"]["PQ"] == document["panoptic"]["all"]["pq"]
    assert [row["name"] for row in document["per_class"]] == ["cup", "plate", "table"]
    assert document["interactive"]["max_clicks"] == 2


def test_files_are_written_where_asked(run: Path, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    result = seem_train(run, dataset, "--tasks", "panoptic", *QUICK, "--out", out, "--predictions")
    assert result.exit_code == 0, result.output
    assert json.loads((out / "evaluation.json").read_text())["images"] == 3
    assert "<figure>" in (out / "report.html").read_text()
    assert len(json.loads((out / "predictions" / "panoptic.json").read_text())["annotations"]) == 3
    assert "report.html" in result.output


def test_the_rows_of_a_dataset_are_read_once(
    run: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, files = reading.read_json, []

    def noted(path: Path, kind: Any) -> Any:
        files.append(path.name)
        return read(path, kind)

    monkeypatch.setattr(reading, "read_json", noted)
    result = seem_train(run, dataset, "--tasks", "panoptic", *QUICK, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert files.count("panoptic.json") == 1


def test_the_run_beside_what_it_started_from(run: Path, weights: Path, dataset: Path) -> None:
    words = ["--tasks", "grounding", *QUICK, "--json", "--base-dataset", dataset]
    document = json.loads(seem_train(run, dataset, *words, "--against", "base").stdout)
    alone = json.loads(seem_train(weights, dataset, *words, "--size", 64).stdout)
    assert document["against"]["headline"] == alone["headline"]
    assert document["against"]["name"] == "tiny.safetensors"
    assert document["headline"] != alone["headline"]
    gain = document["headline"]["cIoU"] - alone["headline"]["cIoU"]
    assert document["against"]["gains"]["cIoU"] == pytest.approx(gain)
    assert document["base_dataset"]["before"] == alone["headline"]
    table = seem_train(run, dataset, "--tasks", "semantic", "--limit", 1, "--against", weights).output
    assert "gain" in table


def test_an_earlier_result_can_stand_beside_and_its_settings_are_told(
    run: Path, dataset: Path, tmp_path: Path
) -> None:
    words = [run, dataset, "--tasks", "semantic", "--limit", 1]
    assert seem_train(*words, "--out", tmp_path).exit_code == 0
    earlier = tmp_path / "evaluation.json"
    same = seem_train(*words, "--against", earlier)
    assert "+0.0" in same.output
    assert "measured otherwise" not in same.output
    other = seem_train(*words, "--size", 96, "--against", earlier)
    assert "measured otherwise: size 64 there, 96 here" in other.output


def test_the_numbers_are_explained() -> None:
    result = seem_train("--explain")
    assert result.exit_code == 0
    assert "clicks a simulated user needs" in result.output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["RUN", "nowhere"], "nowhere"),
        (["missing.pt", "DATASET"], "missing.pt"),
        (["RUN", "DATASET", "--split", "test"], "test"),
        (["RUN", "DATASET", "--tasks", "panoptics"], "panoptics"),
        (["RUN", "DATASET", "--object-threshold", "80"], "between 0 and 1"),
        (["RUN", "DATASET", "--limit", "0"], "above 0"),
        (["RUN", "DATASET", "--predictions"], "--out"),
        (["WEIGHTS", "DATASET", "--against", "base", "--tasks", "semantic"], "no run or adapter folder"),
        (["RUN", "DATASET", "--against", "none.json", "--tasks", "semantic"], "none.json"),
        (["tiny", "DATASET"], "no official checkpoint"),
        ([], "name what to evaluate"),
    ],
)
def test_bad_input_ends_in_one_clear_sentence(
    words: list[str], complaint: str, run: Path, weights: Path, dataset: Path
) -> None:
    given: dict[str, Any] = {"RUN": run, "WEIGHTS": weights, "DATASET": dataset}
    result = seem_train(*(given.get(word, word) for word in words), *([] if not words else ["--size", 64]))
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.output


def test_a_folder_that_cannot_be_written_to_is_told(run: Path, dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = seem_train(run, dataset, "--tasks", "panoptic", "--limit", 1, "--out", tmp_path / "file" / "x")
    assert result.exit_code == 2
    assert "cannot be written to" in result.stderr
