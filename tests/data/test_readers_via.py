"""VIA of all versions: shapes, the attribute that is the label, projects and exports."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from reading import area, codes, make_photo, read, write_json

from seem_data.readers import detect

SQUARE = {"name": "polygon", "all_points_x": [1, 11, 11, 1], "all_points_y": [2, 2, 12, 12]}


def region(shape=None, **attributes):
    return {"shape_attributes": shape or SQUARE, "region_attributes": attributes or {"label": "cup"}}


def export(*regions, name="a.jpg"):
    photo = {"filename": name, "size": 1, "regions": list(regions), "file_attributes": {}}
    return {f"{name}1": photo}


def save(folder: Path, content) -> Path:
    make_photo(folder / "a.jpg")
    return write_json(folder / "via.json", content)


def only(folder):
    annotations, problems = read("via", folder)
    (annotation,) = annotations.values()
    return annotation, problems


def test_every_shape_with_an_area(tmp_path):
    closed = {"name": "polyline", "all_points_x": [1, 11, 11, 1], "all_points_y": [2, 2, 12, 2]}
    save(
        tmp_path,
        export(
            region(),
            region({"name": "rect", "x": 1, "y": 2, "width": 10, "height": 5}),
            region({"name": "circle", "cx": 20, "cy": 15, "r": 9.5}),
            region({"name": "ellipse", "cx": 20, "cy": 15, "rx": 8, "ry": 4, "theta": math.pi / 2}),
            region(closed),
        ),
    )
    annotation, problems = only(tmp_path)
    square, rect, circle, ellipse, line = annotation.regions
    assert annotation.exif == "applied" and not problems
    assert (area(square), area(rect), area(line)) == (100, 50, 50)
    assert area(circle) == pytest.approx(math.pi * 9.5**2, rel=0.02)
    assert np.ptp(ellipse.parts[0].outer, axis=0) == pytest.approx([8, 16])


def test_open_lines_and_points_are_told(tmp_path):
    save(
        tmp_path, export(region({**SQUARE, "name": "polyline"}), region({"name": "point", "cx": 1, "cy": 2}))
    )
    annotation, problems = only(tmp_path)
    assert not annotation.regions and [problem.severity for problem in problems] == ["warning"] * 2


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"label": "cup", "colour": "red"}, "cup"),
        ({"Class": " cup "}, "cup"),
        ({"object_name": "cup", "x": "y"}, "cup"),
        ({"thing": "cup", "description": "left of the jug"}, "cup"),
        ({"type": {"cup": True, "jug": False}}, "cup"),
        ({"class": 3}, "3"),
        ({"a": "x", "b": "y"}, None),
        ({"label": ""}, None),
        ({"label": {"cup": True, "jug": True}}, None),
        ({"x": None}, None),
    ],
)
def test_the_label_is_the_attribute_that_looks_like_it(tmp_path, attributes, label):
    save(tmp_path, export(region(**attributes)))
    annotation, problems = only(tmp_path)
    assert [r.label for r in annotation.regions] == [label or ""]
    assert codes(problems) == ([] if label else ["no-label"])


def test_described_regions_have_sentences(tmp_path):
    save(tmp_path, export(region(label="cup", description="left of the jug", caption="")))
    assert [s.raw for s in only(tmp_path)[0].regions[0].sentences] == ["left of the jug"]


def test_exports_projects_and_both_forms_of_regions(tmp_path):
    photo = export(region())
    photo_of_version_1 = {"a.jpg1": {**photo["a.jpg1"], "regions": {"0": region()}}}
    settings = {"_via_settings": {}, "_via_attributes": {"region": {}}}
    for content in (photo, photo_of_version_1, {**settings, "_via_img_metadata": photo}):
        save(tmp_path, content)
        assert detect(tmp_path).name == "via"
        annotation, problems = only(tmp_path)
        assert [area(r) for r in annotation.regions] == [100] and not problems


def test_projects_of_version_3(tmp_path):
    regions = [
        [7, 1, 2, 11, 2, 11, 12, 1, 12],
        [2, 1, 2, 10, 5],
        [3, 20, 15, 9],
        [4, 20, 15, 8, 4],
        [8, 1, 5, 6, 2, 11, 6, 5, 12],
        [6, 1, 2, 3, 4],
        [],
    ]
    metadata = {
        str(number): {"vid": "1", "flg": 0, "z": [], "xy": xy, "av": {"1": "0"}}
        for number, xy in enumerate(regions)
    }
    save(
        tmp_path,
        {
            "project": {"pid": "x"},
            "config": {},
            "attribute": {"1": {"aname": "object", "type": 3, "options": {"0": "cup", "1": "jug"}}},
            "file": {"1": {"fid": "1", "fname": "a.jpg", "type": 2, "src": "a.jpg"}},
            "view": {"1": {"fid_list": ["1"]}},
            "metadata": metadata,
        },
    )
    assert detect(tmp_path).name == "via"
    annotation, (problem,) = only(tmp_path)
    assert [r.label for r in annotation.regions] == ["cup"] * 5
    areas = [area(r) for r in annotation.regions]
    assert areas == pytest.approx([100, 50, math.pi * 81, math.pi * 32, 100], rel=0.02)
    assert problem.severity == "warning"


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (region({**SQUARE, "all_points_x": [1, 2]}), "bad-points"),
        (region({**SQUARE, "all_points_x": [1, 11, float("nan"), 1]}), "not-finite"),
        (region({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}), "too-few-points"),
        (region({"name": "rect", "x": 1, "y": 2}), "not-finite"),
        (region({"name": "rect", "x": 1, "y": 2, "width": 0, "height": 0}), "too-few-points"),
        (region({"name": "circle", "cx": 1, "cy": 2, "r": -1}), "no-area"),
        ({"region_attributes": {}}, "bad-field"),
        (5, "bad-field"),
    ],
)
def test_a_bad_region_costs_that_region(tmp_path, bad, code):
    save(tmp_path, export(region(), bad, region(label="plate")))
    annotation, (problem,) = only(tmp_path)
    assert [r.label for r in annotation.regions] == ["cup", "plate"]
    assert problem.code == code and problem.where.startswith("a.jpg, regions[1]")


def test_photos_that_are_missing_or_outside(tmp_path):
    save(
        tmp_path, {**export(region()), **export(region(), name="../b.jpg"), **export(region(), name="c.jpg")}
    )
    annotations, problems = read("via", tmp_path)
    assert list(annotations) == ["a.jpg"] and codes(problems) == ["unsafe-path", "missing-image"]


def labels_of(folder, **options):
    annotations, _ = read("via", folder, **options)
    return [region.label for region in annotations["a.jpg"].regions]


def test_class_and_category_are_surer_than_name_and_object(tmp_path):
    save(tmp_path, export(region(name="Tom", **{"class": "cat"}), region(object_name="x1", category="dog")))
    assert labels_of(tmp_path) == ["cat", "dog"]


def test_the_label_is_the_attribute_whose_values_are_categories(tmp_path):
    rows = [region(label="7", kind="cat"), region(label="8", kind="dog")]
    save(tmp_path, export(*rows))
    assert labels_of(tmp_path) == ["7", "8"]
    assert labels_of(tmp_path, known={"cat": 1, "dog": 2}.get) == ["cat", "dog"]


def test_regions_without_attributes_have_no_label(tmp_path):
    save(tmp_path, export({**region(), "region_attributes": {}}))
    assert labels_of(tmp_path) == [""]


def test_lists_of_photos_are_read(tmp_path):
    photos = list(export(region(label="cup")).values())
    write_json(tmp_path / "via.json", photos)
    make_photo(tmp_path / "a.jpg")
    assert detect(tmp_path).name == "via" and labels_of(tmp_path) == ["cup"]


@pytest.mark.parametrize(("gap", "filled"), [(1, True), (2, True), (12, False)])
def test_polylines_whose_ends_nearly_meet_are_outlines(tmp_path, gap, filled):
    line = {"name": "polyline", "all_points_x": [5, 30, 30, 5, 5], "all_points_y": [5, 5, 28, 28, 5 + gap]}
    save(tmp_path, export(region(line, label="cup")))
    annotation, (problem,) = only(tmp_path)
    assert len(annotation.regions) == filled and problem.code == ("closed-line" if filled else "no-area")
    assert problem.severity == "warning"


def test_csv_of_version_2_is_read(tmp_path):
    make_photo(tmp_path / "a.jpg")
    shape = json.dumps(SQUARE).replace('"', '""')
    (tmp_path / "via_export.csv").write_text(
        "#filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
        f'a.jpg,1,"{{}}",2,0,"{shape}","{{""label"":""cup""}}"\n'
        'a.jpg,1,"{}",2,1,"{""name"":""rect"",""x"":1,""y"":2,""width"":5,""height"":6}","{""label"":""jug""}"\n'
    )
    assert detect(tmp_path).name == "via" and labels_of(tmp_path) == ["cup", "jug"]


def test_csv_of_version_3_is_read(tmp_path):
    make_photo(tmp_path / "a.jpg")
    (tmp_path / "via_export.csv").write_text(
        '# Exported using VGG Image Annotator\n# SHAPE_ID = {"POINT":1}\n'
        "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
        '"1_x","[""a.jpg""]",0,"[]","[2,1,2,5,6]","{""1"":""cup""}"\n'
    )
    assert detect(tmp_path).name == "via" and labels_of(tmp_path) == ["cup"]
