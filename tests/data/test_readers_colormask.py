"""Painted masks: exact colours, palettes, components, and colours that mean nothing."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image
from reading import area, codes, full_mask, make_photo, read

from seem_data.categories import Categories, Category
from seem_data.problems import DataError
from seem_data.readers import Input
from seem_data.readers._paint import GROUND_Z
from seem_data.readers.colormask import ColorMask, open_masks

CATEGORIES = Categories(
    [
        Category(1, "person", (220, 20, 60), isthing=True),
        Category(2, "wall", (0, 0, 255), isthing=False),
        Category(9, "floor", (0, 0, 254), isthing=False),
    ]
)
P, W, F, X = (220, 20, 60), (0, 0, 255), (0, 0, 254), (0, 0, 0)


def paint(path, rows, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(rows, np.uint8)).save(path, **options)
    return path


def test_each_category_is_one_region_under_everything(tmp_path):
    paint(tmp_path / "a.png", [[P, X, P], [W, W, F]])
    annotations, problems = read(ColorMask(CATEGORIES), tmp_path)
    annotation = annotations["a.png"]
    assert annotation.size == (3, 2) and not problems
    assert [(r.label, area(r), r.z) for r in annotation.regions] == [
        ("person", 2, GROUND_Z), ("wall", 2, GROUND_Z), ("floor", 1, GROUND_Z)
    ]  # fmt: skip
    assert full_mask(annotation.regions[0].parts[0], 3, 2).tolist() == [[True, False, True], [False] * 3]


def test_components_separate_things_and_not_stuff(tmp_path):
    paint(tmp_path / "a.png", [[P, X, P], [X, P, X], [X, X, X], [W, X, W], [P, P, X]])
    annotations, _ = read(ColorMask(CATEGORIES, "components"), tmp_path)
    regions = annotations["a.png"].regions
    assert [(r.label, area(r)) for r in regions] == [("person", 3), ("person", 2), ("wall", 2)]
    assert full_mask(regions[1].parts[0], 3, 5)[4].tolist() == [True, True, False]


def test_components_are_those_of_a_flood_fill(tmp_path):
    painted = np.random.default_rng(1).random((40, 50)) < 0.3
    paint(tmp_path / "a.png", np.where(painted[..., None], P, X))
    annotations, _ = read(ColorMask(CATEGORIES, "components"), tmp_path)
    masks = [full_mask(region.parts[0], 50, 40) for region in annotations["a.png"].regions]
    assert (np.sum(masks, axis=0) == painted).all()
    for mask in masks:  # no pixel beside a component belongs to another one
        grown = np.zeros((42, 52), bool)
        for dy in (0, 1, 2):
            for dx in (0, 1, 2):
                grown[dy : dy + 40, dx : dx + 50] |= mask
        assert (grown[1:41, 1:51] & painted == mask).all()


def test_palettes_are_looked_up(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], np.uint8), "P")
    image.putpalette([0, 0, 0, *P, *W])
    image.save(tmp_path / "a.png")
    annotations, problems = read(ColorMask(CATEGORIES), tmp_path)
    assert [(r.label, area(r)) for r in annotations["a.png"].regions] == [("person", 2), ("wall", 1)]
    assert not problems


def test_transparent_pixels_are_unlabelled(tmp_path):
    paint(tmp_path / "a.png", [[(*P, 255), (*P, 0), (*W, 255)]])
    annotations, problems = read(ColorMask(CATEGORIES), tmp_path)
    assert [(r.label, area(r)) for r in annotations["a.png"].regions] == [("person", 1), ("wall", 1)]
    assert not problems


def test_unknown_colours_are_told_with_counts_and_the_nearest_category(tmp_path):
    paint(tmp_path / "a.png", [[P, (219, 20, 60), (219, 20, 60), (7, 7, 7)]])
    annotations, (problem,) = read(ColorMask(CATEGORIES), tmp_path)
    assert area(annotations["a.png"].regions[0]) == 1
    assert problem.code == "unknown-color" and problem.severity == "warning"
    assert "[219, 20, 60] (2 pixels; nearest is 'person' [220, 20, 60])" in problem.message


def test_many_unknown_colours_are_told_shortly(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3))
    paint(tmp_path / "a.png", noise)
    _, (problem,) = read(ColorMask(CATEGORIES), tmp_path)
    assert "more;" in problem.message and len(problem.message) < 600


def test_masks_are_joined_to_photos_of_the_same_place_or_name(tmp_path):
    for name in ("kitchen/1.jpg", "bath/1.jpg", "far/2.tif"):
        make_photo(tmp_path / "photos" / name, (2, 1))
    for name in ("kitchen/1.png", "bath/1.png", "2.png", "3.png"):
        paint(tmp_path / "masks" / name, [[P, X]])
    annotations, problems = read(ColorMask(CATEGORIES), tmp_path / "masks", tmp_path / "photos")
    assert list(annotations) == ["far/2.tif", "bath/1.jpg", "kitchen/1.jpg"]
    assert annotations["bath/1.jpg"].image == tmp_path / "photos" / "bath" / "1.jpg"
    assert codes(problems) == ["missing-image"] and "3.png" in problems[0].file


def test_masks_that_lost_colours_are_refused(tmp_path):
    paint(tmp_path / "a.jpg", [[P, X]])
    (tmp_path / "a.jpg").rename(tmp_path / "a.png")
    (item,) = ColorMask(CATEGORIES).scan(Input(tmp_path), [])
    with pytest.raises(DataError) as caught:
        ColorMask(CATEGORIES).load(item, [])
    assert caught.value.problems[0].code == "lossy-mask"


def test_the_reader_travels_to_workers():
    reader = ColorMask(CATEGORIES, "components")
    assert pickle.loads(pickle.dumps(reader)) == reader


def test_panoptic_jsons_are_told_from_painted_masks(shared_real, tmp_path):
    paint(tmp_path / "a.png", [[P, X]])
    assert isinstance(open_masks(tmp_path, CATEGORIES, "components"), ColorMask)
    sample = shared_real / "panopticapi_sample"
    reader = open_masks(sample, CATEGORIES)
    assert reader.name == "panoptic"
    annotations, _ = read(reader, sample)
    assert {region.z for a in annotations.values() for region in a.regions} == {GROUND_Z}


def test_panoptic_masks_need_no_photos_of_their_own(shared_real, tmp_path):
    import shutil

    sample = shared_real / "panopticapi_sample"
    shutil.copy(sample / "panoptic_examples.json", tmp_path)
    shutil.copytree(sample / "panoptic_examples", tmp_path / "panoptic_examples")
    reader = open_masks(tmp_path, CATEGORIES)
    annotations, problems = read(reader, tmp_path)
    assert list(annotations) == ["000000142238.jpg", "000000439180.jpg"] and not problems
    annotations, problems = read(reader, tmp_path, sample / "input_images")
    assert annotations["000000142238.jpg"].image == sample / "input_images" / "000000142238.jpg"
