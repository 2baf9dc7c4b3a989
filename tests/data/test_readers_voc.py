"""Pascal VOC: objects and classes from two painted PNGs, borders, lists and label maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading import area, codes, full_mask, make_photo, read

from seem_data.annotations import VOID
from seem_data.readers import Input, detect, get

#: The first colours of VOC's palette, as its development kit lists them, and that of 255.
PALETTE = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 5: (128, 0, 128), 8: (64, 0, 0),
           15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}  # fmt: skip
#: Two cats (8), one person (15) and ground, with a border between.
CLASSES = np.array([[8, 8, 255, 8, 8], [8, 8, 255, 8, 8], [0, 0, 255, 15, 15]], np.uint8)
OBJECTS = np.array([[1, 1, 255, 2, 2], [1, 1, 255, 2, 2], [0, 0, 255, 5, 5]], np.uint8)


def save(path: Path, numbers: np.ndarray, how: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if how == "grey":
        Image.fromarray(numbers).save(path)
        return
    colors = np.zeros((256, 3), np.uint8)
    for number, color in PALETTE.items():
        colors[number] = color
    if how == "palette":
        image = Image.fromarray(numbers, "P")
        image.putpalette(colors.ravel().tolist())
        image.save(path)
    else:
        Image.fromarray(colors[numbers]).save(path)


def voc(root: Path, how="palette", objects: np.ndarray | None = OBJECTS, name="1") -> Path:
    make_photo(root / "JPEGImages" / f"{name}.jpg", CLASSES.shape[::-1])
    save(root / "SegmentationClass" / f"{name}.png", CLASSES, how)
    if objects is not None:
        save(root / "SegmentationObject" / f"{name}.png", objects, how)
    return root


def lists(root: Path, **stems: str) -> None:
    folder = root / "ImageSets" / "Segmentation"
    folder.mkdir(parents=True)
    for split, lines in stems.items():
        (folder / f"{split}.txt").write_text(lines)


@pytest.mark.parametrize("how", ["palette", "rgb", "grey"])
def test_objects_and_borders(tmp_path, how):
    annotations, problems = read("voc", voc(tmp_path, how))
    annotation = annotations["1.jpg"]
    assert annotation.size == (5, 3) and annotation.exif == "ignored" and not problems
    found = [(region.label, area(region)) for region in annotation.regions]
    assert sorted(found) == sorted([("cat", 4), ("cat", 4), ("person", 2), (VOID, 3)])
    for region in annotation.regions:
        mask = full_mask(region.parts[0], 5, 3)
        assert len(np.unique(OBJECTS[mask])) == 1


def test_without_objects_each_class_is_one_region(tmp_path):
    annotations, _ = read("voc", voc(tmp_path, objects=None))
    found = [(region.label, area(region)) for region in annotations["1.jpg"].regions]
    assert found == [("cat", 8), ("person", 2), (VOID, 3)]


def test_the_label_map_names_the_colours(tmp_path):
    voc(tmp_path, objects=None)
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\nlynx:64,0,0::\nold man:192, 128, 128:head:\n"
        "ignored:224,224,192::\n"
    )
    annotations, problems = read("voc", tmp_path)
    assert [region.label for region in annotations["1.jpg"].regions] == ["lynx", "old man", VOID]
    assert not problems


def test_colours_of_no_class_are_reported(tmp_path):
    voc(tmp_path, objects=None)
    (tmp_path / "labelmap.txt").write_text("lynx:64,0,0::\n")
    annotations, (problem,) = read("voc", tmp_path)
    assert [region.label for region in annotations["1.jpg"].regions] == ["lynx", VOID]
    assert (
        problem.code == "unknown-color"
        and "2 pixels" in problem.message
        and "[192, 128, 128]" in problem.message
    )


def test_lists_give_splits_and_name_what_is_missing(tmp_path):
    for name in "12":
        voc(tmp_path, name=name)
    make_photo(tmp_path / "JPEGImages" / "3.jpg")
    lists(tmp_path, train="1\n\n", val="2\n3\n4\n", trainval="1\n2\n")
    annotations, problems = read("voc", tmp_path)
    assert {name: a.split for name, a in annotations.items()} == {"1.jpg": "train", "2.jpg": "val"}
    assert codes(problems) == ["no-mask", "missing-image"]
    assert [problem.file.endswith("val.txt") for problem in problems[:1]] == [True]


@pytest.mark.parametrize("secret", ["../../secret", "/secret", "..\\\\secret", "x\0y"])
def test_lists_cannot_name_what_lies_outside_and_what_they_name_besides_is_read(tmp_path, secret):
    voc(tmp_path)
    lists(tmp_path, train=f"{secret}\n1\n")
    annotations, (problem,) = read("voc", tmp_path)
    assert list(annotations) == ["1.jpg"] and problem.severity in ("error", "warning")
    assert repr(secret) in f"{problem.where} {problem.message}"


@pytest.mark.parametrize("train", [None, '1\nsub/1\n"sub/two words"\n'])
def test_photos_in_folders_are_those_of_the_masks_there(tmp_path, train):
    for name in ("1", "sub/1", "sub/two words"):
        voc(tmp_path, name=name)
    if train:
        lists(tmp_path, train=train)
    annotations, problems = read("voc", tmp_path)
    assert not problems
    assert {name: len(a.regions) for name, a in annotations.items()} == dict.fromkeys(
        ("1.jpg", "sub/1.jpg", "sub/two words.jpg"), 4
    )


def test_several_years_in_one_devkit(tmp_path):
    for year in ("VOC2007", "VOC2012"):
        voc(tmp_path / "VOCdevkit" / year)
    annotations, problems = read("voc", tmp_path)
    assert list(annotations) == ["VOC2007/1.jpg", "VOC2012/1.jpg"] and not problems


def test_both_pngs_belong_to_what_is_hashed_and_must_be_of_one_size(tmp_path):
    voc(tmp_path, objects=OBJECTS[:2])
    (item,) = get("voc").scan(Input(tmp_path), [])
    assert [path.parent.name for path in item.files] == ["SegmentationClass", "SegmentationObject"]
    with pytest.raises(Exception, match="5×2 pixels"):
        get("voc").load(item, [])


def test_real_folders(shared_real):
    folder = shared_real / "datumaro/voc_dataset"
    annotations, (problem,) = read("voc", folder / "voc_dataset1")
    annotation = annotations["2007_000001.jpg"]
    assert annotation.split == "train" and [r.label for r in annotation.regions] == ["bicycle"]
    assert problem.code == "no-mask" and problem.file.endswith("test.txt")
    for name in ("voc_dataset2", "voc_dataset3"):  # boxes only
        assert detect(folder / name).name == "voc"
        with pytest.raises(Exception, match="no folder SegmentationClass"):
            read("voc", folder / name)


def labels(folder):
    annotations, problems = read("voc", folder)
    return sorted((region.label, area(region)) for region in annotations["1.jpg"].regions), problems


def test_objects_of_16_bits_are_numbers(tmp_path):
    voc(tmp_path, objects=None)
    (tmp_path / "SegmentationObject").mkdir()
    numbers = np.array([[30001] * 2 + [0] + [30002] * 2] * 2 + [[0, 0, 0, 7, 7]], np.uint16)
    Image.fromarray(numbers).save(tmp_path / "SegmentationObject" / "1.png")
    assert labels(tmp_path) == ([("__ignore__", 3), ("cat", 4), ("cat", 4), ("person", 2)], [])


def test_classes_of_16_bits_and_of_grey_palettes_are_numbers(tmp_path):
    voc(tmp_path, objects=None)
    path = tmp_path / "SegmentationClass" / "1.png"
    image = Image.fromarray(CLASSES, "P")
    image.putpalette([n for n in range(256) for _ in range(3)])
    image.save(path)
    assert labels(tmp_path) == ([("__ignore__", 3), ("cat", 8), ("person", 2)], [])
    Image.fromarray(np.where(CLASSES == 255, 65535, CLASSES.astype(np.uint16))).save(path)
    assert labels(tmp_path) == ([("__ignore__", 3), ("cat", 8), ("person", 2)], [])


def test_labelme2voc_names_its_classes_in_a_list(tmp_path):
    voc(tmp_path, objects=None)
    names = ["_background_", *(f"n{number}" for number in range(1, 16))]
    (tmp_path / "class_names.txt").write_text("\n".join(names))
    assert labels(tmp_path)[0] == [("__ignore__", 3), ("n15", 2), ("n8", 8)]
    (tmp_path / "SegmentationClass").rename(tmp_path / "SegmentationClassPNG")
    (tmp_path / "SegmentationClass").mkdir()
    (tmp_path / "SegmentationClass" / "1.npy").write_bytes(b"")
    assert detect(tmp_path).name == "voc" and labels(tmp_path)[0] == [
        ("__ignore__", 3),
        ("n15", 2),
        ("n8", 8),
    ]
