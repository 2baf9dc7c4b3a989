"""Nothing of an input vanishes without a word: what a raw walk of it sees is drawn or told, in every format.

A good input is damaged in one place at a time. Regions are counted where files list them, pixels where they
are painted.
"""

from __future__ import annotations

import copy
import csv
import json
import random
import re
import shutil
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from reading import area, make_photo, read
from test_readers_colormask import CATEGORIES, F, P, W, X, paint
from test_readers_fuzz import TEXTS, VALUES, make, places
from test_readers_lenient import json_of
from test_readers_via import SQUARE
from test_readers_voc import CLASSES, PALETTE, voc

from seem_data.categories import Categories
from seem_data.problems import DataError, Problem
from seem_data.readers import FORMATS, Reader
from seem_data.readers.colormask import ColorMask

#: Told about regions that are drawn none the less.
OF_DRAWN = ("odd-field", "degenerate-part", "closed-line", "no-label", "boxes", "oriented-boxes")
DAMAGE = [value for value in VALUES if not (isinstance(value, str) and "\ud800" in value)]


@dataclass(frozen=True)
class Walk:
    """How the files of a format are looked at without its reader.

    Attributes:
        count: the regions, or painted pixels, that a folder holds.
        damage: changes one place of a folder after another, each time from the good input on; what it held
            before is not in the input any more.
        file: what the reader is given of the folder.
        pixels: what is counted, and told in the words ``(7 pixels``.
    """

    make: Callable[[Path], object]
    count: Callable[[Path], int]
    damage: Callable[[Path, random.Random], Iterator[None]]
    reader: str | Reader
    file: Callable[[Path], Path] = lambda folder: folder
    pixels: bool = False


# JSON

REGIONS: dict[str, Callable[[Any], int]] = {
    "labelme": lambda file: len(file["shapes"]),
    "coco": lambda file: len(file["annotations"]),
    "panoptic": lambda file: sum(len(row["segments_info"]) for row in file["annotations"]),
    "labelstudio": lambda file: len(
        {row["id"] for task in file for a in task["annotations"] for row in a.get("result", ())}
    ),
    "via": lambda file: sum(len(photo["regions"]) for photo in file.values()),
    "supervisely": lambda file: len(file["objects"]),
    "cityscapes": lambda file: len(file["objects"]),
    "sa1b": lambda file: len(file["annotations"]),
    "isat": lambda file: len(file["objects"]),
    "datumaro": lambda file: sum(len(item["annotations"]) for item in file["items"]),
}


def of_json(name: str) -> Walk:
    def count(folder: Path) -> int:
        file = json.loads(json_of(folder).read_text())
        try:
            return REGIONS[name](file)
        except (KeyError, TypeError, AttributeError):
            return 1  # something else took the place of what held the regions: that is to be told

    def damage(folder: Path, chance: random.Random) -> Iterator[None]:
        path = json_of(folder)
        good = json.loads(path.read_text())
        spots = len(list(places(good)))
        for number in chance.sample(range(spots), min(spots, 60)):
            changed = copy.deepcopy(good)
            holder, key = list(places(changed))[number]
            holder[key] = copy.deepcopy(chance.choice(DAMAGE))
            if key in ("deleted", "was_cancelled") or isinstance(holder[key], float) or holder[key] is None:
                continue  # says that there is nothing (numbers that are no JSON are read as null)
            path.write_text(json.dumps(changed))
            yield

    return Walk(lambda folder: make(name, folder), count, damage, name, json_of)


# XML


def shapes_in(folder: Path) -> int:
    root = xml.parse(folder / "annotations.xml").getroot()
    in_tracks = (shape for track in root.iter("track") for shape in track if shape.get("outside") != "1")
    in_images = (shape for image in root.iter("image") for shape in image if shape.tag != "tag")
    return len([*in_tracks, *in_images])


def make_cvat(folder: Path) -> None:
    make("cvat", folder)
    make_photo(folder / "images" / "frame_000003.png")
    path = folder / "annotations.xml"
    track = (
        '<track id="0" label="cup" group_id="1"><box frame="3" outside="0" xtl="1" ytl="1" xbr="9" ybr="9"/>'
        '<box frame="4" outside="1" xtl="1" ytl="1" xbr="9" ybr="9"/></track>'
    )
    path.write_text(path.read_text().replace("</annotations>", f"{track}</annotations>"))


