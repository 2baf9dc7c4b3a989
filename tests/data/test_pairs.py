"""Polygons and painted masks of the same photo find each other."""

from __future__ import annotations

from pathlib import Path

from seem_data.building.pairs import pair
from seem_data.readers import Item


def item(name: str, folder: str = "ann") -> Item:
    path = Path(folder) / name
    return Item(name, path, path, path)


def paired(polygons: list[str], masks: list[str]) -> tuple[list[tuple[str | None, str | None]], list[str]]:
    """Names of the pairs, and codes of the problems."""
    problems: list = []
    pairs = pair(map(item, polygons), [item(name, "masks") for name in masks], problems)
    names = [(each.name if each else None, ground.name if ground else None) for each, ground in pairs]
    return names, [problem.code for problem in problems]


def test_names_may_differ_in_their_ending():
    assert paired(["b.jpg", "a.jpg"], ["a.png", "b.png"]) == ([("b.jpg", "b.png"), ("a.jpg", "a.png")], [])


def test_an_image_may_have_polygons_only_or_a_mask_only():
    assert paired(["a.jpg"], ["b.png"]) == ([("a.jpg", None), (None, "b.png")], [])


def test_a_folder_that_one_side_leaves_out_parts_none():
    names = ["images/a.jpg", "images/b.jpg"]
    assert paired(names, ["b.png", "a.png"]) == ([(names[0], "a.png"), (names[1], "b.png")], [])


def test_the_same_path_goes_before_the_same_file_name():
    assert paired(["x/a.jpg", "a.jpg"], ["a.png"]) == ([("x/a.jpg", None), ("a.jpg", "a.png")], [])


def test_nothing_is_guessed_where_a_file_name_occurs_twice():
    lone = [("x/a.jpg", None), ("y/a.jpg", None), (None, "a.png")]
    assert paired(["x/a.jpg", "y/a.jpg"], ["a.png"]) == (lone, [])
    assert paired(["a.jpg"], ["x/a.png", "y/a.png"])[0][0] == ("a.jpg", None)


def test_two_masks_of_one_image_are_told():
    assert paired(["a.jpg"], ["a.bmp", "a.png"]) == ([("a.jpg", "a.bmp")], ["claimed-twice"])


def test_the_mask_may_have_a_word_more_in_its_name():
    assert paired(["images/a.jpg", "x_leftImg8bit.png"], ["a_mask.png", "x_gtFine_color.png"])[0] == [
        ("images/a.jpg", "a_mask.png"),
        ("x_leftImg8bit.png", "x_gtFine_color.png"),
    ]
