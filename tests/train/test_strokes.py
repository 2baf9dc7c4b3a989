"""Simulated users: what their strokes may and may not look like."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seem_train.config import DataConfig
from seem_train.data.strokes import (
    KINDS,
    MOST_POINTS,
    ORIGINAL,
    draw_stroke,
    draw_strokes,
    smooth_outline,
)


def ellipse(side: int, seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    canvas = np.zeros((side, side), np.uint8)
    centre = tuple(int(v) for v in rng.integers(0, side, 2))
    axes = tuple(int(v) for v in rng.integers(3, max(side // 2, 4), 2))
    cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return canvas.astype(bool)


@settings(max_examples=150, deadline=None)
@given(kind=st.sampled_from(sorted(KINDS)), side=st.integers(16, 200), seed=st.integers(0, 10_000))
def test_a_stroke_is_never_empty_and_repeats(kind: str, side: int, seed: int) -> None:
    mask = ellipse(side, seed)
    stroke = draw_stroke(mask, kind, np.random.default_rng(seed))
    assert stroke.shape == mask.shape
    assert stroke.dtype == bool
    assert stroke.any()
    assert np.array_equal(stroke, draw_stroke(mask, kind, np.random.default_rng(seed)))
    if kind in ("point", "scribble", "circle"):
        assert not (stroke & ~mask).any()
    if kind == "point":
        assert stroke.sum() <= MOST_POINTS


def test_kinds_differ_in_size_as_in_the_original() -> None:
    """Means of 11, 340, 1245 and 4669 pixels were measured of the original (`model/ORIGINAL.md`, 5)."""
    y, x = np.mgrid[:1024, :1024]
    mask = ((x - 500) / 250) ** 2 + ((y - 500) / 180) ** 2 < 1
    rng = np.random.default_rng(0)
    mean = {kind: np.mean([draw_stroke(mask, kind, rng).sum() for _ in range(80)]) for kind in KINDS}
    assert 8 < mean["point"] < 13
    assert 200 < mean["polygon"] < 1200
    assert 800 < mean["scribble"] < 3500
    assert 3000 < mean["circle"] < 14_000
    assert mean["box"] == pytest.approx(500 * 360, rel=0.1)


def test_brushes_shrink_with_the_image() -> None:
    rng = np.random.default_rng(0)
    share = [
        np.mean([draw_stroke(np.ones((side, side), bool), "circle", rng).mean() for _ in range(60)])
        for side in (1024, 256)
    ]
    assert share[1] == pytest.approx(share[0], rel=0.5)


def test_a_box_surrounds_its_object_up_to_a_tenth() -> None:
    mask = np.zeros((100, 100), bool)
    mask[20:60, 30:80] = True
    for seed in range(50):
        rows, columns = np.nonzero(draw_stroke(mask, "box", np.random.default_rng(seed)))
        for found, true, size in (
            (rows.min(), 20, 40),
            (rows.max() + 1, 60, 40),
            (columns.min(), 30, 50),
            (columns.max() + 1, 80, 50),
        ):
            assert abs(found - true) <= 0.1 * size + 0.5


def test_an_outline_goes_through_its_points_and_closes() -> None:
    points = np.array([[10.0, 10], [50, 12], [48, 60], [8, 44]])
    curve = smooth_outline(points)
    for point in points:
        assert np.hypot(*(curve - point).T).min() < 1e-9
    assert np.hypot(*np.diff(np.vstack([curve, curve[:1]]), axis=0).T).max() < 5
    assert smooth_outline(points[:1]).round(6).tolist() == [[10.0, 10.0]] * 30


def test_by_default_the_four_kinds_of_the_original_for_one_object() -> None:
    assert DataConfig().prompts == 1
    assert set(ORIGINAL) == {"point", "polygon", "scribble", "circle"} < set(KINDS)


def test_objects_are_different_large_enough_and_at_most_k() -> None:
    ids = np.zeros((40, 40), np.int32)
    ids[:10], ids[10:20], ids[20:30] = 1, 2, 3
    ids[35, :9] = 4  # nine pixels: too small
    for seed in range(30):
        chosen, strokes = draw_strokes(ids, np.arange(1, 6), 3, np.random.default_rng(seed))
        assert sorted(chosen) == [1, 2, 3]
        assert strokes.shape == (3, 40, 40)
        few, _ = draw_strokes(ids, np.arange(1, 6), 2, np.random.default_rng(seed))
        assert len(set(few.tolist())) == 2


@pytest.mark.parametrize("places", [np.arange(0), np.array([4])])
def test_an_image_without_an_object_gets_no_stroke(places: NDArray[np.int64]) -> None:
    ids = np.zeros((20, 30), np.int32)
    ids[0, :9] = 4
    chosen, strokes = draw_strokes(ids, places, 1, np.random.default_rng(0))
    assert len(chosen) == 0
    assert strokes.shape == (0, 20, 30)
