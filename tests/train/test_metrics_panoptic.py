"""Panoptic quality equals panopticapi's to 1e-9, and is defined where panopticapi is not."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from panopticapi.evaluation import pq_compute_single_core
from panopticapi.utils import id2rgb, rgb2id
from PIL import Image

from seem_train.metrics.panoptic import PanopticQuality, PanopticScores

Segments = list[dict[str, Any]]
CATEGORIES = [{"id": id_, "isthing": isthing} for id_, isthing in ((7, 1), (3, 0), (40, 1), (12, 0))]


def panopticapi_scores(
    images: Sequence[tuple[np.ndarray, Segments, np.ndarray, Segments]],
    categories: Sequence[Mapping[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """What panopticapi says, from PNGs; categories of nothing left out of the groups it cannot average."""
    pairs = []
    for number, (pred_map, pred, gt_map, gt) in enumerate(images):
        for kind, id_map in (("gt", gt_map), ("pred", pred_map)):
            (folder / kind).mkdir(exist_ok=True)
            Image.fromarray(id2rgb(id_map.astype(np.int64))).save(folder / kind / f"{number}.png")
        record = {"file_name": f"{number}.png", "image_id": number}
        pairs.append(({**record, "segments_info": gt}, {**record, "segments_info": [dict(s) for s in pred]}))
    by_id = {category["id"]: category for category in categories}
    with contextlib.redirect_stdout(io.StringIO()):
        stat = pq_compute_single_core(0, pairs, str(folder / "gt"), str(folder / "pred"), by_id)
    scores: dict[str, Any] = {}
    for name, isthing in (("all", None), ("things", True), ("stuff", False)):
        with contextlib.suppress(ZeroDivisionError):
            scores[name], per_class = stat.pq_average(by_id, isthing)
            if name == "all":
                scores["per_class"] = per_class
    return scores


def assert_equal(ours: PanopticScores, theirs: Mapping[str, Any]) -> None:
    for name in ("all", "things", "stuff"):
        score = getattr(ours, name)
        if name not in theirs:
            assert (score.pq, score.sq, score.rq, score.categories) == (0, 0, 0, 0)
            continue
        expected = theirs[name]
        got = {"pq": score.pq, "sq": score.sq, "rq": score.rq, "n": score.categories}
        assert got == pytest.approx(expected, abs=1e-9), name
    for id_, expected in theirs.get("per_class", {}).items():
        score = ours.per_class[id_]
        assert {"pq": score.pq, "sq": score.sq, "rq": score.rq} == pytest.approx(expected, abs=1e-9)


def random_panoptic(
    rng: np.random.Generator, shape: tuple[int, int], crowds: bool
) -> tuple[np.ndarray, Segments]:
    """Rectangles over one another, some of them void, some ids in no list, some areas as files have them."""
    id_map = np.zeros(shape, np.int64)
    ids = rng.choice(
        np.array([*range(1, 40), 2**24 - 1, 70_000]), size=int(rng.integers(0, 7)), replace=False
    )
    for id_ in [*ids.tolist(), 0]:
        top, left = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        id_map[top : top + rng.integers(1, shape[0] + 1), left : left + rng.integers(1, shape[1] + 1)] = id_
    present = [id_ for id_ in np.unique(id_map).tolist() if id_]
    segments = [
        {
            "id": id_,
            "category_id": int(rng.choice([7, 3, 40])),
            "area": int((id_map == id_).sum()),
            "iscrowd": int(crowds and rng.random() < 0.3),
        }
        for id_ in present
    ]
    return id_map, segments


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), agree=st.booleans())
def test_random_panoptics_score_as_panopticapi_says(seed: int, agree: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    ours, images = PanopticQuality(CATEGORIES), []
    for _ in range(int(rng.integers(1, 4))):
        shape = (int(rng.integers(1, 13)), int(rng.integers(1, 13)))
        gt_map, gt = random_panoptic(rng, shape, crowds=True)
        pred_map, pred = random_panoptic(rng, shape, crowds=False)
        if agree:  # the truth with a shifted border, so that most segments match
            pred_map = np.roll(gt_map, 1, axis=1)
            pred = [{"id": s["id"], "category_id": s["category_id"]} for s in gt]
        if gt and rng.random() < 0.3:
            gt = gt[1:]  # pixels of a segment that no list names
        images.append((pred_map, pred, gt_map, gt))
        ours.update(pred_map, pred, gt_map, gt)
    assert_equal(ours.result(), panopticapi_scores(images, CATEGORIES, tmp_path))


def real_panoptics(folder: Path) -> tuple[list[tuple[np.ndarray, Segments]], list[dict[str, Any]]]:
    sample = folder / "panopticapi_sample"
    data = json.loads((sample / "panoptic_examples.json").read_text())
    categories = json.loads((sample / "panoptic_coco_categories.json").read_text())
    panoptics = [
        (
            rgb2id(np.array(Image.open(sample / "panoptic_examples" / row["file_name"]), np.uint32)),
            row["segments_info"],
        )
        for row in data["annotations"]
    ]
    return panoptics, categories


def test_real_photos_score_as_panopticapi_says(shared_real: Path, tmp_path: Path) -> None:
    panoptics, categories = real_panoptics(shared_real)
    ours, images = PanopticQuality(categories), []
    for shift in (0, 3, 40):  # from perfect to poor
        for gt_map, gt in panoptics:
            pred_map = np.roll(gt_map, shift, axis=(0, 1))
            pred = [{"id": s["id"], "category_id": s["category_id"]} for s in gt]
            images.append((pred_map, pred, gt_map, gt))
            ours.update(pred_map, pred, gt_map, gt)
    result = ours.result()
    assert_equal(result, panopticapi_scores(images, categories, tmp_path))
    assert 0.2 < result.all.pq < 0.9
    assert any(segment["iscrowd"] for _, gt in panoptics for segment in gt)


def test_a_perfect_prediction_scores_one(shared_real: Path) -> None:
    panoptics, categories = real_panoptics(shared_real)
    quality = PanopticQuality(categories)
    for id_map, segments in panoptics:
        solid = [s for s in segments if not s["iscrowd"]]
        shown = np.where(np.isin(id_map, [s["id"] for s in solid]), id_map, 0)
        quality.update(shown, solid, id_map, segments)
    score = quality.result().all
    assert (score.pq, score.sq, score.rq) == pytest.approx((1, 1, 1), abs=1e-9)


def test_any_split_over_processes_gives_the_same_digits() -> None:
    rng = np.random.default_rng(5)
    images = [(*random_panoptic(rng, (9, 9), False), *random_panoptic(rng, (9, 9), True)) for _ in range(12)]
    whole = PanopticQuality(CATEGORIES)
    parts = [PanopticQuality(CATEGORIES) for _ in range(3)]
    for number, image in enumerate(images):
        whole.update(*image)
        parts[number % 3].update(*image)
    parts[2].merge(parts[0])
    parts[2].merge(parts[1])
    assert parts[2].result() == whole.result()


def _segments(*rows: tuple[int, int]) -> Segments:
    return [{"id": id_, "category_id": category} for id_, category in rows]


def test_an_empty_prediction_misses_everything() -> None:
    quality = PanopticQuality(CATEGORIES)
    quality.update(np.zeros((4, 4), int), [], np.ones((4, 4), int), _segments((1, 7)))
    result = quality.result()
    assert (result.all.pq, result.all.categories) == (0, 1)
    assert quality.counts[:, 0].tolist() == [0, 0, 0, 1]


def test_an_image_without_ground_truth_counts_nothing_for_or_against() -> None:
    quality = PanopticQuality(CATEGORIES)
    quality.update(np.ones((4, 4), int), _segments((1, 7)), np.zeros((4, 4), int), [])
    assert not quality.counts.any()  # all of it lies on void
    assert quality.result().all.categories == 0


def test_no_images_have_a_defined_result() -> None:
    result = PanopticQuality(CATEGORIES).result()
    assert (result.all.pq, result.all.categories, result.images) == (0, 0, 0)
    assert set(result.per_class) == {7, 3, 40, 12}


def test_the_result_is_plain_data() -> None:
    json.dumps(asdict(PanopticQuality(CATEGORIES).result()), allow_nan=False)


def test_one_image_can_be_scored_by_itself() -> None:
    quality = PanopticQuality(CATEGORIES)
    id_map = np.ones((4, 4), int)
    added = quality.update(id_map, _segments((1, 7)), id_map, _segments((1, 7)))
    quality.update(id_map * 0, [], id_map, _segments((1, 7)))
    assert quality.quality(added).pq == 1
    assert quality.result().all.pq == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("pred_map", "segments", "complaint"),
    [
        (np.full((2, 2), 5), [], "not listed: \\[5\\]"),
        (np.zeros((2, 2), int), _segments((1, 7)), "does not hold: \\[1\\]"),
        (np.ones((2, 2), int), _segments((1, 99)), "unknown categories: \\[99\\]"),
        (np.ones((2, 3), int), _segments((1, 7)), "different sizes"),
    ],
)
def test_a_prediction_that_contradicts_itself_is_refused(
    pred_map: np.ndarray, segments: Segments, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        PanopticQuality(CATEGORIES).update(pred_map, segments, np.zeros((2, 2), int), [])
