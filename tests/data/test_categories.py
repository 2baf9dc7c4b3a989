"""The colour map: its forms, its order, and every fault it can have, told at once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seem_data.categories import Categories, Category, load, parse, parse_color
from seem_data.problems import DataError

PERSON = {"id": 7, "name": "person", "color": [220, 20, 60], "isthing": 1}
WALL = {"id": 3, "name": "wall", "color": [1, 2, 3], "isthing": 0, "supercategory": "building"}


def faults(*records, **changes) -> list[str]:
    data = [{**PERSON, **changes}] if changes else list(records)
    with pytest.raises(DataError) as caught:
        parse(data, "cats.json")
    assert all(problem.file == "cats.json" and problem.remedy for problem in caught.value.problems)
    return [problem.code for problem in caught.value.problems]


def test_all_forms_mean_the_same():
    short = {
        "person": {"id": 7, "color": "#dc143c", "isthing": True},
        "wall": {"id": 3, "color": "010203", "isthing": False, "supercategory": "building"},
    }
    expected = (
        Category(7, "person", (220, 20, 60), isthing=True),
        Category(3, "wall", (1, 2, 3), isthing=False, supercategory="building"),
    )
    for data in ([PERSON, WALL], {"categories": [PERSON, WALL]}, short):
        assert tuple(parse(data)) == expected


def test_ids_are_given_or_assigned_in_order():
    named = [{"name": name, "color": [number, 1, 1], "isthing": 1} for number, name in enumerate("abcd")]
    named[1]["id"] = 2
    assert [category.id for category in parse(named)] == [1, 2, 3, 4]
    named[2]["id"] = 1
    assert [category.id for category in parse(named)] == [3, 2, 1, 4]


def test_the_order_decides_the_index():
    found = parse([PERSON, WALL])
    assert found.index_of == {7: 0, 3: 1}
    assert found.by_color[(1, 2, 3)] is found[1] and found.by_id[7] is found[0]
    assert found.names == ["person", "wall"] and len(found[0:1]) == 1


def test_labels_are_found_by_name_or_alias_in_any_case():
    found = parse([{**PERSON, "aliases": ["Human", "wall"]}, {**WALL, "name": "floor"}])
    assert found.find(" PERSON ") is found.find("human") is found[0]
    assert found.find("floor") is found[1]
    assert found.find("persn") is None and found.suggest("persn") == "Did you mean 'person'?"
    assert found.suggest("xyzzy") == ""


def test_what_is_written_is_read_back():
    found = parse([PERSON, WALL])
    again = parse(json.loads(json.dumps(found.as_coco())))
    assert [(c.id, c.name, c.color, c.isthing) for c in again] == [
        (c.id, c.name, c.color, c.isthing) for c in found
    ]
    assert again[0].supercategory == "person"


def test_equal_maps_are_equal():
    assert parse([PERSON]) == Categories([Category(7, "person", (220, 20, 60), isthing=True)])
    assert hash(parse([PERSON])) == hash(parse([PERSON])) and parse([PERSON]) != parse([WALL])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": ""}, "bad-name"),
        ({"name": None}, "bad-name"),
        ({"name": 3}, "bad-name"),
        ({"id": -1}, "bad-id"),
        ({"id": True}, "bad-id"),
        ({"id": "7"}, "bad-id"),
        ({"id": 2**31}, "bad-id"),
        ({"color": None}, "bad-color"),
        ({"color": "red"}, "bad-color"),
        ({"color": [1, 2]}, "bad-color"),
        ({"color": [1, 2, 256]}, "bad-color"),
        ({"color": [0.1, 0.2, 0.3]}, "bad-color"),
        ({"color": [0, 0, 0]}, "black"),
        ({"isthing": None}, "no-isthing"),
        ({"isthing": 2}, "no-isthing"),
        ({"isthing": "yes"}, "no-isthing"),
        ({"aliases": "human"}, "bad-aliases"),
        ({"isThing": 1}, "unknown-key"),
    ],
)
def test_each_fault_is_told(change, code):
    assert faults(**change) == [code]


def test_unknown_keys_suggest_the_known_one():
    with pytest.raises(DataError, match=r"'colour'\. Did you mean 'color'"):
        parse([{**PERSON, "colour": "red"}])


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ({**WALL, "id": 7}, "duplicate-id"),
        ({**WALL, "color": [220, 20, 60]}, "duplicate-color"),
        ({**WALL, "color": "#dc143c"}, "duplicate-color"),
        ({**WALL, "name": "Person "}, "duplicate-name"),
        ({**WALL, "aliases": ["PERSON"]}, "duplicate-name"),
    ],
)
def test_nothing_may_be_used_twice(second, code):
    assert faults(PERSON, second) == [code]


def test_all_faults_of_a_file_are_told_at_once():
    assert faults(PERSON, {**PERSON, "isthing": 5}, 3, {**WALL, "id": 7, "color": [0, 0, 0]}) == [
        "no-isthing", "bad-category", "black", "duplicate-id"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "code"),
    [([], "no-categories"), (5, "bad-colour-map"), ("a", "bad-colour-map"), ({}, "no-categories")],
)
def test_other_things_than_categories(data, code):
    with pytest.raises(DataError) as caught:
        parse(data)
    assert [problem.code for problem in caught.value.problems] == [code]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "no-colour-map"),
        (b"{", "bad-json"),
        (b"\xff\xfe\xff", "bad-json"),
        (b"[" * 100_000, "bad-json"),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, code):
    path = tmp_path / "cats.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(path)
    assert [problem.code for problem in caught.value.problems] == [code]
    assert caught.value.problems[0].file == str(path)


def test_a_byte_order_mark_is_no_obstacle(tmp_path):
    path = tmp_path / "cats.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([PERSON]).encode())
    assert load(path).names == ["person"]


@pytest.mark.parametrize(
    ("value", "color"),
    [("#DC143C", (220, 20, 60)), ("abc", (170, 187, 204)), (" #010203 ", (1, 2, 3)), ([1, 2, 3], (1, 2, 3)),
     ("#12345", None), ([True, 1, 1], None), (5, None), (None, None)],
)  # fmt: skip
def test_colours(value, color):
    assert parse_color(value) == color


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "name", "color", "isthing", "aliases", "categories", "supercategory", "x"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_input_ends_in_a_traceback(data):
    try:
        assert len(parse(data)) > 0
    except DataError as error:
        assert error.problems


def test_all_faults_of_a_category_are_told_at_once():
    assert faults({"name": "cup", "id": -1, "color": "red", "aliases": 3, "colour": 1}) == [
        "unknown-key", "bad-id", "bad-color", "no-isthing", "bad-aliases",
    ]  # fmt: skip


def test_a_map_that_windows_redirected_is_read(tmp_path):
    """PowerShell's ``>`` writes UTF-16 with a byte order mark."""
    path = tmp_path / "cats.json"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text(json.dumps([PERSON], ensure_ascii=False), encoding=encoding)
        assert load(path) == parse([PERSON])


@pytest.mark.parametrize("content", [b"", b" \n"])
def test_an_empty_map_names_the_command_that_writes_one(content, tmp_path):
    (tmp_path / "cats.json").write_bytes(content)
    with pytest.raises(DataError, match=r"is empty.*seem-data init"):
        load(tmp_path / "cats.json")


def test_a_folder_is_no_map(tmp_path):
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path)


def test_a_name_given_twice_is_told_in_the_short_form_too(tmp_path):
    path = tmp_path / "cats.json"
    path.write_text(
        '{"cup": {"color": "#010203", "isthing": true}, "cup": {"color": "#030201", "isthing": true}}'
    )
    with pytest.raises(DataError) as error:
        load(path)
    assert [problem.code for problem in error.value.problems] == ["duplicate-key"]
    assert "'cup'" in str(error.value)
