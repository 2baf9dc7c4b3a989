"""Reading the layout: what a sample holds, what is checked first, and how faults are told."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from table_scenes import CATEGORIES, table_scene, write_split, write_tables

from seem_train.data.dataset import SegmentationSet, renumber
from seem_train.errors import UserError


def test_a_sample_is_image_id_map_segments_and_phrases(tmp_path: Path) -> None:
    images = SegmentationSet(write_tables(tmp_path, 2), "train")
    photo, ids, segments = table_scene(0)
    sample = images.load(0)
    assert len(images) == 2
    assert sample.image.shape == (3, 120, 160)
    assert np.array_equal(sample.pixels, photo)
    assert [s.id for s in sample.segments] == list(segments)
    assert [images.names[s.category] for s in sample.segments] == [
        "cat",
        "mug",
        "table",
        "wall-other-merged",
        "mug",
    ]
    assert [s.iscrowd for s in sample.segments] == [False, False, False, False, True]
    for place, segment in enumerate(sample.segments):
        assert np.array_equal(sample.id_map.numpy() == place + 1, ids == segment.id)
    assert np.array_equal(sample.id_map.numpy() == 0, ids == 0)
    assert [(p.segment, p.sentences[0].raw) for p in sample.phrases] == [
        (0, "the cat on the right"),
        (1, "the mug on the left"),
    ]
    assert images.load(1).phrases == ()


def test_without_grounding_and_without_stuff(tmp_path: Path) -> None:
    photo, ids, _ = table_scene(0)
    write_split(tmp_path, "val", {"a.png": (photo, ids, {60_000: (7, 0)})})
    images = SegmentationSet(tmp_path, "val")
    sample = images.load(0)
    assert sample.phrases == ()
    assert sample.id_map.max() == 1
    assert images.absent() == ["table", "wall-other-merged", "cat"]
    assert images.names == [c["name"] for c in CATEGORIES]
    assert images.things == [True, False, False, True]


def test_photo_and_id_map_may_come_smaller_but_never_below_what_is_asked(tmp_path: Path) -> None:
    photo, ids, segments = table_scene(0, height=401, width=599)
    write_split(tmp_path, "train", {"a.jpg": (photo, ids, segments), "b.png": (photo, ids, segments)})
    images = SegmentationSet(tmp_path, "train")
    assert images.load(0).image.shape == (3, 401, 599)
    assert images.load(0, at_least=(100, 149)).image.shape == (3, 101, 150)
    assert images.load(0, at_least=(101, 150)).image.shape == (3, 201, 300)
    assert images.load(0, at_least=(201, 10)).image.shape == (3, 401, 599)
    assert images.load(0, at_least=(10, 15)).id_map.shape == (10, 15)
    assert images.load(0, at_least=(802, 1198)).id_map.shape == (401, 599)
    assert images.load(1, at_least=(10, 10)).image.shape == (3, 401, 599)  # PNG cannot


def test_all_faults_are_told_in_one_list(tmp_path: Path) -> None:
    root = write_tables(tmp_path, 3)
    (root / "train/images/scene1.png").unlink()
    (root / "train/panoptic/scene2.png").unlink()
    file = root / "train/panoptic.json"
    panoptic = json.loads(file.read_text())
    panoptic["annotations"][2]["segments_info"].pop(0)
    file.write_text(json.dumps(panoptic))
    with pytest.raises(UserError) as caught:
        SegmentationSet(root, "train")
    message = str(caught.value)
    for part in (
        "scene1.png: the photo is missing",
        "scene2.png: the panoptic PNG is missing",
        "grounding.json: image 3, segment 120000: panoptic.json has no such segment",
        "seem-data validate",
    ):
        assert part in message


def test_a_category_that_is_not_listed_is_told_by_its_file(tmp_path: Path) -> None:
    root = write_tables(tmp_path, 3)
    file = root / "train/panoptic.json"
    panoptic = json.loads(file.read_text())
    panoptic["annotations"][0]["segments_info"][1]["category_id"] = 55
    file.write_text(json.dumps(panoptic))
    with pytest.raises(UserError, match=r"panoptic\.json: has segments of category 55"):
        SegmentationSet(root, "train")


def test_many_faults_are_counted_not_listed(tmp_path: Path) -> None:
    root = write_tables(tmp_path, 20)
    for photo in (root / "train/images").iterdir():
        photo.unlink()
    with pytest.raises(UserError, match="and 8 more"):
        SegmentationSet(root, "train")


def test_no_dataset_no_split_no_image(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no dataset"):
        SegmentationSet(tmp_path, "train")
    write_split(tmp_path, "train", {})
    with pytest.raises(UserError, match="the split has no image"):
        SegmentationSet(tmp_path, "train")
    with pytest.raises(UserError, match="no split 'val'"):
        SegmentationSet(tmp_path, "val")


def test_a_damaged_photo_and_a_wrong_size_name_the_file(tmp_path: Path) -> None:
    root = write_tables(tmp_path, 3)
    (root / "train/images/scene0.png").write_bytes(b"no image")
    (root / "train/images/scene2.png").write_bytes(b"")
    cv2.imwrite(str(root / "train/images/scene1.png"), np.zeros((50, 60, 3), np.uint8))
    images = SegmentationSet(root, "train")
    with pytest.raises(UserError, match=r"scene0\.png cannot be decoded"):
        images.load(0)
    with pytest.raises(UserError, match=r"scene1\.png is 60 × 50 pixels, panoptic\.json says 160 × 120"):
        images.load(1)
    with pytest.raises(UserError, match=r"scene2\.png cannot be decoded"):
        images.load(2)


def test_a_damaged_panoptic_png_names_the_file(tmp_path: Path) -> None:
    root = write_tables(tmp_path, 1)
    (root / "train/panoptic/scene0.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"panoptic/scene0\.png"):
        SegmentationSet(root, "train").load(0)


def test_rare_categories_raise_the_repeat_factor_of_their_images(tmp_path: Path) -> None:
    photo, ids, common = table_scene(0)
    rare = {60_000: (4, 0)}
    images = {f"{n}.png": (photo, ids, {20_000: (3, 0)} if n else rare) for n in range(10)}
    assert common
    write_split(tmp_path, "train", images)
    factors = SegmentationSet(tmp_path, "train").repeat_factors(0.4)
    assert factors[0] == pytest.approx(2.0)  # √(0.4 / 0.1)
    assert (factors[1:] == 1).all()


def test_renumbering_drops_ids_that_are_not_listed() -> None:
    ids = np.array([[0, 5], [16_777_215, 9]], np.int32)
    assert renumber(ids, [16_777_215, 5]).tolist() == [[0, 2], [1, 0]]
    assert renumber(np.zeros((1, 1), np.int32), [4]).tolist() == [[0]]
