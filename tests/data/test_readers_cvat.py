"""CVAT XML: shapes, drawing order, words, frames of videos, and XML that must not be trusted."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from reading import area, codes, full_mask, make_photo, read

from seem_data.readers import Input, detect, get, items

SQUARE = "1,2;11,2;11,12;1,12"
META = """<meta><task><labels><label><name>cup</name><attributes>
<attribute><name>note</name><input_type>text</input_type></attribute>
<attribute><name>colour</name><input_type>select</input_type></attribute>
</attributes></label></labels></task></meta>"""


def cvat(folder: Path, *shapes: str, name="a.jpg", attributes="", meta=META) -> Path:
    make_photo(folder / "images" / "a.jpg")
    image = f'<image id="0" name="{name}" width="40" height="30" {attributes}>{"".join(shapes)}</image>'
    return document(folder, meta + image)


def document(folder: Path, content: str) -> Path:
    path = folder / "annotations.xml"
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>{content}</annotations>', "utf-8")
    return path


def only(folder):
    annotations, problems = read("cvat", folder)
    (annotation,) = annotations.values()
    return annotation, problems


def shape(tag="polygon", inner="", **attributes):
    values = {"label": "cup", **({"points": SQUARE} if tag == "polygon" else {}), **attributes}
    return f"<{tag} {' '.join(f'{key}={value!r}' for key, value in values.items())}>{inner}</{tag}>"


def test_polygons_boxes_ellipses_and_masks(tmp_path):
    cvat(
        tmp_path,
        shape(),
        shape("box", xtl="1.5", ytl="2", xbr="11.5", ybr="6", rotation="90"),
        shape("ellipse", cx="20", cy="15", rx="8", ry="4", rotation="90"),
        shape("mask", rle="1, 2, 3, 2, 1", left="10", top="20", width="3", height="3"),
    )
    annotation, problems = only(tmp_path)
    assert annotation.size == (40, 30) and annotation.exif == "applied" and not problems
    polygon, box, ellipse, mask = annotation.regions
    assert area(polygon) == 100
    corners = box.parts[0].outer
    assert np.allclose(corners.min(axis=0), (4.5, -1)) and np.allclose(corners.max(axis=0), (8.5, 9))
    assert area(ellipse) == pytest.approx(math.pi * 32, rel=0.02)
    assert ellipse.parts[0].outer[:, 1].max() == pytest.approx(23)
    rows = full_mask(mask.parts[0], 40, 30)[20:23, 10:13].astype(int).tolist()
    assert rows == [[0, 1, 1], [0, 0, 0], [1, 1, 0]]  # row by row, as CVAT writes, not column by column


def test_order_groups_words_split_and_tags(tmp_path):
    words = (
        '<attribute name="note">left of the\nplate</attribute><attribute name="colour">dark red</attribute>'
    )
    described = '<attribute name="Description">a mug</attribute><attribute name="note">0003</attribute>'
    cvat(
        tmp_path,
        shape(inner=words, z_order="4", group_id="2"),
        shape(inner=described, z_order="-1", group_id="0"),
        '<tag label="indoors"/>',
        attributes='subset="Validation"',
    )
    annotation, problems = only(tmp_path)
    first, second = annotation.regions
    assert (first.z, first.group, second.z, second.group) == (4, "2", -1, None)
    assert [s.raw for s in first.sentences] == ["left of the", "plate"]
    assert [s.raw for s in second.sentences] == ["a mug"]
    assert annotation.split == "val" and annotation.tags == ("indoors",) and not problems


@pytest.mark.parametrize("kind", ["polyline", "points", "skeleton", "cuboid"])
def test_shapes_without_area_are_told(tmp_path, kind):
    cvat(tmp_path, shape(kind, points="1,2;30,2;30,20;9,20"), shape())
    annotation, (problem,) = only(tmp_path)
    assert len(annotation.regions) == 1 and problem.severity == "warning" and kind in problem.where


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (shape(points="1,2;3,4"), "too-few-points"),
        (shape(points="1,2;3,4;nan,5"), "not-finite"),
        (shape(points="1,2;3;4,5"), "bad-points"),
        (shape(points="1,2;x,y;4,5"), "bad-points"),
        (shape(points=""), "bad-points"),
        (shape("box", xtl="1", ytl="2", xbr="inf", ybr="5"), "bad-number"),
        (shape("box", xtl="1", ytl="2"), "bad-number"),
        (shape("ellipse", cx="1", cy="2", rx="0", ry="5"), "no-area"),
        (shape("mask", rle="5", left="0", top="0", width="3", height="3"), "bad-rle"),
        (shape("mask", rle="9", left="0", top="0", width="3", height="3"), "empty-mask"),
        (
            shape("mask", rle="0, 999999999", left="0", top="0", width="999999", height="999999"),
            "bad-mask-size",
        ),
    ],
)
def test_a_bad_shape_costs_that_shape(tmp_path, bad, code):
    cvat(tmp_path, shape(), bad, shape(label="plate"))
    annotation, (problem,) = only(tmp_path)
    assert [region.label for region in annotation.regions] == ["cup", "plate"]
    assert problem.code == code and "a.jpg" in problem.where and problem.where.endswith(" 2")


def test_frames_of_a_video_are_images(tmp_path):
    for frame in (0, 5):
        make_photo(tmp_path / "images" / f"frame_{frame:06d}.png")
    track = "".join(
        shape(frame=str(frame), outside=str(outside), label="") for frame, outside in ((0, 0), (5, 1), (7, 0))
    ).replace("label='' ", "")
    box = shape("box", frame="5", xtl="1", ytl="2", xbr="5", ybr="6").replace("label='cup' ", "")
    document(tmp_path, f'<track id="0" label="cup">{track}</track><track id="1" label="jug">{box}</track>')
    annotations, (problem,) = read("cvat", tmp_path)
    found = {name: [region.label for region in a.regions] for name, a in annotations.items()}
    assert found == {"images/frame_000000.png": ["cup"], "images/frame_000005.png": ["jug"]}
    assert problem.code == "missing-image" and problem.where == "frame 7"


def test_frames_of_a_projects_videos_are_those_of_their_tasks(tmp_path):
    tasks = (("6", "", 2), ("7", "Train", 3), ("8", "Train", 9), ("9", "Validation", 9))
    told = "".join(
        f"<task><id>{id}</id><size>{size}</size><subset>{subset}</subset></task>"
        for id, subset, size in tasks
    )
    tracks = ""
    for task, subset, frame, picture, label in (
        ("7", "Train", 2, "frame_000002", "cup"),
        ("8", "Train", 2, "frame_000002_1", "jug"),
        ("8", "Train", 5, "frame_000005", "jug"),
        ("9", "Validation", 2, "frame_000002", "plate"),
    ):
        make_photo(tmp_path / "images" / subset / f"{picture}.PNG")
        box = shape("box", frame=str(frame), outside="0", xtl="1", ytl="2", xbr="5", ybr="6")
        box = box.replace("label='cup' ", "")
        tracks += f'<track id="{task}" label="{label}" task_id="{task}" subset="{subset}">{box}</track>'
    document(tmp_path, f"<meta><project><tasks>{told}</tasks></project></meta>{tracks}")
    annotations, problems = read("cvat", tmp_path)
    found = {name: [region.label for region in a.regions] for name, a in annotations.items()}
    assert not problems and found == {
        "images/Train/frame_000002.PNG": ["cup"],
        "images/Train/frame_000002_1.PNG": ["jug"],
        "images/Train/frame_000005.PNG": ["jug"],
        "images/Validation/frame_000002.PNG": ["plate"],
    }
    assert [a.split for a in annotations.values()] == ["train", "train", "train", "val"]


def test_a_photo_that_is_missing_costs_its_image(tmp_path):
    cvat(tmp_path, shape(), name="../b.jpg")
    annotations, (problem,) = read("cvat", tmp_path)
    assert not annotations and problem.code == "unsafe-path" and problem.where == "image '../b.jpg'"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not valid XML"),
        (b"<annotations><image>", "not valid XML"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><annotations>&x;</annotations>', "not read"),
        (b'<?xml version="1.0" encoding="nonsense"?><annotations/>', "XML"),
        (b"<annotations>\xff</annotations>", "not valid XML"),
    ],
)
def test_xml_that_is_broken_or_hostile_is_a_problem(tmp_path, content, says):
    path = tmp_path / "x.xml"
    path.write_bytes(content)
    annotations, (problem,) = read("cvat", path)
    assert not annotations and problem.code == "bad-xml" and says in problem.message


def test_what_came_before_a_cut_is_kept(tmp_path):
    path = cvat(tmp_path, shape())
    path.write_text(path.read_text().replace("</annotations>", '<image id="1"'))
    annotations, (problem,) = read("cvat", tmp_path)
    assert list(annotations) == ["images/a.jpg"] and problem.code == "bad-xml"


def test_a_large_file_streams(tmp_path):
    import tracemalloc

    make_photo(tmp_path / "images" / "a.jpg")
    one = f'<image id="0" name="a.jpg" width="40" height="30">{shape() * 50}</image>'
    document(tmp_path, one * 400)
    problems = []
    tracemalloc.start()
    assert len(list(items(get("cvat"), Input(tmp_path), problems))) == 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert codes(problems) == ["claimed-twice"] * 399
    assert peak < (tmp_path / "annotations.xml").stat().st_size


def test_real_exports(shared_real):
    folder = shared_real / "datumaro/cvat_dataset"
    assert detect(folder / "for_images").name == detect(folder / "for_video").name == "cvat"
    annotations, problems = read("cvat", folder / "for_images")
    (box,) = annotations["images/img0.jpg"].regions
    assert (box.label, box.z, area(box)) == ("label1", 1, 8)  # its text attribute "0003" holds no words
    assert box.sentences == () and [r.label for r in annotations["images/img1.jpg"].regions] == [""]
    assert codes(problems) == ["no-area"] * 4
    annotations, problems = read("cvat", folder / "for_video")
    assert [len(a.regions) for a in annotations.values()] == [1, 0]
    assert area(annotations["images/frame_000010.png"].regions[0]) == 7
    assert [p.where for p in problems if p.code == "missing-image"] == ["frame 16"]