def damage_xml(folder: Path, chance: random.Random) -> Iterator[None]:
    path = folder / "annotations.xml"
    good = path.read_bytes()
    elements = list(xml.fromstring(good).iter())
    for number, element in enumerate(elements):
        for name in (*element.attrib, None):
            root = xml.fromstring(good)
            changed = list(root.iter())[number]
            if name == "outside":
                continue  # says that there is nothing
            if name is not None:
                changed.set(name, chance.choice(TEXTS).replace("\0", ""))
            elif changed.tag in ("polygon", "mask", "box", "ellipse"):
                changed.tag = chance.choice(["skeleton", "blob", "points"])
            path.write_bytes(xml.tostring(root))
            yield


# Text


def label_lines(folder: Path) -> int:
    files = (folder / "labels").rglob("*.txt")
    return sum(bool(line.strip()) for file in files for line in file.read_text().splitlines())


def damage_labels(folder: Path, chance: random.Random) -> Iterator[None]:
    for path in (*sorted((folder / "labels").rglob("*.txt")), folder / "data.yaml"):
        good = path.read_text()
        for word in re.finditer(r"\S+", good):
            path.write_text(good[: word.start()] + chance.choice(TEXTS) + good[word.end() :], "utf-8")
            yield
        path.write_text(good)
    path = folder / "labels" / "train" / "1.txt"
    path.rename(path.with_name("2.txt"))
    yield


HEADER = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"


def make_csv(folder: Path) -> None:
    make_photo(folder / "a.jpg")
    make_photo(folder / "b.jpg")
    circle = {"name": "circle", "cx": 9, "cy": 9, "r": 4}
    rows = [
        [name, "1", "{}", "2", str(number), json.dumps(shape), '{"label": "cup"}']
        for name, number, shape in (("a.jpg", 0, SQUARE), ("a.jpg", 1, circle), ("b.jpg", 0, SQUARE))
    ]
    write_csv(folder, rows)


