"""Fields that no mask needs cost no mask, whatever is in them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from reading import area, read
from test_readers_fuzz import make, places

from seem_data.problems import Problem
from seem_data.readers import _json, get

#: The keys that masks, their photos and their categories are made of; all others may hold anything.
NEEDED = {
    "labelme": "shapes points shape_type imagePath mask",
    "coco": "images annotations categories id file_name image_id category_id segmentation size counts name",
    "panoptic": "images annotations categories id file_name image_id category_id segments_info name",
    "labelstudio": "data image annotations result value points rle type x y width height rotation "
    "original_width original_height",
    "via": "a.jpg1 filename regions shape_attributes name all_points_x all_points_y x y width height cx cy "
    "rx ry theta",
    "supervisely": "objects geometryType points exterior interior bitmap data origin",
    "cityscapes": "objects polygon imgWidth imgHeight",
    "sa1b": "image file_name annotations segmentation size counts",
    "isat": "info name objects segmentation",
    "datumaro": "items id annotations image path type points bbox rle size counts categories label labels "
    "name label_id",
}
#: What stands for nothing in a field of any kind.
NOTHING: tuple[Any, ...] = (None, {"a": 1}, [1], "zz")


def json_of(folder: Path) -> Path:
    return next(path for path in sorted(folder.rglob("*.json")) if path.name != "meta.json")


def areas(name: str, folder: Path) -> tuple[list[list[float]], list[Problem]]:
    annotations, problems = read(name, folder)
    return [[round(area(region), 6) for region in a.regions] for a in annotations.values()], problems


def otherwise(value: Any) -> list[Any]:
    """The same value as another tool writes it."""
    if isinstance(value, bool):
        return [str(value).lower(), int(value)]
    if isinstance(value, int | float):
        return [str(value), float(value)]
    return []


@pytest.mark.parametrize("name", NEEDED)
def test_fields_that_no_mask_needs_cost_no_mask(tmp_path, name):
    make(name, tmp_path)
    path = json_of(tmp_path)
    good = json.loads(path.read_text())
    expected, _ = areas(name, tmp_path)
    assert expected and all(expected)
    needed = set(NEEDED[name].split())
    count = len(list(places(good)))
    for number in range(count):
        holder, key = list(places(good))[number]
        spellings = otherwise(holder[key])
        if isinstance(key, str) and key not in needed:
            spellings += [None] if name == "via" and key == "region_attributes" else list(NOTHING)
        for spelling in spellings:
            changed = copy.deepcopy(good)
            holder, key = list(places(changed))[number]
            holder[key] = spelling
            path.write_text(json.dumps(changed))
            found, problems = areas(name, tmp_path)
            assert found == expected, (key, spelling, [str(problem) for problem in problems])


def test_ids_compare_as_numbers_or_as_text():
    assert [_json.plain_id(id) for id in ("263", 263.0, 263, "a7", "007", "2.5", 2.5)] == [
        263, 263, 263, "a7", "007", "2.5", 2.5
    ]  # fmt: skip


def test_what_is_left_out_is_told_with_its_place(tmp_path):
    make("labelme", tmp_path)
    path = json_of(tmp_path)
    file = json.loads(path.read_text())
    file["shapes"][0]["flags"] = {"red": "deep", "wet": "yes"}
    path.write_text(json.dumps(file))
    annotations, (problem,) = read("labelme", tmp_path)
    (annotation,) = annotations.values()
    assert (
        problem.code == "odd-field"
        and problem.where == "shapes[0].flags.red"
        and problem.severity == "warning"
    )
    assert "wet cup" in [sentence.raw for sentence in annotation.regions[0].sentences]
    assert get("labelme").recognises(tmp_path)
