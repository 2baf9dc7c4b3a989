"""Categories from names and rows; COCO's are those SEEM was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seem_train.errors import UserError
from seem_train.prediction.vocabulary import as_categories, coco_categories


def test_coco_names_are_the_originals_in_its_order(shared_parity: Path) -> None:
    info = json.loads((shared_parity / "c_text" / "case.json").read_text())
    assert [category.name for category in coco_categories()] == info["class_names"][:-1]


def test_coco_rows_are_panopticapis(shared_real: Path) -> None:
    file = shared_real / "panopticapi_sample" / "panoptic_coco_categories.json"
    assert [category.as_coco() for category in coco_categories()] == json.loads(file.read_text())


def test_a_known_name_keeps_its_colour_and_kind_and_a_new_one_is_a_thing() -> None:
    sky, dragon = as_categories(["Sky-other-merged", "dragon"], coco_categories())
    assert (sky.name, sky.isthing, sky.id) == ("Sky-other-merged", False, 187)
    assert dragon.isthing
    assert dragon.id not in (0, 187)
    assert dragon.color != sky.color


def test_names_may_come_as_one_text_or_as_rows() -> None:
    assert [c.name for c in as_categories("mug, red plate")] == ["mug", "red plate"]
    row = {"name": "wall", "isthing": 0, "id": 9, "color": [1, 2, 3]}
    assert as_categories([row, "mug"])[0].as_coco() == {**row, "supercategory": "wall"}


def test_a_colour_may_be_written_as_in_a_colour_map() -> None:
    assert as_categories([{"name": "wall", "color": "#0a0B0c"}])[0].color == (10, 11, 12)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([], "none is named"),
        (["mug", " "], "is no name"),
        (["mug", "mug"], "the name mug occurs more than once"),
        ([{"name": "a", "id": 1}, {"name": "b", "id": 1}], "the id 1 occurs"),
        ([{"id": 3}], "is no name"),
        ([{"name": "a", "color": "red"}], "'a' has the color 'red'"),
        ([{"name": "a", "color": [1, 2]}], r"'a' has the color \[1, 2\]"),
        ([{"name": "a", "color": [1, 2, 300]}], r"'a' has the color \[1, 2, 300\]"),
        ([{"name": "a", "color": 7}], "'a' has the color 7"),
        ([{"name": "a", "id": "x"}], "'a' has the id 'x'"),
        ([{"name": "a", "id": None}], "'a' has the id None"),
    ],
)
def test_impossible_categories_are_refused(given: list, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        as_categories(given)


def test_many_new_names_get_colours_of_their_own() -> None:
    categories = as_categories([f"thing {n}" for n in range(40)])
    assert len({category.color for category in categories}) == 40
    assert len({category.id for category in categories}) == 40


@pytest.mark.parametrize(
    "listed",
    [
        [{"id": 7, "name": "mug", "color": [1, 2, 3], "isthing": 0}, {"name": "table"}],
        {"mug": {"color": "#010203", "isthing": False}, "table": {}},
        {"images": [], "categories": [{"name": "mug", "color": "#010203", "isthing": 0}, {"name": "table"}]},
    ],
)
def test_a_file_of_categories_may_stand_for_their_names(tmp_path: Path, listed: object) -> None:
    file = tmp_path / "cats, all.json"
    file.write_text(json.dumps(listed))
    mug, table = as_categories(str(file))
    assert as_categories(file) == (mug, table)
    assert (mug.name, mug.color, mug.isthing) == ("mug", (1, 2, 3), False)
    assert table.name == "table"


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("7", "lists none"),
        ("[1]", "lists none"),
        ("[]", "none is named"),
        ('{"mug": 7}', "color"),
    ],
)
def test_a_file_that_lists_no_categories_is_told(tmp_path: Path, written: str | None, sentence: str) -> None:
    file = tmp_path / "cats.json"
    if written is not None:
        file.write_text(written)
    with pytest.raises(UserError, match=sentence):
        as_categories(str(file))
