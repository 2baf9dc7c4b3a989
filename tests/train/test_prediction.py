"""Answers: encodings that are exact, files other tools read, pictures that show them."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from seem_train.errors import UserError
from seem_train.metrics.instance import encode_masks
from seem_train.model.postprocess import PanopticSegment
from seem_train.prediction.answers import (
    Objects,
    Panoptic,
    Semantic,
    outlines,
    write_labels,
    write_objects,
)
from seem_train.prediction.vocabulary import as_categories

CATEGORIES = as_categories([{"name": "mug", "id": 7}, {"name": "table", "id": 3, "isthing": 0}, "cat"])


def _photo(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def _objects(masks: np.ndarray | None = None, index: tuple[int, ...] = (0, 2)) -> Objects:
    if masks is None:
        masks = np.zeros((2, 40, 60), bool)
        masks[0, 5:20, 10:30] = True
        masks[1, 15:35, 25:50] = True
        masks[1, 20:25, 30:35] = False
    scores = np.linspace(0.9, 0.4, len(masks))
    return Objects(
        _photo(),
        CATEGORIES,
        "deep/a.jpg",
        encoded=encode_masks(masks),
        category_index=np.array(index, int),
        scores=scores.astype(np.float32),
    )


def _panoptic() -> Panoptic:
    id_map = np.zeros((40, 60), np.int32)
    id_map[20:] = 1
    id_map[5:25, 10:30] = 2
    id_map[5:25, 35:50] = 3
    segments = [
        PanopticSegment(1, 1, False, 0.9, int((id_map == 1).sum())),
        PanopticSegment(2, 0, True, 0.8, 400),
        PanopticSegment(3, 0, True, 0.7, 300),
    ]
    return Panoptic(_photo(), CATEGORIES, "deep/a.jpg", id_map=id_map, segments=segments)


def test_masks_boxes_areas_and_names_come_from_the_encoding() -> None:
    objects = _objects()
    assert objects.names == ["mug", "cat"]
    assert objects.masks.shape == (2, 40, 60)
    assert objects.masks[0, 5:20, 10:30].all()
    assert objects.areas.tolist() == [300, 475]
    assert objects.boxes.tolist() == [[10, 5, 30, 20], [25, 15, 50, 35]]
    assert len(objects.best(0.5)) == 1


def test_hundreds_of_objects_have_their_areas() -> None:
    masks = np.ones((300, 40, 60), bool)
    masks[299, 0] = False
    many = _objects(masks, (0,) * 300)
    assert many.areas.tolist() == [2400] * 299 + [2340]
    assert many.boxes[299].tolist() == [0, 1, 60, 40]


def test_no_objects_are_an_answer_too(tmp_path: Path) -> None:
    objects = _objects(np.zeros((0, 40, 60), bool), ())
    assert len(objects) == 0
    assert objects.masks.shape == (0, 40, 60)
    assert objects.boxes.shape == (0, 4)
    assert np.array_equal(objects.draw(), objects.photo)
    objects.save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "objects.json").read_text())["annotations"] == []


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.floats(0.1, 0.9))
def test_outlines_are_exact_but_for_filled_holes(seed: int, height: int, width: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    drawn = np.zeros((height, width), bool)
    for polygon in outlines(mask):
        # Even-odd in the middle of each pixel: exact for polygons along pixel edges.
        y, x = np.mgrid[:height, :width] + 0.5
        inside = np.zeros((height, width), bool)
        for (x0, y0), (x1, y1) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
            crosses = (y0 > y) != (y1 > y)
            assert x0 == x1 or y0 == y1, "edges run along pixels"
            inside ^= crosses & (x < x0)
        drawn |= inside
    assert (drawn | ~mask).all(), "all of the mask is inside"
    filled = np.zeros((height + 2, width + 2), np.uint8)
    filled[1:-1, 1:-1] = mask
    cv2.floodFill(filled, None, (0, 0), 2, flags=4)
    assert np.array_equal(drawn, filled[1:-1, 1:-1] != 2)


def test_objects_are_saved_as_coco_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objects = _objects()
    assert objects.save(tmp_path / "out") == tmp_path / "out"
    coco = COCO(str(tmp_path / "out" / "objects.json"))
    capsys.readouterr()
    assert coco.getCatIds() == [1, 7]
    rows = coco.loadAnns(coco.getAnnIds())
    assert [row["category_id"] for row in rows] == [7, 1]
    for row, mask in zip(rows, objects.masks, strict=True):
        assert np.array_equal(coco.annToMask(row).astype(bool), mask)
        assert row["area"] == mask.sum()
    assert coco.loadImgs([1])[0]["file_name"] == "deep/a.jpg"


def test_objects_of_several_photos_share_one_file(tmp_path: Path) -> None:
    objects = _objects()
    write_objects(tmp_path / "all.json", [(objects.record(4), objects), (objects.record(9), objects)])
    document = json.loads((tmp_path / "all.json").read_text())
    assert [image["id"] for image in document["images"]] == [4, 9]
    assert [row["id"] for row in document["annotations"]] == [1, 2, 3, 4]
    assert len(document["categories"]) == 2


def test_a_panoptic_answer_is_saved_as_panopticapi_reads_it(tmp_path: Path) -> None:
    panoptic = _panoptic()
    panoptic.save(tmp_path / "out")
    document = json.loads((tmp_path / "out" / "panoptic.json").read_text())
    (row,) = document["annotations"]
    png = np.asarray(Image.open(tmp_path / "out" / "panoptic" / row["file_name"])).astype(int)
    ids = png[..., 0] + 256 * png[..., 1] + 256**2 * png[..., 2]
    for segment, saved in zip(panoptic.segments, row["segments_info"], strict=True):
        assert np.array_equal(ids == saved["id"], panoptic.mask(segment))
        assert saved["area"] == segment.area
        assert saved["category_id"] == CATEGORIES[segment.category_index].id
    assert (ids == 0).any()


def test_a_semantic_answer_is_saved_as_indices(tmp_path: Path) -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[:10] = 2
    semantic = Semantic(_photo(), CATEGORIES, "a.jpg", labels=labels)
    assert semantic.areas == {"mug": 1800, "cat": 600}
    semantic.save(tmp_path / "out")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out" / "semantic" / "a.png")), labels)
    assert len(json.loads((tmp_path / "out" / "categories.json").read_text())) == 3


def test_many_categories_take_sixteen_bits(tmp_path: Path) -> None:
    labels = np.arange(600).reshape(20, 30)
    write_labels(tmp_path / "many.png", labels, 600)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "many.png")), labels)


@pytest.mark.parametrize("kind", ["objects", "panoptic", "semantic"])
@pytest.mark.parametrize("name", ["a.png", "b.jpg", "c.webp", "new/d.PNG"])
def test_pictures_are_saved_by_their_name(tmp_path: Path, kind: str, name: str) -> None:
    answer = {
        "objects": _objects(),
        "panoptic": _panoptic(),
        "semantic": Semantic(_photo(), CATEGORIES, labels=np.ones((40, 60), np.int32)),
    }[kind]
    saved = answer.save(tmp_path / name)
    assert Image.open(saved).size == (60, 40)
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]  # nothing temporary is left


def test_large_photos_are_drawn_small_on_request() -> None:
    assert _panoptic().draw(longest=30).shape == (20, 30, 3)
    assert _objects().draw(longest=30).shape == (20, 30, 3)
    assert not np.array_equal(_panoptic().draw(), _photo())


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, sentence in [
        (tmp_path / "x.tiff.zip", "picture's name"),
        (tmp_path / "file" / "x.png", "cannot be written"),
        (tmp_path / "file" / "folder", "cannot be written"),
    ]:
        with pytest.raises(UserError, match=sentence):
            _panoptic().save(path)


def test_encodings_are_plain_coco() -> None:
    objects = _objects()
    rows = json.loads(json.dumps(objects.as_coco(3)))
    assert np.array_equal(coco_mask.decode(rows[1]["segmentation"]).astype(bool), objects.mask(1))
    assert rows[0]["bbox"] == [10, 5, 20, 15]
    assert rows[0]["image_id"] == 3


def test_supervision_takes_objects_as_they_are() -> None:
    supervision = pytest.importorskip("supervision")
    objects = _objects()
    found = supervision.Detections(**objects.detections())
    assert len(found) == len(objects)
    assert np.array_equal(found.mask, objects.masks)
    assert found.data["class_name"].tolist() == objects.names
    assert found.area.tolist() == objects.areas.tolist()
    annotated = supervision.MaskAnnotator().annotate(objects.photo.copy(), found)
    assert annotated.shape == objects.photo.shape
    assert len(supervision.Detections(**objects.chosen([]).detections())) == 0


def test_notebooks_show_a_picture() -> None:
    objects = _objects()
    shown = np.asarray(Image.open(io.BytesIO(objects._repr_png_())))
    assert np.array_equal(shown, objects.draw())
