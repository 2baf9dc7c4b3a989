"""Whatever an input holds, a reader answers with annotations and problems, or with a `DataError`.

Good files of every format, made here and, where they are there, real ones, are damaged in three ways: bytes
are changed, values of the JSON are replaced by others, parts of the text by other text.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import random
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_readers_coco import coco, row
from test_readers_colormask import CATEGORIES, paint
from test_readers_cvat import cvat
from test_readers_cvat import shape as cvat_shape
from test_readers_labelme import labelme
from test_readers_labelme import shape as labelme_shape
from test_readers_labelstudio import BRUSH, export, result, task
from test_readers_panoptic import IDS, panoptic
from test_readers_small import SQUARE, cityscapes, datumaro, isat, isat_object, runs, sa1b
from test_readers_small import shape as datumaro_shape
from test_readers_supervisely import RING, polygon, project
from test_readers_via import export as via_export
from test_readers_via import region as via_region
from test_readers_via import save as via_save
from test_readers_voc import lists, voc
from test_readers_yolo import TRIANGLE, yolo

from seem_data.annotations import Bitmap, ImageAnnotation
from seem_data.problems import DataError, Problem
from seem_data.readers import FORMATS, Input, Reader, get
from seem_data.readers.colormask import ColorMask

VALUES: list[Any] = [
    None, True, 0, -1, 7, 2**31, 2**63, 2**70, -0.5, 1e308, math.nan, math.inf, "", "x", "\0", "\ud800",
    "a.jpg", "../../etc/passwd", "C:\\a.jpg", "ü" * 300, [], [[]], [None], [1, 2], [[1, 2]], {}, {"a": 1},
    {"id": 1},
]  # fmt: skip
TEXTS = [
    "",
    "-1",
    "1e999",
    "nan",
    "99999999999",
    "../..",
    "\0",
    "\ufeff",
    "<",
    "]",
    "ü",
    "a.jpg",
    "\n",
    "{",
    ";",
]


def make(name: str, folder: Path) -> None:
    """A good input of a format, with every kind of shape it has."""
    mask = {"data": RING, "origin": [7, 8]}
    if name == "labelme":
        circle = labelme_shape(shape_type="circle", points=[[9, 9], [12, 9]])
        labelme(folder, labelme_shape(description="a cup", flags={"red": True}), circle, flags={"a": True})
    elif name == "coco":
        coco(folder / "x.json", row(), row(segmentation={"size": [30, 40], "counts": [100, 50, 1050]}),
             row(segmentation={"size": [30, 40], "counts": "T3b1n0"}, sentences=[{"raw": "a"}]))  # fmt: skip
        (folder / "a.jpg").write_bytes(photo_bytes(folder))
    elif name == "panoptic":
        panoptic(folder, IDS, [{"id": 9, "category_id": 3}, {"id": 300, "category_id": 5, "iscrowd": 1}])
    elif name == "labelstudio":
        brush = result("brushlabels", "b", size=(6, 5), format="rle", rle=BRUSH)
        box = result("rectanglelabels", "c", x=1, y=2, width=30, height=40, rotation=10)
        export(folder, task(result(), brush, box, result("textarea", "c", text=["a"])))
    elif name == "via":
        shapes = [{"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4},
                  {"name": "ellipse", "cx": 9, "cy": 9, "rx": 3, "ry": 4, "theta": 1}]  # fmt: skip
        via_save(folder, via_export(via_region(), *map(via_region, shapes)))
    elif name == "supervisely":
        hole = [[[5, 5], [10, 5], [10, 10]]]
        bitmap = {"classTitle": "ring", "geometryType": "bitmap", "bitmap": mask}
        project(folder, polygon(interior=hole, description="a cup"), bitmap)
    elif name == "cvat":
        words = '<attribute name="note">left of it</attribute>'
        cvat(folder, cvat_shape(inner=words, z_order="1"),
             cvat_shape("box", xtl="1", ytl="2", xbr="9", ybr="8"),
             cvat_shape("mask", rle="1, 2, 3, 2, 1", left="10", top="20", width="3", height="3"),
             cvat_shape("ellipse", cx="9", cy="9", rx="3", ry="2", rotation="5"))  # fmt: skip
    elif name == "voc":
        lists(voc(folder), train="1\n")
        (folder / "labelmap.txt").write_text("cat:64,0,0::\nperson:192,128,128::\n")
    elif name == "yolo":
        yolo(folder, TRIANGLE, "1 0.5 0.5 0.2 0.2")
    elif name == "cityscapes":
        cityscapes(
            folder,
            {"label": "cargroup", "polygon": SQUARE},
            {"label": "sky", "polygon": SQUARE, "deleted": 0},
        )
    elif name == "sa1b":
        sa1b(folder, {"id": 1, "segmentation": runs()[0]}, {"id": 2, "segmentation": [[1, 2, 3, 4, 9, 8]]})
    elif name == "isat":
        isat(folder, isat_object(note="a cup"), isat_object(group=2, layer=2.0))
    elif name == "datumaro":
        datumaro(
            folder,
            datumaro_shape(group=1),
            datumaro_shape("mask", rle=runs()[0]),
            datumaro_shape("bbox", bbox=[1, 2, 3, 4]),
        )
    else:
        paint(folder / "a.png", [[(220, 20, 60), (0, 0, 0)], [(0, 0, 255), (7, 7, 7)]])


def photo_bytes(folder: Path) -> bytes:
    from reading import make_photo

    return make_photo(folder / "photo.jpg").read_bytes()


def read_all(reader: Reader, folder: Path) -> None:
    """Read an input as the builder does, and look at what comes out."""
    problems: list[Problem] = []
    reader.recognises(folder)
    with contextlib.suppress(DataError):
        for item in reader.scan(Input(folder), problems):
            assert item.image is None or item.image.resolve().is_relative_to(folder.resolve())
            assert ".." not in item.name.split("/") and "\\" not in item.name
            with contextlib.suppress(DataError):
                check(reader.load(item, problems))
    for problem in problems:
        assert problem.code and problem.message and str(problem)
        assert problem.file


def check(annotation: ImageAnnotation) -> None:
    for region in annotation.regions:
        assert isinstance(region.label, str) and region.parts and region.where
        assert all(sentence.raw.strip() for sentence in region.sentences)
        for part in region.parts:
            if isinstance(part, Bitmap):
                assert part.mask.dtype == np.bool_ and part.mask.any()
                continue
            for ring in (part.outer, *part.holes):
                assert ring.dtype == np.float64 and ring.ndim == 2 and len(ring) >= 3
                assert (np.abs(ring) <= 2e7).all()


# Damage


def change_bytes(data: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(damaged) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            damaged[place : place + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del damaged[place : place + chance.randint(1, 20)]
        elif kind == 2:
            damaged[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 5)))
        elif chance.random() < 0.3:
            del damaged[place:]
    return bytes(damaged)


def change_values(data: bytes, chance: random.Random) -> bytes:
    try:
        value = json.loads(data)
    except ValueError:
        return change_bytes(data, chance)
    for _ in range(chance.randint(1, 3)):
        holders = list(places(value))
        if holders:
            holder, key = chance.choice(holders)
            if chance.random() < 0.15:
                del holder[key]
            else:
                holder[key] = copy.deepcopy(chance.choice(VALUES))
    return json.dumps(value).encode("utf-8", "surrogatepass")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a JSON value that can be assigned to."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in list(entries):
        yield value, key
        yield from places(inner)


def change_text(data: bytes, chance: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    words = list(re.finditer(r'"[^"]*"|[^\s"<>=,:;]+', text))
    for word in sorted(chance.sample(words, min(len(words), chance.randint(1, 3))), key=lambda w: -w.start()):
        quote = '"' if word[0].startswith('"') else ""
        text = text[: word.start()] + quote + chance.choice(TEXTS) + quote + text[word.end() :]
    return text.encode("utf-8", "replace")


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (change_bytes, change_values, change_text)
NOT_DAMAGED = (".jpg", ".jpeg")


def damage_and_read(reader: Reader, good: Path, work: Path, seed: int) -> None:
    chance = random.Random(seed)
    files = sorted(path for path in good.rglob("*") if path.is_file() and path.suffix not in NOT_DAMAGED)
    chosen = chance.choice(files).relative_to(good)
    damaged = chance.choice(DAMAGES)((good / chosen).read_bytes(), chance)
    target = work / chosen
    target.write_bytes(damaged)
    try:
        read_all(reader, work)
    finally:
        target.write_bytes((good / chosen).read_bytes())


READERS: dict[str, Reader] = {name: get(name) for name in FORMATS} | {
    "colormask": ColorMask(CATEGORIES, "components")
}


@pytest.fixture(scope="module", params=READERS)
def good_input(request, tmp_path_factory) -> tuple[Reader, Path, Path]:
    """A reader, a good input of its format, and a copy of it to damage."""
    folder = tmp_path_factory.mktemp(request.param)
    make(request.param, folder / "good")
    reader = READERS[request.param]
    found = list(reader.scan(Input(folder / "good"), []))
    assert found and all(reader.load(item, []).regions for item in found)
    shutil.copytree(folder / "good", folder / "work")
    return reader, folder / "good", folder / "work"


RELAXED = {"suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=60, **RELAXED)
@given(seed=st.integers(0, 2**64))
def test_damaged_files_end_in_problems(good_input, seed):
    damage_and_read(*good_input, seed)


@pytest.mark.slow
@settings(max_examples=1000, **RELAXED)
@given(seed=st.integers(0, 2**64))
def test_many_damaged_files_end_in_problems(good_input, seed):
    damage_and_read(*good_input, seed)


REAL = {
    "labelme": "labelme_primitives",
    "coco": "datumaro/coco_dataset/coco_instances",
    "panoptic": "datumaro/coco_dataset/coco_panoptic",
    "cvat": "datumaro/cvat_dataset",
    "voc": "datumaro/voc_dataset/voc_dataset1",
    "yolo": "datumaro/yolo_dataset/yolov8_segmentation",
}


@pytest.fixture(scope="module", params=REAL)
def real_input(request, tmp_path_factory, shared_real) -> tuple[Reader, Path, Path]:
    folder = tmp_path_factory.mktemp(f"real_{request.param}")
    copied = shutil.copytree(
        shared_real / REAL[request.param], folder / "work", copy_function=shutil.copyfile
    )
    for path in [copied, *copied.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return READERS[request.param], shared_real / REAL[request.param], folder / "work"


@settings(max_examples=40, **RELAXED)
@given(seed=st.integers(0, 2**64))
def test_damaged_real_files_end_in_problems(real_input, seed):
    damage_and_read(*real_input, seed)


@pytest.mark.slow
@settings(max_examples=600, **RELAXED)
@given(seed=st.integers(0, 2**64))
def test_many_damaged_real_files_end_in_problems(real_input, seed):
    damage_and_read(*real_input, seed)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40, **RELAXED)
@given(
    content=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace"))
)
def test_files_of_nonsense_end_in_problems(tmp_path, name, content):
    suffix = {"cvat": "xml", "voc": "xml", "yolo": "yaml"}.get(name, "json")
    path = tmp_path / f"data.{suffix}"
    path.write_bytes(content)
    problems: list[Problem] = []
    with contextlib.suppress(DataError):
        for item in get(name).scan(Input(path), problems):
            get(name).load(item, problems)
