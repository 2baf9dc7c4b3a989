"""Painted masks: exact colours, palettes, components, and colours that mean nothing."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
from PIL import Image
from reading import area, codes, full_mask, make_photo, read

from seem_data.annotations import VOID
from seem_data.categories import Categories, Category, parse
from seem_data.problems import DataError
from seem_data.readers import Input, detect
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


def test_the_borders_of_voc_are_void(tmp_path):
    paint(tmp_path / "a.png", [[P, (224, 224, 192), X, (224, 224, 192)]])
    assert found(tmp_path, CATEGORIES) == ({"a.png": {"person": 1, VOID: 2}}, [])


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


# Numbers


PETS = Categories(
    [Category(1, "cat", (255, 0, 0), isthing=True), Category(2, "dog", (0, 255, 0), isthing=True)]
)


def number(path, rows, dtype=np.uint8, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(rows, dtype), mode).save(path)
    return path


def found(folder, categories=PETS, images=None):
    annotations, problems = read(ColorMask(categories), folder, images)
    return {name: {r.label: area(r) for r in a.regions} for name, a in annotations.items()}, problems


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n"),
        ("class_names.txt", "_background_\ncat\ndog\n"),
        ("labels.txt", "__ignore__\n_background_\ncat\ndog"),
        ("codes.txt", "Void\ncat\ndog\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:9,9,9::\ndog:8,8,8::\n"),
        ("objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tName\n1\t0.1\t3\t4\tcat, kitty\n2\t0.1\t3\t4\tdog\n"),
    ],
)
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_numbers_are_named_by_the_table_beside_the_masks(tmp_path, name, text, depth):
    (tmp_path / name).write_text(text)
    number(tmp_path / "train" / "a.png", [[0, 1, 1], [2, 2, 2]], depth)
    assert found(tmp_path) == ({"train/a.png": {"cat": 2, "dog": 3}}, [])


def test_numbers_are_named_by_the_colour_map(tmp_path):
    rows = [
        {"name": "cat", "color": "#f00", "isthing": True, "value": 7},
        {"name": "sky", "color": "#00f", "isthing": 0},
    ]
    number(tmp_path / "a.png", [[0, 7, 7, 5]])
    named, (problem,) = found(tmp_path, parse(rows))
    assert named == {"a.png": {"cat": 2}}
    assert (
        problem.code == "unknown-number"
        and "5 (1 pixels)" in problem.message
        and problem.severity == "warning"
    )


def test_palettes_in_other_colours_are_numbers(tmp_path):
    (tmp_path / "class_names.txt").write_text("_background_\ncat\ndog\n")
    for grey, name in ((True, "a.png"), (False, "b.png")):
        image = Image.fromarray(np.array([[0, 1, 2, 2, 255]], np.uint8), "P")
        image.putpalette([v for n in range(256) for v in ((n, n, n) if grey else (n, 7, 7))])
        image.save(tmp_path / name)
    named, problems = found(tmp_path)
    assert named == {name: {"cat": 1, "dog": 2, VOID: 1} for name in ("a.png", "b.png")} and not problems


def test_numbers_that_nothing_explains_are_told_with_what_would(tmp_path):
    number(tmp_path / "a.png", [[0, 1, 2]])
    number(tmp_path / "b.png", [[0, 1, 300]], np.uint16)
    _, problems = found(tmp_path)
    assert codes(problems) == ["unknown-color", "unknown-number"]
    assert all('"value" in the colour map' in problem.remedy for problem in problems)


def test_colours_of_16_bits_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((2, 2, 3), 1000, np.uint16))
    (item,) = ColorMask(PETS).scan(Input(tmp_path), [])
    with pytest.raises(DataError, match="16 bits a colour"):
        ColorMask(PETS).load(item, [])


@pytest.mark.parametrize(
    ("mask", "photo"),
    [
        ("a_mask.png", "a.jpg"), ("a_L.png", "a.jpg"), ("a_seg.png", "a.jpg"), ("a_GT.png", "a.png"),
        ("a-mask.png", "a.png"), ("mask_a.png", "a.jpg"), ("a.jpg.png", "a.jpg"), ("gt_a.png", "a.png"),
        ("x_gtFine_color.png", "x_leftImg8bit.png"), ("a_mask.png", "a_sat.jpg"),
        ("a_jpg.rf.9_mask.png", "a_jpg.rf.9.jpg"),
        ("a_segmented.png", "a.jpg"), ("a_colored_by_hand.png", "a.png"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("apart", [True, False])
def test_masks_may_have_a_word_more_in_their_names(tmp_path, mask, photo, apart):
    make_photo(tmp_path / ("photos" if apart else "masks") / photo, (2, 1))
    paint(tmp_path / "masks" / mask, [[(255, 0, 0), X]])
    if not apart and photo.endswith("png") and mask == "a_colored_by_hand.png":
        return  # two PNGs side by side, and no word that says which one is the mask
    named, problems = found(tmp_path / "masks", images=tmp_path / "photos" if apart else None)
    assert named == {photo: {"cat": 1}} and not problems


def test_a_mask_is_not_of_a_photo_that_its_number_begins_with(tmp_path):
    make_photo(tmp_path / "photos" / "a.jpg", (2, 1))
    paint(tmp_path / "masks" / "a_1.png", [[P, X]])
    named, problems = found(tmp_path / "masks", images=tmp_path / "photos")
    assert not named and codes(problems) == ["missing-image"]


def test_cityscapes_objects_are_told_apart_by_their_numbers(tmp_path):
    town = tmp_path / "gtFine" / "val" / "ulm"
    make_photo(tmp_path / "leftImg8bit" / "val" / "ulm" / "u_1_leftImg8bit.png", (6, 1))
    number(town / "u_1_gtFine_instanceIds.png", [[26001, 26002, 26, 23, 1, 0]], np.uint16)
    number(town / "u_1_gtFine_labelIds.png", [[26, 26, 26, 23, 1, 0]])
    paint(town / "u_1_gtFine_color.png", [[(0, 0, 142)] * 3 + [(70, 130, 180), X, X]])
    names = Categories(
        [Category(1, "car", (1, 1, 1), isthing=True), Category(2, "sky", (2, 2, 2), isthing=False)]
    )
    annotations, (note,) = read(ColorMask(names), tmp_path / "gtFine")
    (annotation,) = annotations.values()
    regions = [(r.label, area(r), r.iscrowd) for r in annotation.regions]
    assert sorted(regions) == [
        (VOID, 1, True),
        ("car", 1, False),
        ("car", 1, False),
        ("car", 1, True),
        ("sky", 1, False),
    ]
    assert annotation.split == "val" and note.severity == "note" and "1 color" in note.message
    (town / "u_1_gtFine_instanceIds.png").unlink()
    for rest in ("labelIds", "color"):
        named, _ = found(tmp_path / "gtFine", names)
        assert {"car": 3, "sky": 1}.items() <= named["val/ulm/u_1_leftImg8bit.png"].items()
        (town / f"u_1_gtFine_{rest}.png").unlink()


def test_ade20k_masks_are_known_by_their_names(tmp_path):
    number(tmp_path / "ADE_val_00000001.png", [[0, 1, 13, 150]])
    named, _ = found(tmp_path)
    assert named == {"ADE_val_00000001.png": {"wall": 1, "person": 1, "flag": 1}}


def test_masks_of_the_whole_ade20k_are_refused_since_a_pickle_names_their_numbers(tmp_path):
    make_photo(tmp_path / "ADE_train_00000001.jpg", (2, 1))
    for rest in ("seg", "parts_1"):
        paint(tmp_path / f"ADE_train_00000001_{rest}.png", [[(10, 47, 1), (0, 0, 0)]])
    for refused in (lambda: found(tmp_path), lambda: detect(tmp_path)):
        with pytest.raises(DataError, match=r"in a pickle only .*ADEChallengeData2016") as caught:
            refused()
        assert [problem.code for problem in caught.value.problems] == ["foreign-format"]


def test_greys_in_a_picture_of_colours_are_numbers_too(tmp_path):
    (tmp_path / "class_names.txt").write_text("_background_\ncat\ndog\n")
    paint(tmp_path / "a.png", [[(0, 0, 0), (1, 1, 1), (2, 2, 2), (2, 2, 2)]])
    assert found(tmp_path) == ({"a.png": {"cat": 1, "dog": 2}}, [])


def test_splits_that_repeat_names_keep_their_own_photos(tmp_path):
    for split in ("train", "valid"):
        make_photo(tmp_path / split / "a_jpg.rf.1.jpg", (2, 1))
        number(tmp_path / split / "a_jpg.rf.1_mask.png", [[0, 1]])
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cat\n")
    named, problems = found(tmp_path)
    assert named == {f"{split}/a_jpg.rf.1.jpg": {"cat": 1} for split in ("train", "valid")} and not problems
