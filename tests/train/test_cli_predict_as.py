"""`seem-train predict --as`: what a model finds, as files that people correct and `seem-data build` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from run_folders import CATEGORIES, write_run
from typer.testing import CliRunner, Result

import seem_data
from seem_data.layout import Dataset
from seem_data.writers import FORMATS
from seem_train import Predictor
from seem_train.cli.app import app

torch.set_num_threads(1)
HEIGHT, WIDTH = 60, 80


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "kitchen")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deep").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "deep/a.png"):
        coarse = Image.fromarray(rng.integers(0, 256, (HEIGHT // 10, WIDTH // 10, 3), np.uint8))
        coarse.resize((WIDTH, HEIGHT)).save(folder / name)
    return folder


def _predict(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["predict", *(str(a) for a in arguments)])


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_found_is_built_into_nearly_the_same_masks(
    run: Path, photos: Path, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "out"
    sure = "--object-threshold", "0", "--overlap-threshold", "0"
    result = _predict(run, photos, *sure, "--as", form, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"to correct: {out / form}" in result.stdout
    colors = tmp_path / "cats.json"
    colors.write_text(json.dumps(CATEGORIES))
    seem_data.build(colors, out / form, tmp_path / "dataset", split="train=1", workers=1, format=form)
    split = Dataset(tmp_path / "dataset").split("train")
    images = {Path(image.file_name).stem.removeprefix("images_"): image for image in split.images}
    predictor = Predictor(run)
    for name in ("a.png", "b.jpg", "deep/a.png"):
        predictor.set_image(photos / name)
        found = predictor.panoptic(object_threshold=0.0, overlap_threshold=0.0)
        image = images.pop(name.rsplit(".", 1)[0].replace("/", "_"))
        ids = split.id_map(image)
        assert len(image.segments) == len(found.segments) > 5
        for segment in found.segments:
            mask = found.mask(segment)
            numbers, pixels = np.unique(ids[mask], return_counts=True)
            number = int(numbers[pixels.argmax()])
            other = ids == number
            assert (mask & other).sum() / (mask | other).sum() >= 0.98
            (row,) = [row for row in image.segments if row.id == number]
            assert row.category_id == found.categories[segment.category_index].id
    assert not images


def test_instances_keep_their_scores_and_the_surest_lies_on_top(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    options = "--instances", "--min-score", "0"
    result = _predict(run, photos / "a.png", *options, "--as", "coco", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "coco" / "annotations.json").read_text())["annotations"]
    predictor = Predictor(run)
    predictor.set_image(photos / "a.png")
    found = predictor.instances(min_score=0.0)
    scores = [float(score) for score, area in zip(found.scores, found.areas, strict=True) if area]
    assert [row["score"] for row in rows] == sorted(round(score, 4) for score in scores)
    assert len(rows) > 1


def _shapes(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "labelme" / "a.json").read_text())["shapes"]


def test_a_text_that_names_a_category_is_labelled_so_and_becomes_its_sentence(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    category = CATEGORIES[0]["name"]
    text = f"the left {category}"
    result = _predict(run, photos / "a.png", "--text", text, "--as", "labelme", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    shapes = _shapes(tmp_path)
    assert {shape["label"] for shape in shapes} == {category}
    assert all(shape["description"].startswith(f"{text}\n[score ") for shape in shapes)
    assert all(0 <= shape["score"] <= 1 for shape in shapes)


@pytest.mark.parametrize("form", FORMATS)
def test_what_is_only_pointed_at_is_an_object(run: Path, photos: Path, tmp_path: Path, form: str) -> None:
    result = _predict(run, photos / "a.png", "--point", "40,30", "--as", form, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    if form == "labelme":
        shapes = _shapes(tmp_path)
        assert {shape["label"] for shape in shapes} == {"object"}
        score = shapes[0]["score"]
        assert {shape["description"] for shape in shapes} == {f"[score {score:.2f}, point 40,30]"}


def test_corrected_annotations_are_not_written_over(run: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "labelme").mkdir()
    (tmp_path / "labelme" / "a.json").write_text("corrected")
    result = _predict(run, photos / "a.png", "--as", "labelme", "--out", tmp_path)
    assert result.exit_code == 2
    assert "may be corrected by now; name another --out" in result.stderr
    assert (tmp_path / "labelme" / "a.json").read_text() == "corrected"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--as", "labelmee"), "--as 'labelmee': there are labelme, coco, labelstudio, cvat, yolo"),
        (("--as", "coco", "--panoptic", "--semantic"), "--as writes one kind of answer"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_model_is_opened(
    photos: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = _predict("no-such-run", photos, *arguments, "--out", tmp_path)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
