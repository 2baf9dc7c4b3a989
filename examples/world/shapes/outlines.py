"""Outlines of the world's things, drawn anew each time: x from −0.5 to 0.5, y from −1 (top) to 0 (foot).

A shape is a list of parts, far to near. Each is a polygon [N, 2] with a tone (the part's brightness), or a
hole in what lies under it. Widths, bends and proportions come from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Part = tuple[Points, float]
Draw = np.random.Generator
HOLE = 0.0  #: the tone of a hole
Shape = Callable[[Draw], list[Part]]
SHAPES: dict[str, Shape] = {}  #: by the name of the thing, filled by `shape`


def shape(draw: Shape) -> Shape:
    """Enter a function that draws a thing under its own name."""
    SHAPES[draw.__name__] = draw
    return draw


def disc(cx: float, cy: float, rx: float, ry: float | None = None, n: int = 26) -> Points:
    a = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.stack([cx + rx * np.cos(a), cy + (rx if ry is None else ry) * np.sin(a)], 1)


def rect(x0: float, y0: float, x1: float, y1: float) -> Points:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def poly(*xy: float) -> Points:
    return np.array(xy, float).reshape(-1, 2)


def mirrored(*xy: float) -> Points:
    """A half outline from top to foot, and its mirror image."""
    right = poly(*xy)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def line(width: float, *xy: float) -> Points:
    """A bent line as thick as `width`."""
    p = poly(*xy)
    d = np.gradient(p, axis=0)
    n = np.stack([-d[:, 1], d[:, 0]], 1) / np.maximum(np.hypot(*d.T), 1e-6)[:, None] * width / 2
    return np.concatenate([p + n, (p - n)[::-1]])


def arc(width: float, cx: float, cy: float, rx: float, ry: float, a0: float, a1: float) -> Points:
    a = np.linspace(a0, a1, 16)
    return line(width, *np.stack([cx + rx * np.cos(a), cy + ry * np.sin(a)], 1).ravel())


def spiky(n: int, outer: float, inner: float, cx: float = 0, cy: float = -0.5, turn: float = 0.0) -> Points:
    a = turn + np.arange(2 * n) * np.pi / n - np.pi / 2
    r = np.where(np.arange(2 * n) % 2, inner, outer)
    return np.stack([cx + r * np.cos(a), cy + r * np.sin(a)], 1)


def blob(r: Draw, cx: float, cy: float, rx: float, ry: float, rough: float = 0.12, n: int = 24) -> Points:
    a = np.linspace(0, 2 * np.pi, n, endpoint=False)
    k = 1 + sum(r.normal(0, rough / f) * np.cos(f * a + r.uniform(0, 6.28)) for f in (2, 3, 5))
    return np.stack([cx + rx * k * np.cos(a), cy + ry * k * np.sin(a)], 1)
