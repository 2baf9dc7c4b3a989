"""A photo of too many pixels is refused before it is decoded, by every command, and may be allowed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import toy
from PIL import Image
from run_folders import write_run
from tiny_dataset import HEIGHT, WIDTH, write_dataset
from typer.testing import CliRunner

from seem_train.cli import demo as demo_command
from seem_train.cli.app import app
from seem_train.cli.demo import DemoOptions
from seem_train.data.dataset import SegmentationSet
from seem_train.demo.album import Album
from seem_train.errors import UserError
from seem_train.training import trainer

PIXELS = HEIGHT * WIDTH


def test_photos_of_a_split_are_bounded_and_all_told(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, images=3)
    with pytest.raises(UserError) as caught:
        SegmentationSet(root, "val", PIXELS - 1)
    told = str(caught.value).splitlines()
    assert len(told) == 3 and "validate" not in told[-1], "building it again is no remedy"
    assert all("1,536 pixels, more than 1,535; " in line and "--max-pixels" in line for line in told)
    assert len(SegmentationSet(root, "val", PIXELS)) == 3


def test_a_photo_larger_than_its_row_says_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_dataset(tmp_path, images=1)
    Image.fromarray(np.zeros((600, 800, 3), np.uint8)).save(root / "val" / "images" / "0.png")
    monkeypatch.setattr("seem_train.data.dataset.cv2.imdecode", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UserError, match=r"0\.png is 800 × 600 pixels, panoptic\.json says 48 × 32"):
        SegmentationSet(root, "val").load(0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("folder", ["images", "panoptic"])
def test_a_named_pipe_in_a_dataset_does_not_hang(tmp_path: Path, folder: str) -> None:
    root = write_dataset(tmp_path, images=1)
    (root / "val" / folder / "0.png").unlink()
    os.mkfifo(root / "val" / folder / "0.png")
    with pytest.raises(UserError, match=r"0\.png:? .*no regular file"):
        SegmentationSet(root, "val").load(0)


def test_run_refuses_them_before_the_first_step_and_may_allow_them(tmp_path: Path) -> None:
    toy.register_micro()
    dataset = toy.toy_dataset(tmp_path / "kitchen", train=2, val=1)
    config = toy.settings(dataset, tmp_path / "run", data__max_pixels=64 * 64 - 1)
    with pytest.raises(UserError, match=r"1\.png: has 4,096 pixels, more than 4,095"):
        trainer.run(config, dry_run=True)
    trainer.run(toy.settings(dataset, tmp_path / "run", data__max_pixels=64 * 64), dry_run=True)


def test_evaluate_refuses_them_and_may_allow_them(tmp_path: Path) -> None:
    dataset, run = write_dataset(tmp_path / "data", images=1), write_run(tmp_path / "run")
    words = ["evaluate", str(run), str(dataset), "--tasks", "panoptic", "--size", "32", "--max-pixels"]
    refused = CliRunner().invoke(app, [*words, str(PIXELS - 1)])
    assert refused.exit_code == 2 and "more than 1,535; scale it down" in refused.stderr
    out = tmp_path / "out"
    allowed = CliRunner().invoke(app, [*words, str(PIXELS), "--out", str(out)])
    assert allowed.exit_code == 0, allowed.output
    assert json.loads((out / "evaluation.json").read_text())["images"] == 1
    assert "1 images of" in allowed.stderr and "estimated peak " in allowed.stderr


def test_the_demo_refuses_them_and_may_allow_them(tmp_path: Path) -> None:
    options = DemoOptions("tiny", max_pixels=1_000)
    assert demo_command._limits(options).pixels == 1_000
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "a.png")
    album = Album([tmp_path / "a.png"], lambda _: False, 1_999)
    album.judge(0, None)  # type: ignore[arg-type]  # which is not asked
    assert album.rows()[0].unsure == 0.0


def test_a_reference_is_bounded_like_the_photos(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "a.png")
    pair = f"{tmp_path / 'a.png'}:{tmp_path / 'a.png'}"
    words = [
        "predict",
        str(write_run(tmp_path / "run")),
        str(tmp_path / "a.png"),
        "--reference",
        pair,
        "--max-pixels",
        "1999",
    ]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2 and "a.png: has 2,000 pixels, more than 1,999" in refused.stderr
