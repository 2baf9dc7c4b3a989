"""The same regions, in the spellings that tools and people have for them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from reading import area, full_mask, make_photo, read, write_json
from test_readers_coco import coco, row
from test_readers_cvat import cvat
from test_readers_cvat import shape as cvat_shape
from test_readers_labelme import labelme
from test_readers_labelme import shape as labelme_shape
from test_readers_supervisely import polygon, project
from test_readers_via import SQUARE, export, region, save
from test_readers_yolo import TRIANGLE, yolo

from seem_data.categories import Categories
from seem_data.readers import detect
from seem_data.readers.colormask import ColorMask


def found(name: str, folder: Path) -> tuple[list[tuple[str, float]], list[str]]:
    annotations, problems = read(name, folder)
    regions = [(region.label, area(region)) for a in annotations.values() for region in a.regions]
    return regions, [problem.code for problem in problems]


@pytest.mark.parametrize(
    "said", ["a cup", ["a cup"], {"raw": "a cup"}, [None, {"sent": "a cup"}, {"raw": None}]]
)
@pytest.mark.parametrize("key", ["sentences", "caption"])
def test_sentences_of_coco_are_one_or_some_in_any_form(tmp_path: Path, key: str, said: Any) -> None:
    make_photo(tmp_path / "a.jpg")
    coco(tmp_path / "x.json", row(**{key: said}))
    (annotation,), problems = read("coco", tmp_path)[0].values(), read("coco", tmp_path)[1]
    assert [sentence.raw for sentence in annotation.regions[0].sentences] == ["a cup"] and not problems


def test_a_segmentation_may_be_json_in_text(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.jpg")
    mask = {"size": [30, 40], "counts": [0, 60, 1140]}
    texts = ["[[1, 1, 11, 1, 11, 11, 1, 11]]", json.dumps(mask), "[[1, 1, 11"]
    coco(tmp_path / "x.json", *(row(id=n, segmentation=text) for n, text in enumerate(texts)))
    assert found("coco", tmp_path) == ([("cup", 100), ("cup", 60)], ["bad-field"])


@pytest.mark.parametrize("show", [str, lambda counts: f'b"{repr(counts)[2:-1]}"'])
def test_run_lengths_may_be_bytes_as_python_shows_them(tmp_path: Path, show: Any) -> None:
    make_photo(tmp_path / "a.jpg", (400, 300))
    chance = np.random.default_rng(3)
    mask = np.repeat(np.repeat(chance.random((30, 40)) < 0.3, 10, 0), 10, 1)
    counts = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
    assert b"\\" in counts
    coco(tmp_path / "x.json", row(segmentation={"size": [300, 400], "counts": show(counts)}))
    text = (tmp_path / "x.json").read_text()
    (tmp_path / "x.json").write_text(text.replace('"width": 40, "height": 30', '"width": 400, "height": 300'))
    (annotation,), problems = read("coco", tmp_path)[0].values(), read("coco", tmp_path)[1]
    assert (full_mask(annotation.regions[0].parts[0], 400, 300) == mask).all() and not problems


@pytest.mark.parametrize(
    "name", ["https://host/dir/a.jpg?X-Sign=1%2F2#x", "s3://bucket/a.jpg", "gs://b/%61.jpg"]
)
def test_photos_are_found_by_their_address(tmp_path: Path, name: str) -> None:
    make_photo(tmp_path / "a.jpg")
    path = coco(tmp_path / "x.json", row())
    path.write_text(path.read_text().replace('"a.jpg"', json.dumps(name)))
    assert found("coco", tmp_path) == ([("cup", 100)], [])


def test_a_photo_may_be_embedded_as_a_data_address(tmp_path: Path) -> None:
    photo = base64.b64encode(make_photo(tmp_path / "photo.png").read_bytes()).decode()
    labelme(tmp_path, labelme_shape(), imagePath="gone.jpg", imageData=f"data:image/png;base64,{photo}")
    regions, problems = found("labelme", tmp_path)
    assert len(regions) == 1 and not problems


def test_kinds_of_shapes_are_known_in_any_letter_case(tmp_path: Path) -> None:
    labelme(tmp_path / "labelme", labelme_shape(shape_type="Polygon"), labelme_shape())
    save(tmp_path / "via", export(region({**SQUARE, "name": "Polygon"}), region()))
    project(tmp_path / "supervisely", {**polygon(), "geometryType": "Polygon"}, polygon())
    for name in ("labelme", "via", "supervisely"):
        regions, problems = found(name, tmp_path / name)
        assert regions[0] == regions[1] and not problems


@pytest.mark.parametrize(
    ("changed", "codes"),
    [({"z_order": ""}, []), ({"z_order": "top"}, ["odd-field"]), ({"points": "1,2;11,2;11,12;1,12;"}, [])],
)
def test_what_no_mask_of_cvat_needs_costs_none(
    tmp_path: Path, changed: dict[str, str], codes: list[str]
) -> None:
    cvat(tmp_path, cvat_shape(**changed))
    assert found("cvat", tmp_path) == ([("cup", 100)], codes)


def test_an_empty_rotation_is_none(tmp_path: Path) -> None:
    cvat(tmp_path, cvat_shape("box", xtl="1", ytl="2", xbr="11", ybr="12", rotation=""))
    assert found("cvat", tmp_path) == ([("cup", 100)], [])


def test_null_for_a_list_of_objects_is_an_empty_list(tmp_path: Path) -> None:
    project(tmp_path)
    path = next(path for path in tmp_path.rglob("*.json") if path.name != "meta.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"objects": None}))
    assert found("supervisely", tmp_path) == ([], [])


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("data.yaml", "names: {cup: 0, plate: 1}\ntrain: images/train\n"),
        ("data/predefined_classes.txt", "cup\nplate\n"),
        ("classes.txt", "\ufeffcup\r\nplate\r\n"),
    ],
)
def test_names_of_yolo_in_other_places_and_forms(tmp_path: Path, place: str, text: str) -> None:
    yolo(tmp_path, f"\ufeff{TRIANGLE}")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(text, "utf-8")
    assert detect(tmp_path).name == "yolo"
    regions, problems = found("yolo", tmp_path)
    assert [label for label, _ in regions] == ["cup"] and not problems


def test_lists_of_names_may_say_their_numbers(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.jpg", (2, 1))
    Image.fromarray(np.array([[0, 7]], np.uint8)).save(tmp_path / "a_mask.png")
    (tmp_path / "labels.txt").write_text("0: background\n7: cup\n")
    annotations, problems = read(ColorMask(Categories([])), tmp_path)
    assert [r.label for a in annotations.values() for r in a.regions] == ["cup"] and not problems


def test_results_of_json_min_may_be_json_in_text(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.jpg")
    shape = {"points": [[10, 10], [60, 10], [60, 60]], "polygonlabels": ["cup"]}
    write_json(
        tmp_path / "x.json", [{"image": "a.jpg", "id": 1, "label": json.dumps([shape]), "annotation_id": 7}]
    )
    assert found("labelstudio", tmp_path) == ([("cup", 150)], [])
