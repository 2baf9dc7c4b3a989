"""Of datasets that others made, no name leads out of its folder, and nothing nests too deeply to be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import toy
from run_folders import write_run
from tiny_dataset import write_dataset
from typer.testing import CliRunner

from seem_train.cli.app import app
from seem_train.data.dataset import SegmentationSet
from seem_train.errors import UserError
from seem_train.training import trainer

NAMES = ["../../../victim.png", "/etc/victim.png", "..", "", "a/b.png", "C:x.png", "x" * 300]


def rename(root: Path, split: str, kind: str, name: str) -> None:
    """Give the first photo ("images") or panoptic PNG ("annotations") another name."""
    file = root / split / "panoptic.json"
    rows: dict[str, Any] = json.loads(file.read_text())
    rows[kind][0]["file_name"] = name
    file.write_text(json.dumps(rows))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run") / "run")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["images", "annotations"])
def test_a_name_that_leads_outside_is_refused_where_every_split_is_read(
    tmp_path: Path, kind: str, name: str
) -> None:
    root = write_dataset(tmp_path / "data", images=2)
    rename(root, "val", kind, name)
    with pytest.raises(UserError, match="not a name within its folder"):
        SegmentationSet(root, "val")


@pytest.mark.parametrize("kind", ["images", "annotations"])
def test_predictions_are_not_written_over_files_outside(run: Path, tmp_path: Path, kind: str) -> None:
    root = write_dataset(tmp_path / "a" / "data", images=2)
    victim = tmp_path / "victim.png"
    victim.write_text("mine")
    rename(root, "val", kind, "../../../../victim.png")
    words = ["evaluate", run, root, "--predictions", "--out", tmp_path / "a" / "b" / "out", "--size", "32"]
    told = CliRunner().invoke(app, [str(word) for word in words])
    assert told.exit_code == 2 and "not a name within its folder" in told.stderr
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_run_refuses_them_before_it_begins(tmp_path: Path, split: str) -> None:
    toy.register_micro()
    root = toy.toy_dataset(tmp_path / "data", train=2, val=1)
    rename(root, split, "annotations", "../../victim.png")
    with pytest.raises(UserError, match="not a name within its folder"):
        trainer.run(toy.settings(root, tmp_path / "run"))
    assert not (tmp_path / "run" / "last").exists()


@pytest.mark.parametrize("file", ["categories.json", "val/panoptic.json", "val/grounding.json"])
def test_deep_nesting_ends_in_a_sentence(tmp_path: Path, file: str) -> None:
    root = write_dataset(tmp_path, images=2)
    (root / file).write_text('{"annotations":' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(UserError, match=Path(file).name):
        SegmentationSet(root, "val")


def test_a_category_that_is_not_listed_is_told(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, images=2)
    rows = json.loads((root / "categories.json").read_text())
    (root / "categories.json").write_text(json.dumps(rows[1:]))
    with pytest.raises(
        UserError, match=r"panoptic\.json: has segments of category 3, which categories\.json"
    ):
        SegmentationSet(root, "val")
