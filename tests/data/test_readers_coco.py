"""COCO instances: polygons and run lengths as pycocotools means them, photos by name, rows that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from reading import area, codes, full_mask, make_photo, read, write_json

from seem_data.problems import DataError
from seem_data.readers import Input, Item, detect, get

SQUARE = [1, 2, 11, 2, 11, 12, 1, 12]


def row(**fields):
    return {"id": 7, "image_id": 1, "category_id": 3, "segmentation": [SQUARE], "iscrowd": 0, **fields}


def coco(path: Path, *rows, images=None, **fields) -> Path:
    images = images or [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}]
    categories = [{"id": 3, "name": "cup"}, {"id": 90, "name": "plate"}]
    return write_json(path, {"images": images, "categories": categories, "annotations": list(rows), **fields})


def only(path):
    annotations, problems = read("coco", path)
    (annotation,) = annotations.values()
    return annotation, problems


@pytest.fixture
def folder(tmp_path):
    make_photo(tmp_path / "a.jpg")
    return tmp_path


def random_mask(seed=0):
    mask = np.random.default_rng(seed).random((30, 40)) < 0.3
    mask[:, :5] = False
    return mask


def test_polygons_of_one_annotation_are_its_parts(folder):
    coco(folder / "x.json", row(segmentation=[SQUARE, [20, 2, 30, 2, 30, 12]]))
    annotation, problems = only(folder / "x.json")
    assert annotation.size == (40, 30) and annotation.exif == "ignored" and not problems
    (region,) = annotation.regions
    assert region.label == "cup" and region.where == "annotation 7" and not region.iscrowd
    assert [part.outer.shape for part in region.parts] == [(4, 2), (3, 2)]
    assert area(region) == 150


def test_a_single_flat_polygon_is_understood(folder):
    coco(folder / "x.json", row(segmentation=SQUARE))
    assert area(only(folder / "x.json")[0].regions[0]) == 100


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths_are_decoded_as_pycocotools_does(folder, compressed):
    mask = random_mask()
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = rle["counts"].decode()
    if not compressed:
        flat = np.concatenate([[False], mask.ravel(order="F")])
        edges = np.flatnonzero(np.diff(flat)).tolist()
        counts = np.diff([0, *edges, mask.size]).tolist()
    coco(folder / "x.json", row(segmentation={"size": [30, 40], "counts": counts}, iscrowd=1))
    annotation, problems = only(folder / "x.json")
    (region,) = annotation.regions
    assert region.iscrowd and not problems
    assert (full_mask(region.parts[0], 40, 30) == mask).all()


def test_sentences_of_refcoco_and_captions_are_the_annotators(folder):
    sentences = ["the cup", {"raw": "Left cup", "sent": "left cup"}, {"sent": "small one"}, {"tokens": []}, 5]
    coco(folder / "x.json", row(sentences=sentences, caption="a cup of tea"))
    annotation, _ = only(folder / "x.json")
    words = [sentence.raw for sentence in annotation.regions[0].sentences]
    assert words == ["the cup", "Left cup", "small one", "a cup of tea"]


@pytest.mark.parametrize("image_id", [5, "5", 5.0])
def test_ids_need_not_be_whole_numbers(folder, image_id):
    coco(folder / "x.json", row(image_id=image_id), images=[{"id": image_id, "file_name": "a.jpg"}])
    annotation, problems = only(folder / "x.json")
    assert len(annotation.regions) == 1 and annotation.size is None and not problems


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"segmentation": []}, "no-segmentation"),
        ({"segmentation": None}, "no-segmentation"),
        ({"segmentation": [[1, 2, 3, 4]]}, "too-few-points"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "bad-points"),
        ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "not-finite"),
        ({"segmentation": [SQUARE, 5]}, "bad-field"),
        ({"segmentation": {"size": [30, 40], "counts": "???"}}, "bad-rle"),
        ({"segmentation": {"size": [30, 40], "counts": [1200]}}, "empty-mask"),
        ({"segmentation": {"size": [30, 40], "counts": [10, 5]}}, "bad-rle"),
        ({"segmentation": {"size": [30, 40], "counts": [1300, -100]}}, "bad-rle"),
        ({"segmentation": {"size": [40, 30], "counts": [0, 1200]}}, "bad-mask-size"),
        ({"segmentation": {"counts": [0, 1200]}}, "bad-field"),
        ({"segmentation": "m.png"}, "bad-field"),
        ({"category_id": 4}, "unknown-category-id"),
        ({"category_id": None}, "bad-field"),
        ({"image_id": 99}, "unknown-image"),
        ({"image_id": None}, "bad-field"),
    ],
)
def test_a_bad_row_costs_that_row(folder, change, code):
    coco(folder / "x.json", row(id=1), row(id=2, **change), row(id=3, category_id=90))
    annotation, (problem,) = only(folder / "x.json")
    assert [region.label for region in annotation.regions] == ["cup", "plate"]
    assert problem.code == code and problem.file.endswith("x.json") and problem.where


def test_masks_larger_than_any_photo_are_not_decoded(folder):
    huge = {"size": [10**6, 10**6], "counts": "0"}
    coco(folder / "x.json", row(segmentation=huge), images=[{"id": 1, "file_name": "a.jpg"}])
    assert codes(only(folder / "x.json")[1]) == ["bad-mask-size"]


def test_only_what_an_image_needs_travels_with_its_item(folder):
    make_photo(folder / "b.jpg")
    images = [{"id": 2, "file_name": "b.jpg"}, {"id": 1, "file_name": "a.jpg"}]
    coco(folder / "x.json", row(), row(image_id=2), images=images)
    items = list(get("coco").scan(Input(folder / "x.json"), []))
    assert [item.name for item in items] == ["b.jpg", "a.jpg"]
    assert all(isinstance(item, Item) and item.content.count(b"segmentation") == 1 for item in items)
    assert len({id(item.payload[1]) for item in items}) == 1, "what all have in common is held once"


def test_photos_are_found_by_path_or_by_a_name_that_is_unique(tmp_path):
    for name in ("images/train/a.jpg", "images/x/c.jpg", "images/y/c.jpg"):
        make_photo(tmp_path / name)
    images = [
        {"id": number, "file_name": name}
        for number, name in enumerate(("a.jpg", "y/c.jpg", "c.jpg", "../../../etc/c.txt", "d.jpg"))
    ]
    coco(tmp_path / "annotations" / "instances_val2017.json", images=images)
    annotations, problems = read("coco", tmp_path / "annotations" / "instances_val2017.json")
    assert {name: a.split for name, a in annotations.items()} == {"train/a.jpg": "train", "y/c.jpg": "val"}
    assert codes(problems) == ["ambiguous-image", "unsafe-path", "missing-image"]
    assert [problem.where for problem in problems] == ["image 2", "image 3", "image 4"]


def test_a_folder_means_its_instances_and_nothing_else(folder):
    coco(folder / "instances_train.json", row())
    coco(folder / "captions_train.json", {"image_id": 1, "caption": "hello"})
    write_json(folder / "other.json", {"shapes": [], "imagePath": ""})
    annotation, problems = only(folder)
    assert len(annotation.regions) == 1 and not problems


def test_two_files_that_claim_one_photo(folder):
    coco(folder / "x.json", row())
    coco(folder / "y.json", row())
    _, (problem,) = only(folder)
    assert problem.code == "claimed-twice" and "x.json" in problem.message and problem.file.endswith("y.json")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{}", "bad-field"),
        (b"[1]", "bad-field"),
        (b"{", "bad-json"),
        (b'{"images": [{"id": 1}]}', "bad-field"),
    ],
)
def test_files_that_are_no_coco(tmp_path, content, code):
    (tmp_path / "x.json").write_bytes(content)
    annotations, (problem,) = read("coco", tmp_path / "x.json")
    assert not annotations and problem.code == code


def test_images_of_one_id_are_left_out_since_their_annotations_cannot_be_told_apart(folder):
    """As two files that were pasted together without counting anew."""
    for name in ("b.jpg", "c.jpg"):
        make_photo(folder / name)
    images = [{"id": number, "file_name": f"{name}.jpg"} for number, name in ((1, "a"), (2, "b"), (1, "c"))]
    path = coco(folder / "i.json", row(), row(image_id=2), images=images)
    annotations, problems = read("coco", path)
    assert list(annotations) == ["b.jpg"]
    assert codes(problems) == ["duplicate-image-id"] * 2
    assert "'a.jpg'" in problems[0].message and "'c.jpg'" in problems[0].message


def test_two_names_of_one_category_id_are_refused(folder):
    twice = [
        {"id": 3, "name": "cup"},
        {"id": 3, "name": "plate"},
        {"id": 4, "name": "a"},
        {"id": 4, "name": "a"},
    ]
    annotations, (problem,) = read("coco", coco(folder / "i.json", row(), categories=twice))
    assert not annotations and problem.code == "duplicate-category-id"
    assert "'cup'" in str(problem) and "'plate'" in str(problem)


def test_numbers_beyond_floating_point_cost_one_row(folder):
    path = coco(folder / "x.json", row(id=1), row(id=2))
    path.write_text(path.read_text().replace("[1, 2, 11", "[1e999, 2, 11", 1))
    annotation, (problem,) = only(path)
    assert [region.where for region in annotation.regions] == ["annotation 2"]
    assert problem.code == "not-finite" and problem.where == "annotation 1"


def test_real_run_lengths(shared_real):
    sample = shared_real / "panopticapi_sample"
    annotations, problems = read("coco", sample)
    rows = json.loads((sample / "panoptic_coco_detection_format.json").read_text())["annotations"]
    assert sum(len(a.regions) for a in annotations.values()) == len(rows) == 50
    areas = [area(region) for a in annotations.values() for region in a.regions]
    assert sorted(areas) == sorted(float(coco_mask.area(row["segmentation"])) for row in rows)
    assert not problems
    with pytest.raises(DataError, match="COCO instances JSON and COCO panoptic"):
        detect(sample)


def test_real_polygons_crowds_and_boxes(shared_real):
    annotations, (problem,) = read("coco", shared_real / "datumaro/coco_dataset/coco_instances")
    polygon, crowd = annotations["images/val/b.jpg"].regions
    assert (polygon.label, area(polygon)) == ("a", 2) and (crowd.label, area(crowd)) == ("b", 20)
    assert crowd.iscrowd
    assert annotations["images/train/a.jpg"].regions == [] and problem.code == "no-segmentation"
    assert [a.split for a in annotations.values()] == ["train", "val"]


def test_a_name_means_the_photo_right_in_the_folder_images_before_those_deeper_in_it(tmp_path):
    for name in ("images/a.jpg", "images/deep/a.jpg"):
        make_photo(tmp_path / name)
    images = [{"id": i, "file_name": name} for i, name in enumerate(("a.jpg", "deep/a.jpg"), start=1)]
    coco(tmp_path / "x.json", row(), images=images)
    annotations, problems = read("coco", tmp_path / "x.json")
    assert list(annotations) == ["images/a.jpg", "images/deep/a.jpg"] and not problems
