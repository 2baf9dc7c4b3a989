"""COCO panoptic as an input: every segment of the PNGs, and what the JSON and they disagree on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reading import area, codes, full_mask, make_photo, read, write_json

from seem_data.readers import Input, detect, get


def panoptic(folder: Path, ids: np.ndarray, segments, **fields) -> Path:
    make_photo(folder / "images" / "a.jpg", ids.shape[::-1])
    (folder / "panoptic_train").mkdir()
    rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)
    Image.fromarray(rgb).save(folder / "panoptic_train" / "a.png")
    return write_json(
        folder / "panoptic_train.json",
        {
            "images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments, **fields}],
            "categories": [{"id": 3, "name": "cup", "isthing": 1}, {"id": 5, "name": "wall", "isthing": 0}],
        },
    )


IDS = np.array([[0, 0, 70000], [9, 9, 70000], [9, 300, 300]])


def test_segments_become_regions(tmp_path):
    segments = [{"id": 9, "category_id": 3, "iscrowd": 1}, {"id": 70000, "category_id": 5},
                {"id": 300, "category_id": 3}]  # fmt: skip
    panoptic(tmp_path, IDS, segments)
    annotations, problems = read("panoptic", tmp_path)
    annotation = annotations["images/a.jpg"]
    assert annotation.size == (3, 3) and annotation.split == "train" and not problems
    assert [(r.label, area(r), r.iscrowd) for r in annotation.regions] == [
        ("cup", 3, True), ("wall", 2, False), ("cup", 2, False)
    ]  # fmt: skip
    for region, number in zip(annotation.regions, (9, 70000, 300), strict=True):
        assert (full_mask(region.parts[0], 3, 3) == (number == IDS)).all()


def test_the_png_belongs_to_what_is_hashed(tmp_path):
    panoptic(tmp_path, IDS, [])
    (item,) = get("panoptic").scan(Input(tmp_path), [])
    assert item.files == (tmp_path / "panoptic_train" / "a.png",)


def test_names_of_categories_are_held_once_for_all_images(tmp_path):
    path = panoptic(tmp_path, IDS, [])
    content = json.loads(path.read_text())
    content["images"].append({"id": 2, "file_name": "b.jpg"})
    content["annotations"].append({"image_id": 2, "file_name": "b.png", "segments_info": []})
    write_json(path, content)
    make_photo(tmp_path / "images" / "b.jpg", IDS.shape[::-1])
    shutil.copy(tmp_path / "panoptic_train" / "a.png", tmp_path / "panoptic_train" / "b.png")
    one, other = get("panoptic").scan(Input(tmp_path), [])
    assert one.payload[0] is other.payload[0] and b"cup" in one.payload[0] and b"cup" not in one.payload[1]


def test_json_and_png_that_disagree(tmp_path):
    segments = [{"id": 9, "category_id": 3}, {"id": 4, "category_id": 3}, {"id": 300, "category_id": 8}]
    panoptic(tmp_path, IDS, segments)
    annotations, problems = read("panoptic", tmp_path)
    assert [region.where for region in annotations["images/a.jpg"].regions] == ["segment 9"]
    assert codes(problems) == ["lost-segment", "unknown-category-id", "unknown-segment"]
    assert problems[0].where == "segment 4" and "first 70000" in problems[2].message


def test_a_missing_png_costs_its_image(tmp_path):
    panoptic(tmp_path, IDS, [], file_name="b.png")
    annotations, (problem,) = read("panoptic", tmp_path)
    assert not annotations and problem.code == "missing-image" and problem.where == "annotations[0]"


def test_real_panoptic_samples(shared_real):
    annotations, problems = read("panoptic", shared_real / "panopticapi_sample")
    assert [len(a.regions) for a in annotations.values()] == [18, 32]
    assert not problems
    instances, _ = read("coco", shared_real / "panopticapi_sample")
    for name, annotation in annotations.items():  # the same segments, once as PNG and once as RLE
        assert sorted(map(area, annotation.regions)) == sorted(map(area, instances[name].regions))
    small = shared_real / "datumaro/coco_dataset/coco_panoptic"
    assert detect(small).name == "panoptic"
    assert [len(a.regions) for a in read("panoptic", small)[0].values()] == [1, 2]


@pytest.mark.parametrize("content", ['{"annotations": [{"segments_info": []}]}', '{"annotations": 5}', "["])
def test_files_that_are_no_panoptic_json(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    annotations, (problem,) = read("panoptic", tmp_path / "x.json")
    assert not annotations and problem.severity == "error"


SEGMENTS = [{"id": 9, "category_id": 3}, {"id": 300, "category_id": "5"}]


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_grey_pngs_hold_ids_as_numbers(tmp_path, depth):
    segments = [{"id": "9", "category_id": 3}, {"id": 200 if depth == np.uint8 else 300, "category_id": "5"}]
    panoptic(tmp_path, IDS, segments, image_id="1")
    ids = np.zeros((3, 4), depth)
    ids[0], ids[1] = 9, segments[1]["id"]
    Image.fromarray(ids).save(tmp_path / "panoptic_train" / "a.png")
    annotations, problems = read("panoptic", tmp_path)
    (annotation,) = annotations.values()
    assert [(r.label, area(r)) for r in annotation.regions] == [("cup", 4), ("wall", 4)] and not problems


@pytest.mark.parametrize(
    ("masks", "photos", "json"),
    [
        ("panoptic", "images", "p.json"),
        ("panoptic_val2017", "val2017", "annotations/panoptic_val2017.json"),
        ("annotations/panoptic_val2017", "val2017", "annotations/panoptic_val2017.json"),
        ("masks", "photos", "annotations.json"),
        ("panoptic", "panoptic_photos/images", "panoptic.json"),
    ],
)
def test_png_photos_called_like_their_masks_are_told_apart(tmp_path, masks, photos, json):
    panoptic(tmp_path / "made", IDS, SEGMENTS)
    content = (tmp_path / "made" / "panoptic_train.json").read_text().replace("a.jpg", "a.png")
    root = tmp_path / "in"
    for folder in (root / masks, root / photos, (root / json).parent):
        folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "made" / "panoptic_train" / "a.png").rename(root / masks / "a.png")
    make_photo(root / photos / "a.png", IDS.shape[::-1])
    (root / json).write_text(content)
    annotations, _ = read("panoptic", root)
    (annotation,) = annotations.values()
    assert annotation.image == root / photos / "a.png"
    assert [region.label for region in annotation.regions] == ["cup", "wall"]
