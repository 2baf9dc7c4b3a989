"""LabelMe: every shape, every way its files name their photo, and what is wrong with them."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading import area, codes, full_mask, make_photo, read, write_json

from seem_data.annotations import UNLABELED, VOID, Bitmap
from seem_data.images import read_header
from seem_data.problems import DataError
from seem_data.readers import detect

SQUARE = [[1, 2], [11, 2], [11, 12], [1, 12]]


def shape(label="cup", points=SQUARE, **fields):
    return {"label": label, "points": points, "shape_type": "polygon", "flags": {}, **fields}


def labelme(folder: Path, *shapes, name="001", size=(40, 30), **fields) -> Path:
    make_photo(folder / f"{name}.jpg", size)
    return write_json(
        folder / f"{name}.json",
        {
            "version": "5.5.0",
            "flags": {},
            "shapes": list(shapes),
            "imagePath": f"{name}.jpg",
            "imageData": None,
            "imageWidth": size[0],
            "imageHeight": size[1],
            **fields,
        },
    )


def only(folder, images=None):
    annotations, problems = read("labelme", folder, images)
    (annotation,) = annotations.values()
    return annotation, problems


# Shapes


def test_a_polygon_keeps_its_points(tmp_path):
    labelme(tmp_path, shape(points=[[1.25, 2], [11, 2], [11, 12.5]]))
    annotation, problems = only(tmp_path)
    assert annotation.size == (40, 30) and annotation.exif == "applied"
    assert annotation.image == tmp_path / "001.jpg" and annotation.name == "001.jpg"
    (region,) = annotation.regions
    assert region.label == "cup" and region.group is None and region.where == "shapes[0]"
    assert region.parts[0].outer.tolist() == [[1.25, 2], [11, 2], [11, 12.5]]
    assert not problems


@pytest.mark.parametrize("corners", [[[1, 2], [11, 12]], [[11, 12], [1, 2]], [[1, 12], [11, 2]], SQUARE])
def test_a_rectangle_has_two_corners_in_any_order_or_four(tmp_path, corners):
    labelme(tmp_path, shape(shape_type="rectangle", points=corners))
    annotation, _ = only(tmp_path)
    assert area(annotation.regions[0]) == 100
    assert annotation.regions[0].parts[0].outer.min(axis=0).tolist() == [1, 2]


@pytest.mark.parametrize("radius", [3, 50, 1000])
def test_a_circle_is_met_within_a_fiftieth_of_a_pixel(tmp_path, radius):
    labelme(
        tmp_path, shape(shape_type="circle", points=[[200, 100], [200 + radius * 0.6, 100 + radius * 0.8]])
    )
    annotation, _ = only(tmp_path)
    line = annotation.regions[0].parts[0].outer
    middles = (line + np.roll(line, 1, axis=0)) / 2
    assert np.allclose(np.linalg.norm(line - (200, 100), axis=1), radius)
    assert np.linalg.norm(middles - (200, 100), axis=1).min() > radius - 0.02
    assert area(annotation.regions[0]) == pytest.approx(math.pi * radius**2, rel=0.02)


def test_a_mask_lies_in_the_box_from_its_first_point_on(tmp_path):
    pixels = np.zeros((6, 5), np.uint8)
    pixels[1:4, 2:5] = 1
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    labelme(tmp_path, shape(shape_type="mask", points=[[10.4, 20.9], [14, 25]], mask=text))
    annotation, problems = only(tmp_path)
    (part,) = annotation.regions[0].parts
    assert isinstance(part, Bitmap) and (part.left, part.top) == (12, 21)
    assert part.mask.shape == (3, 3) and part.mask.all()
    assert not problems


@pytest.mark.parametrize("kind", ["line", "linestrip", "point", "points"])
def test_shapes_without_area_are_left_out_and_told(tmp_path, kind):
    labelme(tmp_path, shape(shape_type=kind), shape())
    annotation, (problem,) = only(tmp_path)
    assert len(annotation.regions) == 1
    assert problem.severity == "warning" and problem.where == "shapes[0]" and kind in problem.message


def test_groups_words_and_special_labels_are_carried(tmp_path):
    labelme(
        tmp_path,
        shape(group_id=3, description="the cup\n on the left ", flags={"red": True, "wet": False}),
        shape(label=VOID),
        shape(label=UNLABELED, group_id="a"),
        flags={"indoors": True, "blurred": False},
    )
    annotation, _ = only(tmp_path)
    cup, void, ground = annotation.regions
    assert cup.group == 3
    assert [sentence.raw for sentence in cup.sentences] == ["the cup", "on the left", "red cup"]
    assert {sentence.kind for sentence in cup.sentences} == {"own"}
    assert (void.label, ground.label, ground.group) == (VOID, UNLABELED, "a")
    assert annotation.tags == ("indoors",)


# Photos


@pytest.mark.parametrize(
    "image_path", ["kitchen\\001.jpg", "kitchen/001.jpg", "./kitchen/../kitchen/001.jpg", "kitchen//001.jpg"]
)
def test_the_photo_is_found_by_its_path(tmp_path, image_path):
    labelme(tmp_path, shape(), imagePath=image_path).rename(tmp_path / "a.json")
    (tmp_path / "001.jpg").unlink()
    make_photo(tmp_path / "kitchen" / "001.jpg")
    annotation, problems = only(tmp_path)
    assert annotation.name == "kitchen/001.jpg" and not problems


def test_photos_elsewhere_are_found_at_the_same_place_under_images(tmp_path):
    for room in ("kitchen", "bath"):
        labelme(tmp_path / "ann" / room, shape(label=room))
        (tmp_path / "ann" / room / "001.jpg").unlink()
        make_photo(tmp_path / "photos" / room / "001.jpg")
    annotations, problems = read("labelme", tmp_path / "ann", tmp_path / "photos")
    assert {name: a.regions[0].label for name, a in annotations.items()} == {
        "bath/001.jpg": "bath",
        "kitchen/001.jpg": "kitchen",
    }
    assert not problems


def test_photos_in_a_folder_beside_the_annotations_need_no_option(tmp_path):
    labelme(tmp_path / "ann", shape(), imagePath="..\\images\\001.jpg")
    (tmp_path / "ann" / "001.jpg").unlink()
    make_photo(tmp_path / "images" / "001.jpg")
    annotation, problems = only(tmp_path / "ann")
    assert annotation.image == tmp_path / "images" / "001.jpg" and not problems


@pytest.mark.parametrize("image_path", ["C:\\Users\\me\\001.jpg", "/home/me/001.jpg"])
def test_a_path_of_another_computer_means_the_photo_of_that_name_here(tmp_path, image_path):
    labelme(tmp_path, shape(), imagePath=image_path)
    annotation, problems = only(tmp_path)
    assert annotation.image == tmp_path / "001.jpg" and not problems


def test_an_absolute_path_into_the_photos_folder_is_fine(tmp_path):
    for room in ("a", "b"):
        make_photo(tmp_path / "photos" / room / "001.jpg")
    labelme(tmp_path / "ann", shape(), imagePath=str(tmp_path / "photos" / "b" / "001.jpg"))
    (tmp_path / "ann" / "001.jpg").unlink()
    annotation, problems = only(tmp_path / "ann", tmp_path / "photos")
    assert annotation.name == "b/001.jpg" and not problems


def test_a_path_out_of_the_folder_is_refused(tmp_path):
    secret = make_photo(tmp_path / "secret.jpg")
    labelme(tmp_path / "ann", shape(), imagePath="../secret.jpg")
    annotations, (problem,) = read("labelme", tmp_path / "ann")
    assert not annotations and problem.code == "unsafe-path" and "the file '../secret.jpg'" in problem.message
    assert problem.file == str(tmp_path / "ann" / "001.json")
    assert secret.exists() and "--images" in problem.remedy


def test_the_embedded_photo_stands_in_for_a_missing_one(tmp_path):
    path = labelme(tmp_path / "kitchen", shape())
    data = base64.b64encode((tmp_path / "kitchen" / "001.jpg").read_bytes()).decode()
    labelme(tmp_path / "kitchen", shape(), imageData=data)
    (tmp_path / "kitchen" / "001.jpg").unlink()
    annotation, problems = only(tmp_path)
    assert annotation.name == "kitchen/001.jpg" and not problems
    assert isinstance(annotation.image, bytes) and read_header(annotation.image).size("applied") == (40, 30)
    assert annotation.source == path


def test_a_photo_that_is_nowhere_is_a_problem(tmp_path):
    labelme(tmp_path, shape(), imagePath="002.jpg")
    annotations, (problem,) = read("labelme", tmp_path)
    assert not annotations and problem.code == "missing-image" and problem.file.endswith("001.json")


def test_a_photo_claimed_twice_is_read_once(tmp_path):
    labelme(tmp_path, shape())
    write_json(tmp_path / "002.json", json.loads((tmp_path / "001.json").read_text()))
    annotations, (problem,) = read("labelme", tmp_path)
    assert list(annotations) == ["001.jpg"]
    assert problem.code == "claimed-twice" and problem.file.endswith("002.json")
    assert "001.json" in problem.message


def test_folders_named_after_splits_assign_them(tmp_path):
    for split in ("train", "valid", "other"):
        labelme(tmp_path / split, shape())
    annotations, _ = read("labelme", tmp_path)
    assert {name: a.split for name, a in annotations.items()} == {
        "other/001.jpg": None,
        "train/001.jpg": "train",
        "valid/001.jpg": "val",
    }


def test_loops_of_symbolic_links_end(tmp_path):
    labelme(tmp_path / "a", shape())
    (tmp_path / "a" / "loop").symlink_to(tmp_path, target_is_directory=True)
    annotations, problems = read("labelme", tmp_path)
    assert list(annotations) == ["a/001.jpg"] and not problems


# Bad input


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"points": [[1, 2], [3, 4]]}, "too-few-points"),
        ({"points": [[1, 2]] * 9}, "too-few-points"),
        ({"points": []}, "too-few-points"),
        ({"points": [[1, 2], [3, math.nan], [5, 9]]}, "not-finite"),
        ({"points": [[1, 2], [3, -math.inf], [5, 9]]}, "not-finite"),
        ({"points": [[1, 2], [1e300, 3], [5, 9]]}, "far-point"),
        ({"points": [[1, 2], [3], [5, 9]]}, "bad-field"),
        ({"points": [["x", 2], [3, 4], [5, 9]]}, "not-finite"),
        ({"points": None}, "bad-field"),
        ({"shape_type": "star"}, "bad-shape"),
        ({"shape_type": "circle"}, "bad-shape"),
        ({"shape_type": "circle", "points": [[1, 1], [1, 1]]}, "no-area"),
        ({"shape_type": "mask"}, "bad-shape"),
        ({"shape_type": "mask", "mask": "?"}, "bad-image"),
        ({"shape_type": "mask", "mask": "aGVsbG8="}, "bad-image"),
    ],
)
def test_a_bad_shape_costs_that_shape_and_names_its_place(tmp_path, change, code):
    labelme(tmp_path, shape(), shape(**change), shape("plate"))
    annotation, (problem,) = only(tmp_path)
    assert [region.label for region in annotation.regions] == ["cup", "plate"]
    assert problem.code == code
    assert problem.where.startswith("shapes[1]") and problem.file.endswith("001.json")


def test_the_path_of_a_bad_field_is_told(tmp_path):
    labelme(tmp_path, shape(points=[[1, 2], [7], [3, 4]]))
    _, (problem,) = only(tmp_path)
    assert problem.where == "shapes[0].points[1]"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_encodings_with_a_byte_order_mark_are_read(tmp_path, encoding):
    path = labelme(tmp_path, shape("Tasse ü"))
    mark = "\ufeff" if encoding.endswith("le") else ""
    path.write_bytes((mark + json.dumps(json.loads(path.read_text()), ensure_ascii=False)).encode(encoding))
    assert detect(tmp_path).name == "labelme"
    annotation, _ = only(tmp_path)
    assert annotation.regions[0].label == "Tasse ü"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not valid JSON"),
        (b'{"shapes": [', "not valid JSON"),
        (b'{"shapes": [], "imagePath": "T\xfcr.jpg"}', "not UTF-8 (byte 30 is 0xfc)"),
        (b'{"shapes": [], "imagePath": "\\ud800"}', "cannot be used"),
        (b'{"a":' + b"[" * 200_000, "nested too deeply"),
    ],
)
def test_files_that_are_no_labelme_json_are_problems(tmp_path, content, says):
    labelme(tmp_path, shape())
    (tmp_path / "bad.json").write_bytes(content)
    annotations, (problem,) = read("labelme", tmp_path)
    assert list(annotations) == ["001.jpg"]
    assert problem.file.endswith("bad.json") and says in problem.message


@pytest.mark.parametrize("content", [b"[]", b"{}", b'{"cup": {"color": "#ff0000"}}', b'[{"id": 1}]'])
def test_other_json_among_the_annotations_is_noted(tmp_path, content):
    labelme(tmp_path, shape())
    (tmp_path / "cats.json").write_bytes(content)
    annotations, (problem,) = read("labelme", tmp_path)
    assert list(annotations) == ["001.jpg"]
    assert problem.code == "other-json" and problem.severity == "note"


def test_a_file_that_became_bad_after_the_scan_stops_that_image(tmp_path):
    from seem_data.readers import Input, get

    path = labelme(tmp_path, shape())
    (item,) = get("labelme").scan(Input(tmp_path), [])
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        get("labelme").load(item, [])


# Real files


def test_real_semantic_annotations(shared_real):
    annotations, problems = read("labelme", shared_real / "labelme_semantic")
    assert [len(a.regions) for a in annotations.values()] == [5, 10, 3]
    labels = {region.label for a in annotations.values() for region in a.regions}
    assert labels == {"person", "bottle", VOID, "chair", "sofa", "bus", "car"}
    assert all(a.size == read_header(a.image).size("applied") for a in annotations.values())
    assert not problems


def test_every_real_shape_type(shared_real):
    annotations, problems = read("labelme", shared_real / "labelme_primitives")
    annotation = annotations["primitives.jpg"]
    areas = {region.label: area(region) for region in annotation.regions}
    assert areas["circle"] == pytest.approx(math.pi * math.dist((195, 84), (225, 125)) ** 2, rel=0.003)
    assert 0.7 * 100 * 100 < areas["octagon"] < 100 * 100
    assert full_mask(annotation.regions[-1].parts[0], 560, 450)[354, 466]
    assert codes(problems) == ["no-area"] * 3
    assert detect(shared_real / "labelme_primitives").name == "labelme"


def test_without_image_path_the_photo_is_the_one_called_like_the_file(tmp_path):
    labelme(tmp_path, shape(), imagePath=None)
    annotation, problems = only(tmp_path)
    assert annotation.name == "001.jpg" and not problems


@pytest.mark.parametrize(("gap", "filled"), [(0, True), (1, True), (9, False)])
def test_closed_linestrips_are_outlines(tmp_path, gap, filled):
    line = [[5, 5], [30, 5], [30, 25], [5, 25], [5, 5 + gap]]
    labelme(
        tmp_path, shape(shape_type="linestrip", points=line), shape(shape_type="rotation", points=line[:4])
    )
    annotation, (problem,) = only(tmp_path)
    assert len(annotation.regions) == 1 + filled
    assert (problem.code, problem.severity) == {
        0: ("closed-line", "note"), 1: ("closed-line", "warning"), 9: ("no-area", "warning")
    }[gap]  # fmt: skip
