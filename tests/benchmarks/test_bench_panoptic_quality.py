"""Panoptic quality from id maps in memory, beside panopticapi reading PNGs: CPU time of both, one process.

Real photographs' panoptics at 640×480. panopticapi's share is its single-core routine, without the JSON files
and worker processes that `pq_compute` adds. (Its `np.unique` is several times slower before numpy 2.3.)
"""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from panopticapi.evaluation import pq_compute_single_core
from panopticapi.utils import id2rgb, rgb2id
from PIL import Image

from seem_train.metrics.panoptic import PanopticQuality

HEIGHT, WIDTH = 480, 640


def _real_panoptics(sample: Path) -> list[tuple[np.ndarray, list[dict[str, Any]]]]:
    panoptics = []
    for row in json.loads((sample / "panoptic_examples.json").read_text())["annotations"]:
        png = np.array(Image.open(sample / "panoptic_examples" / row["file_name"]))
        id_map = rgb2id(cv2.resize(png, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST))
        areas = dict(zip(*(values.tolist() for values in np.unique(id_map, return_counts=True)), strict=True))
        segments = [{**s, "area": areas[s["id"]]} for s in row["segments_info"] if s["id"] in areas]
        panoptics.append((id_map, segments))
    return panoptics


def _prediction(
    id_map: np.ndarray, segments: list[dict[str, Any]], shift: int
) -> tuple[np.ndarray, list[Any]]:
    """The truth shifted, its segments numbered from 1 as `postprocess.panoptic` does."""
    prediction = np.zeros(id_map.shape, np.int32)
    shifted = np.roll(id_map, shift, axis=1)
    for number, segment in enumerate(segments, start=1):
        prediction[shifted == segment["id"]] = number
    return prediction, [{"id": n, "category_id": s["category_id"]} for n, s in enumerate(segments, start=1)]


def _cpu_seconds(call: Callable[[], object], rounds: int = 7) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.bench
def test_at_least_fifteen_times_less_cpu_than_panopticapi(tmp_path: Path, shared_real: Path) -> None:
    sample = shared_real / "panopticapi_sample"
    categories = json.loads((sample / "panoptic_coco_categories.json").read_text())
    images = [
        (*_prediction(id_map, segments, shift), id_map, segments)
        for shift in (0, 2, 5, 9, 20)
        for id_map, segments in _real_panoptics(sample)
    ]
    pairs = []
    for number, (pred_map, pred, gt_map, gt) in enumerate(images):
        for kind, id_map in (("gt", gt_map), ("pred", pred_map)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(id2rgb(id_map)).save(tmp_path / kind / f"{number}.png")
        record = {"file_name": f"{number}.png", "image_id": number}
        pairs.append(({**record, "segments_info": gt}, {**record, "segments_info": pred}))
    by_id = {category["id"]: category for category in categories}

    def theirs(pairs: list[Any]) -> float:
        with contextlib.redirect_stdout(io.StringIO()):
            stat = pq_compute_single_core(0, pairs, str(tmp_path / "gt"), str(tmp_path / "pred"), by_id)
        return stat.pq_average(by_id, None)[0]["pq"]

    quality = PanopticQuality(categories)
    for image in images:
        quality.update(*image)
    assert quality.result().all.pq == pytest.approx(theirs(pairs), abs=1e-9)
    their_seconds = sum(_cpu_seconds(partial(theirs, [pair])) for pair in pairs)
    our_seconds = sum(_cpu_seconds(partial(quality.update, *image)) for image in images)
    ratio = their_seconds / our_seconds
    print(f"\npanoptic quality, 640×480: {ratio:.1f}× less CPU an image than panopticapi")
    assert ratio >= 15
