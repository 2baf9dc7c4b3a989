"""A colour map to begin with: the labels there are, colours that differ, a guess of what is stuff."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from reading import make_photo, write_json
from typer.testing import CliRunner

from seem_data import build, categories
from seem_data import proposal as init
from seem_data.annotations import UNLABELED, VOID
from seem_data.cli import app
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
    assert [problem.code for problem in problems] == ["bad-json", "guessed"]


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


def test_what_is_guessed_is_told(tmp_path):
    annotate(tmp_path, "cup", "brick wall", "sky")
    problems = []
    init.colour_map(Input(tmp_path), "auto", problems)
    (note,) = problems
    assert note.severity == "note" and "brick wall, sky are taken for stuff, cup for things" in note.message


def test_common_names_have_the_colours_that_people_expect(tmp_path):
    annotate(tmp_path, "sky", "grass", "wood", "brick wall", "flurb", "blarg", "cloud", "clouds")
    found = {c.name: c.color for c in init.colour_map(Input(tmp_path))}
    assert len(set(found.values())) == 8
    red, green, blue = found["sky"]
    assert blue > green > red
    red, green, blue = found["grass"]
    assert green > red > blue
    red, green, blue = found["wood"]
    assert red > green > blue
    rest = np.array([[found["flurb"], found["blarg"]]], np.float32) / 255
    one, other = cv2.cvtColor(rest, cv2.COLOR_RGB2LAB)[0]
    assert np.linalg.norm(one - other) > 30


def test_masks_are_read_too(tmp_path):
    painted = np.zeros((4, 5, 3), np.uint8)
    painted[1:3] = (255, 0, 0)
    (tmp_path / "painted").mkdir()
    Image.fromarray(painted).save(tmp_path / "painted" / "a.png")
    problems = []
    (category,) = init.colour_map(Input(tmp_path / "painted"), "auto", problems)
    assert (category.name, category.color) == ("color ff0000", (255, 0, 0))
    assert "10 pixels" in problems[0].message and problems[0].severity == "note"

    (tmp_path / "numbers").mkdir()
    Image.fromarray(painted[..., 0] // 255 * np.uint8(7)).save(tmp_path / "numbers" / "a_mask.png")
    make_photo(tmp_path / "numbers" / "a.jpg", (5, 4))
    assert init.colour_map(Input(tmp_path / "numbers")).values == {7: "value 7"}
    (tmp_path / "numbers" / "_classes.csv").write_text("Pixel Value, Class\n0, background\n7, sky\n")
    found = init.colour_map(Input(tmp_path / "numbers"))
    assert found.values == {7: "sky"} and not found[0].isthing


def test_what_init_prints_of_masks_builds_them(tmp_path):
    numbers = np.zeros((4, 5), np.uint8)
    numbers[1:3] = 7
    (tmp_path / "in").mkdir()
    Image.fromarray(numbers).save(tmp_path / "in" / "a_mask.png")
    make_photo(tmp_path / "in" / "a.jpg", (5, 4))
    printed = CliRunner().invoke(app, ["init", str(tmp_path / "in")])
    assert printed.exit_code == 0 and "10 pixels" in printed.stderr
    colors = tmp_path / "cats.json"
    colors.write_text(printed.stdout)
    report = build(colors, masks=tmp_path / "in", out=tmp_path / "ds", split="train=1")
    assert report.splits["train"].segments == 1 and not report.has_errors


def test_the_borders_of_vocs_masks_are_no_category(tmp_path):
    painted = np.zeros((6, 5, 3), np.uint8)
    painted[1:4], painted[4] = (128, 0, 0), (224, 224, 192)
    Image.fromarray(painted).save(tmp_path / "a_mask.png")
    make_photo(tmp_path / "a.jpg", (5, 6))
    assert init.colour_map(Input(tmp_path)).names == ["color 800000"]


def test_a_panoptic_json_without_photos_is_enough(shared_real, tmp_path):
    shutil.copy(shared_real / "panopticapi_sample" / "panoptic_examples.json", tmp_path / "p.json")
    problems = []
    found = init.colour_map(Input(tmp_path / "p.json"), "auto", problems)
    assert "person" in found.names and [problem.severity for problem in problems] == ["note"]


def test_a_colour_map_without_colours_is_told_in_one_line():
    rows = [{"name": f"c{number}", "isthing": True} for number in range(30)]
    with pytest.raises(DataError) as caught:
        categories.parse(rows)
    (problem,) = caught.value.problems
    assert "seem-data init" in problem.remedy and "30 categories" in problem.message


def test_init_names_no_file_by_a_dash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["init", "-"])
    assert result.exit_code == 2 and not list(tmp_path.iterdir())
