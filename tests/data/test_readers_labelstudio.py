"""Label Studio: percent, brushes in bits, labels from other controls, photos behind addresses."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from reading import area, codes, full_mask, make_photo, read, write_json

from seem_data import build
from seem_data.problems import DataError
from seem_data.readers import detect
from seem_data.readers._brush import decode_brush

#: Made by label-studio-converter 0.0.59's ``encode_rle`` from the pixels below, each repeated four times.
BRUSH = [0, 0, 0, 120, 57, 27, 254, 35, 0, 143, 254, 248, 5, 191, 251, 224, 17, 255, 225, 240, 0]
BRUSHED = np.array(
    [[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0, 0]], bool
)
#: The same tool's for RGBA pixels that differ in red: single values instead of runs.
MIXED = [0, 0, 0, 48, 57, 27, 252, 96, 0, 50, 66, 0, 7, 248, 27, 80, 128, 1, 254, 4, 108, 32, 0, 127, 225,
         176, 0, 2, 33, 0, 3, 252]  # fmt: skip


def result(kind="polygonlabels", id="r1", size=(40, 30), **value):
    points = {"points": [[10, 10], [60, 10], [60, 60]]} if kind == "polygonlabels" else {}
    labels = {kind: ["cup"]} if kind.endswith("labels") else {}
    return {
        "id": id,
        "type": kind,
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
        "value": {**points, **labels, **value},
    }


def task(*results, image="a.jpg", **fields):
    return {"id": 1, "data": {"image": image}, "annotations": [{"id": 1, "result": list(results)}], **fields}


def export(folder: Path, *tasks) -> Path:
    make_photo(folder / "a.jpg")
    return write_json(folder / "export.json", list(tasks))


def only(folder):
    annotations, problems = read("labelstudio", folder)
    (annotation,) = annotations.values()
    return annotation, problems


def test_percent_become_pixels(tmp_path):
    export(
        tmp_path,
        task(
            result(),
            result("rectanglelabels", "r2", x=50, y=50, width=25, height=10, rotation=90),
            result("ellipselabels", "r3", x=50, y=50, radiusX=10, radiusY=20),
        ),
    )
    annotation, problems = only(tmp_path)
    assert annotation.size == (40, 30) and annotation.exif == "applied" and not problems
    polygon, rectangle, ellipse = annotation.regions
    assert polygon.parts[0].outer.tolist() == [[4, 3], [24, 3], [24, 18]]
    corners = rectangle.parts[0].outer  # turned clockwise about its top-left corner, in pixels
    assert np.allclose(corners, [[20, 15], [20, 25], [17, 25], [17, 15]])
    assert np.allclose(ellipse.parts[0].outer.mean(axis=0), (20, 15))
    assert area(ellipse) == pytest.approx(math.pi * 4 * 6, rel=0.02)


def test_brushes_are_decoded_as_label_studio_does(tmp_path):
    assert (decode_brush(bytes(BRUSH), 5, 6) == BRUSHED).all()
    expected = [[False, True, True, True], [False] * 4, [False, False, False, True]]
    assert decode_brush(bytes(MIXED), 3, 4).tolist() == expected
    export(tmp_path, task(result("brushlabels", size=(6, 5), format="rle", rle=BRUSH)))
    annotation, problems = only(tmp_path)
    assert (full_mask(annotation.regions[0].parts[0], 6, 5) == BRUSHED).all() and not problems


@given(st.binary(max_size=40) | st.integers(0, len(BRUSH)).map(lambda n: bytes(BRUSH[:n])))
def test_brushes_that_are_cut_off_or_no_such_are_problems(data):
    try:
        mask = decode_brush(data, 5, 6)
    except DataError:
        return
    assert mask.shape == (5, 6)


def test_labels_and_words_of_other_controls_belong_to_the_region_of_their_id(tmp_path):
    shape = result("polygon", "a", points=[[10, 10], [60, 10], [60, 60]])
    shape["meta"] = {"text": ["my cup"]}
    label = result("labels", "a")
    words = result("textarea", "a", text=["left of the jug", " "])
    export(tmp_path, task(shape, label, words, result("choices", "b", choices=["indoors"])))
    annotation, problems = only(tmp_path)
    (region,) = annotation.regions
    assert region.label == "cup" and not problems
    assert [sentence.raw for sentence in region.sentences] == ["my cup", "left of the jug"]


def test_the_ground_truth_or_the_newest_annotation_counts(tmp_path):
    def by(label, **fields):
        return {"result": [result(polygonlabels=[label])], **fields}

    old, new = by("old", updated_at="2024-01-01"), by("new", updated_at="2024-02-01")
    cancelled = by("cancelled", updated_at="2025-01-01", was_cancelled=True)
    export(tmp_path, task(annotations=[old, new, cancelled]))
    assert only(tmp_path)[0].regions[0].label == "new"
    export(tmp_path, task(annotations=[{**old, "ground_truth": True}, new]))
    assert only(tmp_path)[0].regions[0].label == "old"
    export(tmp_path, task(annotations=[cancelled]))
    annotations, (problem,) = read("labelstudio", tmp_path)
    assert not annotations and problem.severity == "warning"


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/1/0f3a9b12-a.jpg",
        "/data/local-files/?d=kitchen%20one/a.jpg",
        "s3://bucket/kitchen one/a.jpg",
        "https://host.example/x/a.jpg?token=1#top",
        "a.jpg",
    ],
)
def test_photos_are_found_behind_their_addresses(tmp_path, address):
    export(tmp_path / "ls", task(result(), image=address))
    (tmp_path / "ls" / "a.jpg").unlink()
    make_photo(tmp_path / "photos" / "kitchen one" / "a.jpg")
    annotations, problems = read("labelstudio", tmp_path / "ls", tmp_path / "photos")
    assert list(annotations) == ["kitchen one/a.jpg"] and not problems


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("b.jpg", "missing-image"),
        ("../../b.jpg", "unsafe-path"),
        ("", "no-image-path"),
        (None, "no-image-path"),
    ],
)
def test_photos_that_are_not_found(tmp_path, address, code):
    export(tmp_path, task(result(), image=address))
    annotations, (problem,) = read("labelstudio", tmp_path)
    assert not annotations and problem.code == code and problem.where == "[0]"


def test_uploads_and_versions_before_one(tmp_path):
    before = task(result(), image="x", file_upload="0f3a9b12-a.jpg")
    before["completions"] = before.pop("annotations")
    export(tmp_path, before)
    assert detect(tmp_path).name == "labelstudio"
    assert len(only(tmp_path)[0].regions) == 1


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (result(points=[[1, 2], [3, 4]]), "too-few-points"),
        (result(points=[[1, 2], [3, 4], [5, float("nan")]]), "not-finite"),
        (result(points="x"), "bad-field"),
        (result(polygonlabels=["a", "b"]), "no-label"),
        ({**result(), "image_rotation": 90}, "turned-photo"),
        (result("brushlabels", rle=BRUSH), "bad-rle"),
        (result("brushlabels", rle=[300]), "bad-rle"),
        (result("brushlabels", rle=[]), "bad-rle"),
        (result("rectanglelabels", x=1, y=2, width=3), "not-finite"),
        (result("ellipselabels", x=1, y=2, radiusX=0, radiusY=3), "no-area"),
        (result("keypointlabels", x=1, y=2, width=1), "no-area"),
        ({**result(), "value": 3}, "bad-field"),
    ],
)
def test_a_bad_region_costs_that_region(tmp_path, bad, code):
    export(tmp_path, task(result(id="1"), {**bad, "id": "2"}, result(id="3", polygonlabels=["plate"])))
    annotation, (problem,) = only(tmp_path)
    assert [region.label for region in annotation.regions] == ["cup", "plate"]
    assert problem.code == code and problem.where.startswith("a.jpg, region 2")


def test_tasks_that_are_no_tasks(tmp_path):
    export(tmp_path, task(result()), 5, {"data": [], "annotations": []})
    annotations, problems = read("labelstudio", tmp_path / "export.json")
    assert list(annotations) == ["a.jpg"] and codes(problems) == ["bad-field", "odd-field", "not-annotated"]
    assert [problem.where for problem in problems] == ["[1]", "[2].data", "[2]"]


SQUARE = {"points": [[10, 10], [60, 10], [60, 60]]}


def test_of_the_rows_of_a_region_that_with_the_shape_is_the_shape(tmp_path):
    box = {"x": 10, "y": 10, "width": 50, "height": 50}
    rows = [
        result("textarea", **box, text=["the blue cup"]),
        result("choices", **box, choices=["wet"]),
        result("rectangle", **box),
        result("labels", **box, labels=["jug"]),
    ]
    for turn in range(4):
        export(tmp_path, task(*rows[turn:], *rows[:turn]))
        annotation, problems = only(tmp_path)
        (region,) = annotation.regions
        assert region.label == "jug" and area(region) == 20 * 15 and not problems
        assert [sentence.raw for sentence in region.sentences] == ["the blue cup"]


def test_a_row_of_labels_alone_is_a_region_and_one_without_shape_is_told(tmp_path):
    text = {**result("labels", "r2"), "value": {"start": 1, "end": 5, "labels": ["word"]}}
    export(tmp_path, task(result("labels", **SQUARE), text, result("choices", "r3", choices=["sharp"])))
    annotation, (problem,) = only(tmp_path)
    assert [region.label for region in annotation.regions] == ["cup"]
    assert problem.code == "no-shape" and "r2" in problem.where


@pytest.mark.parametrize(
    "size", [{}, {"original_width": None, "original_height": None}, {"original_width": "x"}]
)
def test_without_sizes_percent_are_of_the_photo(tmp_path, size):
    row = {key: value for key, value in result().items() if not key.startswith("original")}
    export(tmp_path, task({**row, **size}))
    annotation, problems = only(tmp_path)
    assert annotation.regions[0].parts[0].outer.tolist() == [[4, 3], [24, 3], [24, 18]]
    assert codes(problems) == (["odd-field"] if size.get("original_width") else [])


def test_sizes_may_have_fractions_of_zero(tmp_path):
    export(tmp_path, task(result(size=(40.0, "30"))))
    annotation, problems = only(tmp_path)
    assert annotation.size == (40, 30) and not problems


def test_bitmasks_are_pictures(tmp_path):
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5:9, 10:30] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    address = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    export(
        tmp_path,
        task(result("bitmasklabels", imageDataURL=address), result("bitmask", "r2", imageDataURL="x")),
    )
    annotation, (problem,) = only(tmp_path)
    (part,) = annotation.regions[0].parts
    assert (full_mask(part, 40, 30) == (pixels > 0)).all() and "r2" in problem.where


def two_photos(folder: Path, *rows, **data) -> Path:
    make_photo(folder / "b.jpg")
    data = data or {"image1": "/data/upload/1/a.jpg", "image2": "/data/upload/1/b.jpg"}
    return export(folder, task(*rows, data=data))


def labels_by_photo(folder: Path, **options) -> dict[str, list[str]]:
    annotations, _ = read("labelstudio", folder, **options)
    return {name: [region.label for region in a.regions] for name, a in annotations.items()}


@pytest.mark.parametrize("tags", [("img1", "img2"), ("image1", "image2"), ("left", "right")])
def test_the_tag_of_a_region_says_which_photo_it_is_on(tmp_path, tags):
    first, second = ({**result(id=tag), "to_name": tag} for tag in tags)
    second["value"] = {**second["value"], "polygonlabels": ["jug"]}
    two_photos(tmp_path, first, second)
    assert labels_by_photo(tmp_path) == {"a.jpg": ["cup"], "b.jpg": ["jug"]}


def test_a_region_on_the_second_photo_alone_stays_there(tmp_path):
    two_photos(tmp_path, {**result(), "to_name": "img2"})
    assert labels_by_photo(tmp_path) == {"b.jpg": ["cup"]}


def test_captions_and_thumbs_are_not_the_photo(tmp_path):
    two_photos(tmp_path, result(), caption="see b.jpg", thumb="/x/b.jpg", image="/x/a.jpg")
    assert labels_by_photo(tmp_path) == {"a.jpg": ["cup"]}


def test_pages_are_photos(tmp_path):
    two_photos(tmp_path, {**result(), "item_index": 1}, pages=["a.jpg", "b.jpg"])
    assert labels_by_photo(tmp_path) == {"a.jpg": [], "b.jpg": ["cup"]}


def test_whose_annotation_is_read_can_be_chosen_and_is_told(tmp_path):
    def by(who, label, **fields):
        return {"result": [result(polygonlabels=[label])] if label else [], "completed_by": who, **fields}

    ann, bob = {"id": 1, "email": "ann@x.org"}, {"id": 2, "email": "bob@x.org"}
    rows = [by(ann, "cup", updated_at="1"), by(bob, "jug", updated_at="2"), by(ann, "", updated_at="3")]
    export(tmp_path, task(annotations=rows))
    annotation, (problem,) = only(tmp_path)
    assert annotation.regions[0].label == "jug"
    assert (
        "by ann@x.org, bob@x.org" in problem.message
        and "the newest that marks anything, of bob@x.org, is read" in problem.message
    )
    assert labels_by_photo(tmp_path, annotator="1") == labels_by_photo(tmp_path, annotator="ANN@x.org")
    assert labels_by_photo(tmp_path, annotator="1") == {"a.jpg": ["cup"]}
    assert labels_by_photo(tmp_path, annotator="carol") == {}


@pytest.mark.parametrize("annotator", [None, "bob@x.org"])
def test_a_dataset_says_whose_annotations_it_was_built_from(tmp_path, annotator):
    export(
        tmp_path / "in", task(annotations=[{"result": [result()], "completed_by": {"email": "bob@x.org"}}])
    )
    colors = write_json(tmp_path / "cats.json", {"cup": {"color": "#f00", "isthing": True}})
    build(colors, tmp_path / "in", tmp_path / "out", annotator=annotator, split="train=1")
    options = json.loads((tmp_path / "out" / "dataset.json").read_text())["options"]
    assert options.get("annotator") == annotator


def test_predictions_are_read_with_a_note_where_nobody_has_annotated(tmp_path):
    export(tmp_path, {"data": {"image": "a.jpg"}, "annotations": [], "predictions": [{"result": [result()]}]})
    annotation, problems = only(tmp_path)
    assert [region.label for region in annotation.regions] == ["cup"]
    assert [(problem.code, problem.severity) for problem in problems] == [("predictions", "note")]


def test_predictions_beside_annotations_are_not_read(tmp_path):
    make_photo(tmp_path / "b.jpg")
    guess = {"data": {"image": "b.jpg"}, "annotations": [], "predictions": [{"result": [result()]}]}
    export(tmp_path, task(result()), guess)
    annotations, problems = read("labelstudio", tmp_path)
    assert list(annotations) == ["a.jpg"]
    assert [problem.code for problem in problems] == ["not-annotated"]