def write_csv(folder: Path, rows: list[list[str]]) -> None:
    with (folder / "via.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(f"#{HEADER}\n")
        csv.writer(file).writerows(rows)


def csv_rows(folder: Path) -> list[list[str]]:
    with (folder / "via.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))[1:]


def damage_csv(folder: Path, chance: random.Random) -> Iterator[None]:
    good = csv_rows(folder)
    for row in range(len(good)):
        for column in range(len(good[row])):
            for text in (*chance.sample(TEXTS, 3), json.dumps(chance.choice(DAMAGE[3:8]))):
                changed = copy.deepcopy(good)
                changed[row][column] = text.replace("\0", "")
                write_csv(folder, changed)
                yield


# Pixels


def of_pixels(make: Callable[[Path], object], reader: str | Reader, where: str) -> Walk:
    """
    Args:
        where: the mask; what nobody labelled is black in it, or 0.
    """

    def count(folder: Path) -> int:
        with Image.open(folder / where) as mask:
            pixels = np.asarray(mask.convert("RGB") if mask.mode == "P" else mask)
        return int(np.atleast_3d(pixels).any(axis=2).sum())

    def damage(folder: Path, chance: random.Random) -> Iterator[None]:
        with Image.open(folder / where) as mask:
            good, palette = np.asarray(mask), mask.getpalette()
        for number in range(good.shape[0] * good.shape[1]):
            changed = good.copy()
            value = [chance.choice([0, 1, 7, 64, 200, 255]) for _ in range(3)]
            changed[divmod(number, good.shape[1])] = value if good.ndim == 3 else value[0]
            image = Image.fromarray(changed)
            if palette is not None:
                image.putpalette(palette)
            image.save(folder / where)
            yield

    return Walk(make, count, damage, reader, pixels=True)


def painted(folder: Path) -> None:
    paint(folder / "a.png", [[P, X, P, W], [W, W, F, X], [F, (9, 9, 9), X, P]])


def numbered(folder: Path) -> None:
    make_photo(folder / "a.jpg", CLASSES.shape[::-1])
    Image.fromarray(CLASSES % 8).save(folder / "a_mask.png")
    (folder / "_classes.csv").write_text("Pixel Value, Class\n0, background\n7, person\n")


PAINTED = ColorMask(CATEGORIES, "components")
WALKS: dict[str, Walk] = {
    **{name: of_json(name) for name in REGIONS},
    "cvat": Walk(make_cvat, shapes_in, damage_xml, "cvat"),
    "yolo": Walk(lambda folder: make("yolo", folder), label_lines, damage_labels, "yolo"),
    "via as CSV": Walk(make_csv, lambda folder: sum(bool(r[5].strip("{} \n")) for r in csv_rows(folder)),
                       damage_csv, "via"),
    "voc": of_pixels(voc, "voc", "SegmentationClass/1.png"),
    "voc in colours": of_pixels(lambda folder: voc(folder, "rgb"), "voc", "SegmentationClass/1.png"),
    "colormask": of_pixels(painted, PAINTED, "a.png"),
    "colormask of numbers": of_pixels(numbered, ColorMask(Categories([])), "a_mask.png"),
}  # fmt: skip


def test_every_reader_is_walked() -> None:
    assert {*FORMATS, "colormask"} <= WALKS.keys(), "a new reader needs a walk of its files here"


def drawn_and_told(walk: Walk, folder: Path) -> tuple[int, int, list[Problem]]:
    """How many regions or pixels are drawn, how many are told to be left out, and by whom."""
    try:
        annotations, problems = read(walk.reader, walk.file(folder))
    except DataError as error:
        annotations, problems = {}, error.problems
    regions = [region for annotation in annotations.values() for region in annotation.regions]
    lost = [p for p in problems if p.severity == "error" or p.code == "box-of-outline"]
    lost += [p for p in problems if p.severity == "warning" and p.code not in OF_DRAWN]
    if walk.pixels:
        of_pixels = (p.message for p in lost if p.code in ("unknown-color", "unknown-number"))
        counts = [int(number) for message in of_pixels for number in re.findall(r"(\d+) pixels", message)]
        return sum(int(area(region)) for region in regions), sum(counts), lost
    return len(regions), len(lost), lost


@pytest.mark.parametrize("name", WALKS)
def test_what_is_drawn_and_what_is_told_are_what_is_there(tmp_path: Path, name: str) -> None:
    walk = WALKS[name]
    walk.make(tmp_path)
    drawn, told, lost = drawn_and_told(walk, tmp_path)
    told -= sum(p.code == "unknown-segment" for p in lost)  # pixels that the JSON does not list
    assert drawn > 1 and drawn + told == walk.count(tmp_path)


@pytest.mark.parametrize("name", WALKS)
def test_what_is_damaged_is_drawn_or_told(tmp_path: Path, name: str) -> None:
    walk = WALKS[name]
    walk.make(tmp_path / "good")
    shutil.copytree(tmp_path / "good", tmp_path / "work")
    tried, before = 0, walk.count(tmp_path / "good")
    for _ in walk.damage(tmp_path / "work", random.Random(name)):
        drawn, told, lost = drawn_and_told(walk, tmp_path / "work")
        there = walk.count(tmp_path / "work")
        tried += 1
        if walk.pixels:
            assert drawn + told == there, list(map(str, lost))
        else:
            there = min(there, before)
            assert drawn >= there or lost, f"{drawn} of {there} are drawn, and nothing is told"
    assert tried > 10


def test_objects_of_no_class_are_told(tmp_path: Path) -> None:
    voc(tmp_path)
    objects = np.full(CLASSES.shape, 1, np.uint8)
    image = Image.fromarray(objects, "P")
    image.putpalette([channel for n in range(256) for channel in PALETTE.get(n, (0, 0, 0))])
    image.save(tmp_path / "SegmentationObject" / "1.png")
    _, problems = read("voc", tmp_path)
    assert any("2 pixels of objects" in problem.message for problem in problems)
