"""Supervisely: polygons with holes, packed bitmaps, and the folders of its projects."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest
from reading import area, make_photo, read, write_json

from seem_data.annotations import Bitmap
from seem_data.readers import detect

#: The example in the documentation of Supervisely's SDK (``Bitmap.base64_2_data``): a ring of eight pixels.
RING = (
    "eJzrDPBz5+WS4mJgYOD19HAJAtLMIMwIInOeqf8BUmwBPiGuQPr///9Lb86/C2QxlgT5BTM4PLuRBuTwebo4hlTMSa44sKHhISMDuxpTYrr0"
    "3F6gDIOnq5/LOqeEJgDM5ht6"
)
SQUARE = [[1, 2], [21, 2], [21, 22], [1, 22]]


def polygon(label="cup", exterior=SQUARE, interior=(), **fields):
    points = {"exterior": exterior, "interior": list(interior)}
    return {"classTitle": label, "geometryType": "polygon", "points": points, **fields}


def project(folder: Path, *objects, name="a.jpg") -> Path:
    make_photo(folder / "ds" / "img" / name)
    write_json(folder / "meta.json", {"classes": [{"title": "cup", "shape": "polygon"}], "tags": []})
    size = {"width": 40, "height": 30}
    content = {"description": "", "tags": [{"name": "indoors"}], "size": size, "objects": list(objects)}
    return write_json(folder / "ds" / "ann" / f"{name}.json", content)


def only(folder):
    annotations, problems = read("supervisely", folder)
    (annotation,) = annotations.values()
    return annotation, problems


def test_polygons_with_holes_rectangles_and_bitmaps(tmp_path):
    project(
        tmp_path,
        polygon(interior=[[[5, 5], [10, 5], [10, 10], [5, 10]]]),
        {**polygon(exterior=[[1, 2], [11, 22]]), "geometryType": "rectangle"},
        {"classTitle": "ring", "geometryType": "bitmap", "bitmap": {"data": RING, "origin": [7, 8]}},
    )
    assert detect(tmp_path).name == "supervisely"
    annotation, problems = only(tmp_path)
    assert annotation.name == "ds/img/a.jpg" and annotation.size == (40, 30) and not problems
    assert annotation.exif == "applied" and annotation.tags == ("indoors",)
    holed, rectangle, ring = annotation.regions
    assert area(holed) == 400 - 25 and len(holed.parts[0].holes) == 1
    assert area(rectangle) == 200
    (part,) = ring.parts
    assert isinstance(part, Bitmap) and (part.left, part.top) == (7, 8)
    assert part.mask.tolist() == [[True] * 3, [True, False, True], [True] * 3]


def test_descriptions_and_texts_are_sentences(tmp_path):
    tags = [
        {"name": "seen", "value": None},
        {"name": "caption", "value": "a blue cup"},
        {"name": "n", "value": 3},
    ]
    project(tmp_path, polygon(description="the left cup", tags=tags))
    annotation, _ = only(tmp_path)
    assert [s.raw for s in annotation.regions[0].sentences] == ["the left cup", "a blue cup"]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (polygon(exterior=[[1, 2], [3, 4]]), "too-few-points"),
        (polygon(exterior=[[1, 2], [3, None], [5, 6]]), "not-finite"),
        ({**polygon(), "points": None}, "bad-shape"),
        ({**polygon(), "geometryType": "line"}, "no-area"),
        ({**polygon(), "geometryType": "star"}, "bad-shape"),
        (
            {**polygon(), "geometryType": "bitmap", "bitmap": {"data": "aGVsbG8=", "origin": [0, 0]}},
            "bad-mask",
        ),
        ({**polygon(), "geometryType": "bitmap", "bitmap": {"data": "eJw=", "origin": [0, 0]}}, "bad-image"),
        ({**polygon(), "geometryType": "bitmap", "bitmap": {"data": RING}}, "bad-field"),
    ],
)
def test_a_bad_object_costs_that_object(tmp_path, bad, code):
    project(tmp_path, polygon(), bad, polygon("plate"))
    annotation, (problem,) = only(tmp_path)
    assert [region.label for region in annotation.regions] == ["cup", "plate"]
    assert problem.code == code and problem.where.startswith("objects[1]")


def test_a_packed_bomb_is_not_unpacked(tmp_path):
    bomb = base64.b64encode(zlib.compress(bytes(300_000_000), 1)).decode()
    project(tmp_path, {**polygon(), "geometryType": "bitmap", "bitmap": {"data": bomb, "origin": [0, 0]}})
    assert only(tmp_path)[1][0].code == "bad-image"


def test_a_photo_that_is_missing_costs_its_image(tmp_path):
    project(tmp_path, polygon())
    (tmp_path / "ds" / "img" / "a.jpg").unlink()
    annotations, (problem,) = read("supervisely", tmp_path)
    assert not annotations and problem.code == "missing-image"
