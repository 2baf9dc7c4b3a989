"""Photos of an input that are not in the dataset are told; so is what nobody can know of those that are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading import codes, make_photo, write_json

from seem_data import build, images
from seem_data.problems import DataError

SQUARE = [[1, 1], [9, 1], [9, 9]]


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    return write_json(tmp_path / "cats.json", {"cup": {"color": "#f00", "isthing": True}})


def labelme(folder: Path, name: str) -> Path:
    shapes = [{"label": "cup", "points": SQUARE, "shape_type": "polygon"}]
    return write_json(
        (folder / name).with_suffix(".json"), {"version": "5", "imagePath": name, "shapes": shapes}
    )


def built(colors: Path, folder: Path, **options):
    return build(
        colors, folder, colors.parent / "ds", split="train=1", min_coverage=0, generated=False, **options
    )


def test_photos_that_nothing_annotates_and_raw_files_are_told(tmp_path, colors):
    folder = tmp_path / "ann"
    for name in ("a.jpg", "b.jpg", "c.png"):
        make_photo(folder / name)
    (folder / "d.CR2").write_bytes(b"raw")
    labelme(folder, "a.jpg")
    report = built(colors, folder)
    assert codes(report.problems) == ["lone-photos", "unread-files"]
    assert "2 photo(s)" in report.problems[0].message and "b.jpg, c.png" in report.problems[0].message
    assert "d.CR2" in report.problems[1].message and not report.has_errors


def test_masks_beside_their_photos_are_not_lone_photos(tmp_path, colors):
    make_photo(tmp_path / "in" / "a.jpg", (2, 1))
    Image.fromarray(np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8)).save(tmp_path / "in" / "a_mask.png")
    report = build(colors, masks=tmp_path / "in", out=tmp_path / "ds", split="train=1", generated=False)
    assert not codes(report.problems) and report.splits["train"].segments == 1


@pytest.mark.parametrize(("orientation", "size", "told"), [(3, (4, 2), 1), (6, (2, 2), 1), (6, (4, 2), 0)])
def test_masks_of_photos_that_viewers_turn_are_told_where_their_size_does_not_tell(
    tmp_path, colors, orientation, size, told
):
    exif = Image.Exif()
    exif[0x0112] = orientation
    make_photo(tmp_path / "in" / "a.jpg", size, exif=exif)
    Image.new("RGB", size, (255, 0, 0)).save(tmp_path / "in" / "a_mask.png")
    report = build(colors, masks=tmp_path / "in", out=tmp_path / "ds", split="train=1", generated=False)
    assert codes(report.problems) == ["exif-orientation"] * told
    assert report.splits["train"].segments == 1


def test_coco_on_photos_that_viewers_turn_is_told_once_a_file(tmp_path, colors):
    exif = Image.Exif()
    exif[0x0112] = 6
    square = [[1, 2, 11, 2, 11, 12]]
    for name in ("a.jpg", "b.jpg"):
        make_photo(tmp_path / "in" / name, exif=exif)
    rows = [
        {"id": n, "file_name": name, "width": 40, "height": 30} for n, name in ((1, "a.jpg"), (2, "b.jpg"))
    ]
    annotations = [{"id": n, "image_id": n, "category_id": 1, "segmentation": square} for n in (1, 2)]
    content = {"images": rows, "annotations": annotations, "categories": [{"id": 1, "name": "cup"}]}
    write_json(tmp_path / "in" / "c.json", content)
    (problem,) = built(colors, tmp_path / "in").problems
    assert problem.code == "exif-orientation" and problem.severity == "warning"
    assert problem.message.startswith("2 photos have an EXIF orientation")
    for row in rows:  # sizes of the turned photo say how it was meant
        row["width"], row["height"] = 30, 40
    write_json(tmp_path / "in" / "c.json", content)
    assert not built(colors, tmp_path / "in").problems


def test_heic_photos_are_read(tmp_path, colors):
    heif = pytest.importorskip("pillow_heif")
    folder = tmp_path / "in"
    folder.mkdir()
    heif.from_pillow(Image.new("RGB", (40, 30), (200, 10, 10))).save(folder / "a.heic", quality=100)
    labelme(folder, "a.heic")
    report = built(colors, folder)
    assert not report.problems and report.built == 1
    (photo,) = (tmp_path / "ds" / "train" / "images").iterdir()
    assert photo.suffix == ".png" and Image.open(photo).size == (40, 30)


def test_heic_without_its_library_is_told_with_the_remedy(tmp_path, colors, monkeypatch):
    monkeypatch.setattr(images, "_reads_heic", lambda: False)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    labelme(folder, "a.heic")
    with pytest.raises(DataError, match=r"a\.heic.*HEIC.*seem-tools\[heic\]"):
        built(colors, folder)
