"""Mask AP is pycocotools' own, from annotations in memory."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seem_train.metrics.instance import InstanceAP, encode_masks

CATEGORIES = [{"id": 4}, {"id": 9}]
Image = dict[str, Any]


def _mask(rng: np.random.Generator, size: int = 120) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    top, left = rng.integers(0, size - 20, 2)
    mask[top : top + rng.integers(4, 110), left : left + rng.integers(4, 110)] = True
    return mask


def _rle(mask: np.ndarray) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def _images(rng: np.random.Generator, count: int) -> list[Image]:
    """Truth, and predictions that are truth nudged, in part mislabelled, with strangers among them."""
    images = []
    for image_id in range(count):
        truth = [_mask(rng) for _ in range(int(rng.integers(0, 5)))]
        labels = [int(rng.choice([4, 9])) for _ in truth]
        found = [np.roll(mask, rng.integers(0, 6), axis=1) for mask in truth] + [_mask(rng)]
        wrong = [label if rng.random() < 0.8 else 13 - label for label in labels] + [4]
        images.append(
            {
                "image_id": image_id,
                "scores": rng.random(len(found)),
                "category_ids": np.array(wrong),
                "masks": encode_masks(np.stack(found)),
                "size": (120, 120),
                "gt_annotations": [
                    {
                        "category_id": label,
                        "segmentation": _rle(mask),
                        "area": int(mask.sum()),
                        "iscrowd": int(rng.random() < 0.1),
                    }
                    for label, mask in zip(labels, truth, strict=True)
                ],
            }
        )
    return images


def _by_files(images: list[Image], folder: Path) -> np.ndarray:
    """The usual way: a ground-truth file, a result file, COCOeval and its summary."""
    truth = {
        "images": [{"id": i["image_id"], "height": 120, "width": 120} for i in images],
        "categories": [{"id": 4, "name": "a"}, {"id": 9, "name": "b"}],
        "annotations": [{**a, "image_id": i["image_id"]} for i in images for a in i["gt_annotations"]],
    }
    for number, annotation in enumerate(truth["annotations"], start=1):
        annotation["id"] = number
    found = [
        {
            "image_id": i["image_id"],
            "category_id": int(c),
            "score": float(s),
            "segmentation": {**m, "counts": m["counts"].decode()},
        }
        for i in images
        for s, c, m in zip(i["scores"], i["category_ids"], i["masks"], strict=True)
    ]
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "found.json").write_text(json.dumps(found))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "gt.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(folder / "found.json")), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_what_pycocotools_says_of_files(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    images = _images(np.random.default_rng(seed), 8)
    metric = InstanceAP(CATEGORIES)
    for image in images:
        metric.update(**image)
    result = metric.result()
    ours = [result.ap, result.ap50, result.ap75, result.ap_small, result.ap_medium, result.ap_large]
    assert capsys.readouterr().out == ""
    assert ours == pytest.approx(_by_files(images, tmp_path)[:6].tolist(), abs=1e-12)
    assert result.ap == pytest.approx(np.mean(list(result.per_class.values())))
    assert 0.2 < result.ap50 < 1


def test_processes_and_order_change_nothing() -> None:
    images = _images(np.random.default_rng(7), 6)
    whole, one, two = (InstanceAP(CATEGORIES) for _ in range(3))
    for image in images:
        whole.update(**image)
        (one if image["image_id"] % 2 else two).update(**image)
    one.merge(two)
    assert one.result() == whole.result()


NOTHING = {"scores": np.zeros(0), "category_ids": np.zeros(0, int), "masks": [], "size": (30, 30)}


def test_nothing_found_is_zero_and_nothing_to_find_is_minus_one() -> None:
    mask = np.zeros((30, 30), bool)
    mask[3:12, 3:12] = True
    metric = InstanceAP(CATEGORIES)
    truth = [{"category_id": 4, "segmentation": _rle(mask), "area": 81, "iscrowd": 0}]
    metric.update(1, **NOTHING, gt_annotations=truth)
    result = metric.result()
    assert (result.ap, result.ap_small, result.ap_large) == (0, 0, -1)
    assert result.per_class == {4: 0, 9: -1}


def test_images_without_ground_truth_and_no_images_are_defined() -> None:
    metric = InstanceAP(CATEGORIES)
    assert metric.result().ap == -1
    metric.update(1, **NOTHING, gt_annotations=[])
    stranger = {
        "scores": np.ones(1),
        "category_ids": np.array([9]),
        "masks": encode_masks(np.ones((1, 30, 30), bool)),
        "size": (30, 30),
    }
    metric.update(2, **stranger, gt_annotations=[])
    result = metric.result()
    assert (result.ap, result.per_class, result.images) == (-1, {4: -1, 9: -1}, 2)
    json.dumps(asdict(result), allow_nan=False)


def test_polygons_serve_as_ground_truth_too() -> None:
    metric = InstanceAP(CATEGORIES)
    square = np.zeros((30, 30), bool)
    square[5:20, 5:20] = True
    truth = [{"category_id": 9, "segmentation": [[5, 5, 20, 5, 20, 20, 5, 20]], "area": 225, "iscrowd": 0}]
    metric.update(3, np.array([0.9]), np.array([9]), encode_masks(square[None]), (30, 30), truth)
    assert metric.result().ap50 == pytest.approx(1)


def test_an_image_given_twice_is_refused() -> None:
    metric, other = InstanceAP(CATEGORIES), InstanceAP(CATEGORIES)
    metric.update(1, **NOTHING, gt_annotations=[])
    other.update(1, **NOTHING, gt_annotations=[])
    with pytest.raises(ValueError, match="twice"):
        metric.update(1, **NOTHING, gt_annotations=[])
    with pytest.raises(ValueError, match="twice"):
        metric.merge(other)
