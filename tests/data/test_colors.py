"""Colour names are those that people use."""

from __future__ import annotations

import numpy as np
import pytest

from seem_data.drawing.runs import stretches_of
from seem_data.sentences.colors import NAMES, _name_table, name_counts, nearest_names


def name_of(rgb: tuple[int, int, int]) -> str:
    pixels = np.full((8, 8, 3), rgb, np.uint8)
    return NAMES[int(name_counts(stretches_of(np.ones((8, 8), np.uint8)), 1, pixels)[0].argmax())]


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((255, 0, 0), "red"),
        ((178, 34, 34), "red"),
        ((255, 165, 0), "orange"),
        ((255, 215, 0), "yellow"),
        ((0, 128, 0), "green"),
        ((144, 190, 109), "green"),
        ((0, 0, 139), "blue"),
        ((135, 206, 235), "blue"),
        ((128, 0, 128), "purple"),
        ((255, 182, 193), "pink"),
        ((139, 69, 19), "brown"),
        ((128, 128, 128), "gray"),
        ((10, 10, 10), "black"),
        ((252, 252, 250), "white"),
    ],
)
def test_common_colours(rgb, name):
    assert name_of(rgb) == name


def test_pixels_are_counted_per_segment_and_void_is_not():
    labels = np.array([[0, 0, 1, 1], [2, 2, 2, 2]], np.uint8)
    pixels = np.zeros((2, 4, 3), np.uint8)
    pixels[0, 2] = (255, 0, 0)
    pixels[0, 3] = pixels[1, :3] = (0, 0, 255)
    counts = name_counts(stretches_of(labels.T), 2, pixels)
    assert [{NAMES[k]: int(n) for k, n in enumerate(row) if n} for row in counts] == [
        {"red": 1, "blue": 1},
        {"blue": 3, "black": 1},
    ]


def test_a_photo_of_another_size_is_laid_over_the_map():
    labels = np.repeat(np.array([[1, 2]], np.uint16), 1, axis=0)
    pixels = np.zeros((1000, 2000, 3), np.uint8)
    pixels[:, :1000] = (255, 255, 0)
    counts = name_counts(stretches_of(labels.T), 2, pixels)
    assert counts[0].argmax() == NAMES.index("yellow")
    assert counts[1].argmax() == NAMES.index("black")
    assert (counts > 0).sum() == 2


def test_of_a_photo_of_a_single_line_no_pixel_may_be_looked_at():
    counts = name_counts(stretches_of(np.ones((400, 1), np.uint8)), 1, np.zeros((1, 400, 3), np.uint8))
    assert counts.shape == (1, len(NAMES))
    assert not counts.any()


def test_the_table_of_names_is_the_one_that_the_shades_make() -> None:
    assert (_name_table() == nearest_names()).all(), "run python -m seem_data.sentences.colors"
