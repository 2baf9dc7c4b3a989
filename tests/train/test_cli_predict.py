"""`seem-train predict`: pictures and COCO files of many photos, whatever some of them are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from run_folders import CATEGORIES, EVAL_SIZE, write_run
from typer.testing import CliRunner, Result

import seem_train
from seem_train import Predictor
from seem_train.cli.app import app
from seem_train.model.seem import SEEM
from seem_train.prediction.photo import open_mask

torch.set_num_threads(1)
HEIGHT, WIDTH = 60, 80


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "kitchen")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg", "deep/a.png"):
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(folder / name)
    return folder


def _predict(*arguments: str | Path | int) -> Result:
    return CliRunner().invoke(app, ["predict", *(str(a) for a in arguments)])


def _error(result: Result) -> str:
    """What went wrong, after the line that says what is being loaded."""
    first, _, rest = result.stderr.partition("\n")
    return rest if first.startswith("loading ") else result.stderr


def _json(*arguments: str | Path) -> dict[str, Any]:
    result = _predict(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_folder_becomes_overlays_a_coco_panoptic_result_and_a_contact_sheet(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = _predict(run, photos, "--out", out, "--object-threshold", "0")
    assert result.exit_code == 0, result.output
    assert "3 photos" in result.stdout
    shown = sorted(p.relative_to(out).as_posix() for p in (out / "overlays").rglob("*.png"))
    assert shown == [f"overlays/{n}.panoptic.png" for n in ("a", "b", "deep/a")]
    document = json.loads((out / "panoptic.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["a.png", "b.jpg", "deep/a.png"]
    assert document["categories"] == list(CATEGORIES)
    for row in document["annotations"]:
        png = np.asarray(Image.open(out / "panoptic" / row["file_name"])).astype(int)
        ids = png[..., 0] + 256 * png[..., 1] + 256**2 * png[..., 2]
        assert ids.shape == (HEIGHT, WIDTH)
        assert {s["id"]: s["area"] for s in row["segments_info"]} == {
            int(i): int((ids == i).sum()) for i in np.unique(ids) if i
        }
    assert Image.open(out / "contact_sheet.png").width > WIDTH


def test_the_runs_own_categories_and_size_are_used(run: Path, photos: Path, tmp_path: Path) -> None:
    found = _json(run, photos / "a.png", "--semantic", "--out", tmp_path / "out")
    predictor = Predictor(run)
    assert [c.as_coco() for c in predictor.categories] == list(CATEGORIES)
    assert predictor.scale.short == EVAL_SIZE
    predictor.set_image(photos / "a.png")
    (row,) = found["photos"]
    assert {r["name"]: r["area"] for r in row["semantic"]} == predictor.semantic().areas
    assert (tmp_path / "out" / "semantic" / "a.png").is_file()
    assert not (tmp_path / "out" / "contact_sheet.png").exists()


def test_prompts_of_each_kind_find_what_the_predictor_finds(run: Path, photos: Path, tmp_path: Path) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10:30, 10:30] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    predictor = Predictor(run)
    predictor.set_image(photos / "a.png")
    reference = photos / "b.jpg", mask
    for arguments, prompts in [
        (["--text", "a mug", "--text", "the table"], {"text": ["a mug", "the table"]}),
        (["--point", "10,20", "--point", "70,5,0"], {"points": [(10, 20), (70, 5, 0)]}),
        (["--box", "10,10,40,40", "--box", "5,5,9,9"], {"boxes": [(10, 10, 40, 40), (5, 5, 9, 9)]}),
        (["--stroke", "1,1 30,30 60,20"], {"strokes": [[(1, 1), (30, 30), (60, 20)]]}),
        (["--reference", f"{photos / 'b.jpg'}:{tmp_path / 'mask.png'}"], {"reference": [reference]}),
        (["--text", "a mug", "--point", "10,20"], {"text": ["a mug"], "points": [(10, 20)]}),
    ]:
        found = _json(run, photos / "a.png", *arguments, "--out", tmp_path / "out")
        expected = predictor.segment(**prompts)
        rows = found["photos"][0]["prompts"]
        assert [r["name"] for r in rows] == expected.names
        assert [r["area"] for r in rows] == expected.areas.tolist()
        saved = json.loads((tmp_path / "out" / "prompts.json").read_text())
        for row, other in zip(saved["annotations"], expected.masks, strict=True):
            assert np.array_equal(coco_mask.decode(row["segmentation"]).astype(bool), other)
    assert (tmp_path / "out" / "overlays" / "a.prompts.png").is_file()
    assert not (tmp_path / "out" / "panoptic.json").exists(), "prompts alone: no panoptic result"


def test_several_tasks_at_once_and_categories_of_the_users(run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [
        "--panoptic",
        "--instances",
        "--min-score",
        "0",
        "--text",
        "mug",
        "--categories",
        "mug, dragon",
    ]
    found = _json(run, photos, *arguments, "--out", out)
    assert {"panoptic", "instances", "prompts"} <= found["photos"][0].keys()
    assert {r["name"] for r in found["photos"][0]["instances"]} <= {"mug", "dragon"}
    document = json.loads((out / "instances.json").read_text())
    assert len(document["images"]) == 3
    assert {c["id"] for c in document["categories"]} <= {4, 1}  # the run's mug, and the first free id


def test_photos_that_cannot_be_read_are_listed_and_the_rest_done(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    (photos / "broken.jpg").write_bytes(b"no photo")
    (photos / "empty.png").touch()
    result = _predict(run, photos, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "2 of 5 photos were left out" in result.stderr
    assert "broken.jpg: is no image" in result.stderr
    assert "empty.png" in result.stderr
    assert len(list((tmp_path / "out" / "overlays").rglob("*.png"))) == 3
    assert len(json.loads((tmp_path / "out" / "panoptic.json").read_text())["images"]) == 3


def test_a_prompt_outside_of_one_photo_leaves_out_that_photo(run: Path, photos: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((200, 300, 3), np.uint8)).save(photos / "large.png")
    result = _predict(run, photos, "--point", "250,100", "--out", tmp_path / "out", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [row["file"] for row in found["photos"]] == ["large.png"]
    assert len(found["problems"]) == 3
    assert "a.png: point (250, 100) lies outside the image, which is 80 × 60 pixels" in found["problems"][0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--point", "1;2"], "--point '1;2': give x,y or x,y,0"),
        (["--box", "1,2,3"], "--box '1,2,3': give left,top,right,bottom"),
        (["--stroke", "1,2 x"], "--stroke 'x'"),
        (["--reference", "photo.jpg"], "give photo.jpg:mask.png"),
        (["--text", " "], "text 0 is empty"),
        (["--text", "a", "--text", "b", "--point", "1,1"], "different numbers of objects"),
        (["--point", "999,1"], "lies outside the image"),
        (["--min-score", "2", "--size", "0"], "--min-score 2.0: must lie between 0 and 1\n--size 0"),
        (["--categories", "mug,mug"], "occurs more than once"),
        (["--device", "cuda"], "no GPU"),
    ],
)
def test_what_makes_no_sense_ends_in_one_sentence(
    run: Path, photos: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    result = _predict(run, photos / "a.png", *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert _error(result).startswith("error: ")
    assert sentence in result.stderr


def test_no_photo_no_model_and_no_place_to_write(run: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, sentence in [
        ((run, tmp_path / "none.jpg"), "there is no such file"),
        ((tmp_path / "no run", photos), "no run"),
        ((run, photos, "--out", tmp_path / "file"), "cannot be written to"),
    ]:
        result = _predict(*arguments)
        assert result.exit_code == 2, result.output
        assert sentence in result.stderr


def test_a_full_memory_ends_in_one_sentence(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SEEM, "encode_image", lambda *_: torch.empty(1 << 50))  # a petabyte
    result = _predict(run, photos, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert _error(result).startswith(
        "error: out of memory (can't allocate memory: you tried to allocate 4503"
    )
    assert result.stderr.endswith("try a smaller --size or --batch\n")


def test_photos_of_one_name_keep_files_of_their_own(run: Path, photos: Path, tmp_path: Path) -> None:
    Image.open(photos / "a.png").save(photos / "a.jpg")
    found = _json(run, photos, "--out", tmp_path / "out")
    assert len(found["photos"]) == 4
    assert len(list((tmp_path / "out" / "overlays").rglob("*.png"))) == 4
    assert len(list((tmp_path / "out" / "panoptic").rglob("*.png"))) == 4


def test_batches_change_nothing(run: Path, photos: Path, tmp_path: Path) -> None:
    one = _json(run, photos, "--object-threshold", "0", "--out", tmp_path / "one")
    two = _json(run, photos, "--object-threshold", "0", "--out", tmp_path / "two", "--batch", "2")
    for row, other in zip(one["photos"], two["photos"], strict=True):
        assert [s["name"] for s in row["panoptic"]] == [s["name"] for s in other["panoptic"]]
        for segment, same in zip(row["panoptic"], other["panoptic"], strict=True):
            assert abs(segment["area"] - same["area"]) <= 0.01 * HEIGHT * WIDTH


def test_masks_come_from_black_and_white_palettes_and_transparency(tmp_path: Path) -> None:
    mask = np.zeros((6, 8), np.uint8)
    mask[2:4, 3:6] = 1
    palette = Image.fromarray(mask)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    layer = np.dstack([np.full((6, 8, 3), 200, np.uint8), mask * 255])
    for number, image in enumerate([Image.fromarray(mask), palette, Image.fromarray(layer)]):
        image.save(tmp_path / f"{number}.png")
        assert np.array_equal(open_mask(tmp_path / f"{number}.png"), mask == 1)
    Image.fromarray(np.repeat(mask.repeat(8, 0).repeat(8, 1)[..., None], 3, 2) * 255).save(tmp_path / "m.jpg")
    assert (open_mask(tmp_path / "m.jpg") == mask.repeat(8, 0).repeat(8, 1)).mean() > 0.98


def test_photos_of_too_many_pixels_are_left_out_and_may_be_allowed(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    few = _predict(run, photos / "a.png", "--out", tmp_path, "--max-pixels", HEIGHT * WIDTH - 1)
    assert few.exit_code == 2
    assert "more than 4,799; scale it down, or allow more with --max-pixels" in few.stderr
    assert _predict(run, photos / "a.png", "--out", tmp_path, "--max-pixels", HEIGHT * WIDTH).exit_code == 0


def test_a_review_shows_first_what_the_model_is_least_sure_of(
    run: Path, photos: Path, tmp_path: Path
) -> None:
    sure = "--object-threshold", "0", "--overlap-threshold", "0"
    result = _predict(run, photos, *sure, "--out", tmp_path / "out", "--review", tmp_path / "review")
    assert result.exit_code == 0, result.output
    rows = (tmp_path / "review" / "review.csv").read_text().splitlines()
    assert rows[0] == "rank,unsure,photo"
    predictor = Predictor(run)
    expected = {}
    for name in ("a.png", "b.jpg", "deep/a.png"):
        predictor.set_image(photos / name)
        found = predictor.panoptic(object_threshold=0, overlap_threshold=0)
        share = sum(segment.area * segment.score for segment in found.segments) / (HEIGHT * WIDTH)
        expected[name] = 1 - share
    order = sorted(expected, key=lambda name: -expected[name])
    assert rows[1:] == [f"{n},{expected[name]:.4f},{name}" for n, name in enumerate(order, start=1)]
    for number, name in enumerate(order, start=1):
        stem = name.rsplit(".", 1)[0]
        picture = tmp_path / "review" / f"{number:04d}_{stem.replace('/', '_')}.png"
        assert picture.read_bytes() == (tmp_path / "out" / "overlays" / f"{stem}.panoptic.png").read_bytes()
    assert f"{expected[order[0]]:.3f}  {order[0]}" in result.stdout
    again = _predict(run, photos, "--out", tmp_path / "out", "--review", tmp_path / "review")
    assert again.exit_code == 2
    assert "is not empty; name another folder" in again.stderr


def test_the_version_is_printed() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"seem-train {seem_train.__version__}\n"


WITHOUT_TORCH = (
    "import sys; from seem_train.cli.app import app\n"
    "try: app()\nexcept SystemExit as left: print(left.code, 'torch' in sys.modules)"
)


@pytest.mark.parametrize("missing", ["no-such-run/best", "none.safetensors", "focal-xl"])
def test_a_missing_model_is_told_before_torch_is_imported(photos: Path, missing: str) -> None:
    for words in (
        ["predict", missing, str(photos)],
        ["evaluate", missing, "."],
        ["export", missing, "--out", "x"],
        ["run", ".", "--weights", missing],
    ):
        ended = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False
        )
        assert ended.stdout == "2 False\n", ended.stderr
        assert ended.stderr.startswith("error: ")
        assert ended.stderr.count("is no dataset") == (words[0] in ("evaluate", "run"))  # told in one go


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "seem-tiny", "PHOTOS", "--device", "mps"], "Apple's GPUs"),
        (["evaluate", "seem-tiny", ".", "--device", "tpu"], "SEEM runs on cpu and cuda"),
        (["demo", "seem-tiny", "--precision", "int8"], "there are auto, fp32, bf16, fp16"),
        (
            ["bench", "--device", "mps", "--model", "focal-xl"],
            "no model named 'focal-xl'; did you mean focal-l",
        ),
        (["predict", "seem-tiny", "PHOTOS", "--categories", "nosuch.json"], "nosuch.json cannot be read"),
        (["run", ".", "--device", "mps"], "Apple's GPUs"),
        (["run", ".", "--model", "focal-xl"], "no model named 'focal-xl'"),
    ],
)
def test_a_word_that_cannot_be_is_told_before_torch_is_imported(
    photos: Path, words: list[str], said: str
) -> None:
    words = [str(photos) if word == "PHOTOS" else word for word in words]
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False
    )
    assert ended.stdout == "2 False\n", ended.stderr
    assert said in ended.stderr


def test_all_that_a_demo_cannot_do_is_told_together() -> None:
    words = ["demo", "nosuch", "--compare", "nosuch.pt", "--images", "nosuch-photos"]
    words += ["--label-studio", "here", "--port", "70000", "--memory", "nan", "--size", "-1"]
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False
    )
    assert ended.stdout == "2 False\n", ended.stderr
    told = ended.stderr.removeprefix("error: ")
    for subject in ("--size -1", "--memory nan", "--port 70000", "--label-studio here", "nosuch-photos"):
        assert told.count(subject) == 1
    assert "nosuch.pt" in told
    assert "'nosuch'" in told
