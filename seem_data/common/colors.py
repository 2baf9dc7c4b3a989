"""Colours as far apart as the eye sees them."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

import numpy as np

Color = tuple[int, int, int]  #: red, green, blue, 0 to 255

_GRID = 12  #: levels per channel among which colours are chosen


def as_hex(color: Color) -> str:
    """``#1a2b3c``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def distinct_colors(count: int, taken: Iterable[Color] = ()) -> list[Color]:
    """Colours as far apart as the eye sees them; the first ones do not depend on the count.

    Each next colour is the one farthest, in CIELAB, from all before it, from black and from white.
    """
    grid = _GRID
    while grid**3 < 2 * count + 64:
        grid *= 2
    levels = np.linspace(0, 255, grid).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = to_lab(candidates)
    start = tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(0.97, 0.9, 0.86))
    colors: list[Color] = []
    avoided = [(0, 0, 0), (255, 255, 255), *taken]
    distance = np.full(len(candidates), np.inf)
    for color in avoided:
        distance = np.minimum(distance, _distance(lab, color))
    for number in range(count):
        red, green, blue = start if number == 0 and start not in avoided else candidates[distance.argmax()]
        color = (int(red), int(green), int(blue))
        colors.append(color)
        distance = np.minimum(distance, _distance(lab, color))
    return colors


def to_lab(colors: np.ndarray) -> np.ndarray:
    """RGB colours [N, 3] of 0 to 255 as CIELAB [N, 3] float32."""
    import cv2  # late: the type of a colour is wanted where OpenCV is not

    return cv2.cvtColor((colors.reshape(1, -1, 3) / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]


def _distance(lab: np.ndarray, color: Color) -> np.ndarray:
    return np.linalg.norm(lab - to_lab(np.array([color])), axis=1)
