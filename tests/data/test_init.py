"""A colour map to begin with: the labels there are, colours that differ, a guess of what is stuff."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from reading import make_photo, write_json

from seem_data import categories, init
from seem_data.annotations import UNLABELED, VOID
from seem_data.problems import DataError
from seem_data.readers import Input


def annotate(folder, *labels, name="a"):
    make_photo(folder / f"{name}.jpg")
    shapes = [
        {"label": label, "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"} for label in labels
    ]
    return write_json(folder / f"{name}.json", {"version": "5", "imagePath": f"{name}.jpg", "shapes": shapes})


def test_every_label_is_a_category_once(tmp_path):
    annotate(tmp_path, "cup", "Wall", "cup ", VOID)
    annotate(tmp_path, "CUP", "brick wall", "plate", UNLABELED, "", name="b")
    found = init.colour_map(Input(tmp_path))
    assert [(c.id, c.name, c.isthing) for c in found] == [
        (1, "brick wall", False), (2, "cup", True), (3, "plate", True), (4, "Wall", False)
    ]  # fmt: skip


def test_the_colour_map_is_one_that_the_builder_accepts(tmp_path):
    annotate(tmp_path, *(f"label {number}" for number in range(40)))
    found = init.colour_map(Input(tmp_path), "labelme")
    assert categories.parse(json.loads(json.dumps(found.as_coco()))).names == found.names


@pytest.mark.parametrize("count", [1, 2, 30, 200, 1000])
def test_colours_differ_from_each_other_and_from_black(count):
    colors = init.distinct_colors(count)
    assert len(set(colors)) == count and (0, 0, 0) not in colors
    assert colors == init.distinct_colors(count + 5)[:count]  # one more label leaves the others' alone


def test_the_first_colours_are_easy_to_tell_apart():
    colors = np.array([init.distinct_colors(20)], np.float32) / 255
    lab = cv2.cvtColor(colors, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)[~np.eye(20, dtype=bool)]
    assert apart.min() > 30  # a just noticeable difference is about 2.3


def test_colours_in_use_are_left_alone():
    first = init.distinct_colors(3)
    assert not set(first) & set(init.distinct_colors(10, taken=first))


@pytest.mark.parametrize(
    ("name", "stuff"),
    [("wall", True), ("sky-other-merged", True), ("brick_wall", True), ("Grass", True), ("person", False),
     ("wall clock", False), ("", False), ("stuff", False), ("wine glass", False)],
)  # fmt: skip
def test_stuff_is_guessed_from_the_name(name, stuff):
    assert init.is_stuff(name) is stuff


def test_a_format_or_folder_that_is_not_there_is_told(tmp_path):
    annotate(tmp_path, "cup")
    with pytest.raises(DataError, match=r"--format: is 'labelmee'.*'labelme'"):
        init.colour_map(Input(tmp_path), "labelmee")
    with pytest.raises(DataError, match=r"nowhere --images: there is no such"):
        init.colour_map(Input(tmp_path, tmp_path / "nowhere"))


def test_an_input_without_labels_is_refused_with_its_problems(tmp_path):
    annotate(tmp_path, "cup")
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(DataError) as caught:
        init.colour_map(Input(tmp_path))
    assert [problem.code for problem in caught.value.problems] == ["no-labels", "missing-image"]


def test_problems_are_handed_over(tmp_path):
    annotate(tmp_path, "cup")
    annotate(tmp_path, "jug", name="b").write_text("{")
    problems = []
    assert init.colour_map(Input(tmp_path), "auto", problems).names == ["cup"]
    assert [problem.code for problem in problems] == ["bad-json"]


def test_real_labels(shared_real):
    found = init.colour_map(Input(shared_real / "labelme_semantic"))
    assert found.names == ["bottle", "bus", "car", "chair", "person", "sofa"]


def test_what_an_input_says_about_its_categories_is_kept(shared_real):
    sample = shared_real / "panopticapi_sample"
    found = init.colour_map(Input(sample), "panoptic")
    told = {
        record["name"]: record
        for record in json.loads((sample / "panoptic_coco_categories.json").read_text())
    }
    assert "person" in found.names and len(found) == 8
    for category in found:
        record = told[category.name]
        assert (category.id, list(category.color)) == (record["id"], record["color"])
        assert (category.isthing, category.supercategory) == (
            bool(record["isthing"]),
            record["supercategory"],
        )
    assert categories.parse(found.as_coco()).names == found.names


@pytest.mark.parametrize(
    "told",
    [
        [{"id": 4, "name": "cup", "color": [0, 0, 0]}, {"id": 5, "name": "wall", "isthing": "no"}],
        [{"id": "x", "name": "cup", "color": "red"}, {"id": 5, "name": "wall", "isthing": None}],
        [{"id": -1, "name": "cup"}, {"id": 2**40, "name": "wall", "color": [1, 2]}],
    ],
)
def test_what_cannot_be_used_is_replaced(tmp_path, told):
    make_photo(tmp_path / "a.jpg")
    square = [[1, 2, 11, 2, 11, 12]]
    rows = [{"image_id": 1, "category_id": row["id"], "segmentation": square} for row in told]
    images = [{"id": 1, "file_name": "a.jpg"}]
    write_json(tmp_path / "x.json", {"images": images, "annotations": rows, "categories": told})
    found = init.colour_map(Input(tmp_path))
    assert {(c.name, c.isthing) for c in found} == {("cup", True), ("wall", False)}
    assert categories.parse(found.as_coco()).names == found.names
