"""Splits keep shares, groups and categories, and depend on nothing but names, categories and the seed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seem_data.problems import DataError, Problem
from seem_data.splits.assign import Member, absent_categories, assign
from seem_data.splits.plan import parse


def members(count: int, categories: dict[int, set[int]] | None = None) -> list[Member]:
    """Images 000.jpg, 001.jpg, …; `categories` by index, else {1}."""
    present = categories or {}
    return [Member(f"{index:03}.jpg", frozenset(present.get(index, {1}))) for index in range(count)]


def shares_of(chosen: list[str | None]) -> Counter[str | None]:
    return Counter(chosen)


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("train=0.8,val=0.2", 10, {"train": 8, "val": 2}),
        ("train=8,val=1,test=1", 20, {"train": 16, "val": 2, "test": 2}),
        ("train=0.33,val=0.33,test=0.33", 9, {"train": 3, "val": 3, "test": 3}),
        ("train=0.8,val=0.2", 6, {"train": 5, "val": 1}),
        ("train=0.95,val=0.05", 3, {"train": 2, "val": 1}),
        ("all=1", 4, {"all": 4}),
    ],
)
def test_shares_are_met_to_the_image(text: str, count: int, expected: dict[str, int]) -> None:
    assert shares_of(assign(members(count), parse(text))) == expected


def test_without_a_plan_and_without_splits_in_the_input_four_fifths_train() -> None:
    assert shares_of(assign(members(10), parse("auto"))) == {"train": 8, "val": 2}


def test_the_order_of_the_input_does_not_matter() -> None:
    images = members(40, {index: {index % 7, 1} for index in range(40)})
    forward = dict(zip((m.name for m in images), assign(images, parse("train=3,val=1")), strict=True))
    images.reverse()
    backward = dict(zip((m.name for m in images), assign(images, parse("train=3,val=1")), strict=True))
    assert forward == backward


def test_another_seed_gives_another_split() -> None:
    images = members(60)
    assert assign(images, parse("train=1,val=1"), seed=1) != assign(images, parse("train=1,val=1"), seed=2)


def test_rare_categories_reach_every_split() -> None:
    rare = {
        index: {1, 2} if index in (3, 17) else {1, 3} if index in (5, 6, 7) else {1} for index in range(50)
    }
    images = members(50, rare)
    chosen = assign(images, parse("train=0.8,val=0.2"))
    for category in (1, 2, 3):
        holders = {s for m, s in zip(images, chosen, strict=True) if category in m.categories}
        assert holders == {"train", "val"}
    assert shares_of(chosen) == {"train": 40, "val": 10}


def test_presence_of_every_category_follows_the_shares() -> None:
    images = members(200, {index: {1 + index % 4, 5 + index % 10} for index in range(200)})
    chosen = assign(images, parse("train=0.7,val=0.3"))
    for category in range(1, 15):
        where = [s for m, s in zip(images, chosen, strict=True) if category in m.categories]
        assert where.count("val") / len(where) == pytest.approx(0.3, abs=0.1)


def test_groups_stay_together() -> None:
    frames = [Member(f"video{index // 5}_{index:03}.jpg", frozenset({1})) for index in range(50)]
    chosen = assign(frames, parse("train=0.8,val=0.2"), group_by=re.compile(r"^(video\d+)_"))
    for video in range(10):
        assert len(set(chosen[5 * video : 5 * video + 5])) == 1
    assert shares_of(chosen) == {"train": 40, "val": 10}


@given(
    st.lists(st.tuples(st.integers(0, 6), st.frozensets(st.integers(1, 5))), min_size=1, max_size=40),
    st.integers(0, 3),
)
def test_every_image_gets_a_split_and_no_group_is_torn(
    images: list[tuple[int, frozenset[int]]], seed: int
) -> None:
    given_members = [Member(f"g{group}_{index}", present) for index, (group, present) in enumerate(images)]
    problems: list[Problem] = []
    chosen = assign(given_members, parse("train=2,val=1"), re.compile(r"^g\d+"), seed, problems)
    assert set(chosen) <= {"train", "val"}
    by_group: dict[int, set[str | None]] = {}
    for (group, _), split in zip(images, chosen, strict=True):
        by_group.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in by_group.values())
    assert not [problem for problem in problems if problem.code == "torn-group"]


def test_the_input_decides_where_it_says_so() -> None:
    images = [Member("a.jpg", split="train"), Member("b.jpg", split="valid"), Member("c.jpg")]
    problems: list[Problem] = []
    assert assign(images, parse("auto"), problems=problems) == ["train", "val", "train"]
    assert [problem.code for problem in problems] == ["in-no-split"]
    assert "c.jpg" in problems[0].message


def test_the_first_folder_can_decide() -> None:
    images = [Member("validation/x/a.jpg"), Member("train/b.jpg"), Member("c.jpg")]
    problems: list[Problem] = []
    assert assign(images, parse("folders"), problems=problems) == ["val", "train", None]
    assert [problem.code for problem in problems] == ["in-no-split"]


def test_lists_name_images_in_any_usual_way_and_say_what_they_miss(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("kitchen/a.jpg\nb\n\nlost.jpg\n")
    (tmp_path / "val.txt").write_text("\ufeffgarden\\c\nb.png\n", encoding="utf-8")
    images = [Member(name) for name in ("kitchen/a.jpg", "hall/b.png", "garden/c.jpg", "d.jpg")]
    problems: list[Problem] = []
    plan = parse(f"train={tmp_path / 'train.txt'},val={tmp_path / 'val.txt'}")
    assert assign(images, plan, problems=problems) == ["train", "train", "val", None]
    assert {problem.code for problem in problems} == {"in-two-splits", "listed-but-missing", "in-no-split"}
    assert plan.as_option() == {"train": 3, "val": 2}, "dataset.json must not hold paths"


def test_a_list_in_another_encoding_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes("nö.jpg".encode("cp1252"))
    with pytest.raises(DataError, match=r"l\.txt: .*not UTF-8.*Save it with UTF-8 encoding"):
        parse(f"train={tmp_path / 'l.txt'}")


def test_lists_that_tear_a_group_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"v1_{name}.jpg\n")
    problems: list[Problem] = []
    images = [Member("v1_a.jpg"), Member("v1_b.jpg")]
    assign(images, parse(f"train={tmp_path}/a,val={tmp_path}/b"), re.compile("v1"), problems=problems)
    assert [problem.code for problem in problems] == ["torn-group"]


def test_a_group_pattern_that_finds_nothing_is_told() -> None:
    problems: list[Problem] = []
    assign(members(10), parse("train=0.8,val=0.2"), re.compile("^video"), problems=problems)
    assert [(problem.code, problem.where) for problem in problems] == [("no-group", "--group-by")]
    assert "000.jpg" in problems[0].message


def test_a_split_that_gets_no_image_is_told() -> None:
    problems: list[Problem] = []
    assert assign(members(1), parse("train=0.8,val=0.2"), problems=problems) == ["train"]
    assert [(problem.code, problem.where) for problem in problems] == [("empty-split", "--split val")]


def test_a_default_split_without_images_is_told_too() -> None:
    for images, group_by in ((members(1), None), (members(9), re.compile(".jpg"))):
        problems: list[Problem] = []
        assert set(assign(images, parse("auto"), group_by, problems=problems)) == {"train"}
        assert [(problem.code, problem.where) for problem in problems] == [("empty-split", "--split val")]


def test_categories_that_a_split_lacks_are_told() -> None:
    images = members(3, {0: {1}, 1: {1, 2}, 2: {3}})
    problems = absent_categories(images, ["train", "val", None], {1: "cup", 2: "plate", 3: "wall"})
    assert [(problem.where, problem.message) for problem in problems] == [("split train", "has no plate.")]


@pytest.mark.parametrize(
    "text",
    [
        "train=0.8,val=0.3",
        "train=-1,val=2",
        "train",
        "",
        "tr/ain=1",
        "train=1,train=2",
        "train=nan",
        "train=inf,val=1",
        "train=/no/such/list.txt",
        "folder",
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_with_the_syntax(text: str) -> None:
    with pytest.raises(DataError) as error:
        parse(text)
    assert "train=0.8,val=0.2" in str(error.value)
