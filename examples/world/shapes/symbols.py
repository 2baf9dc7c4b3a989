"""Plain bodies, signs and writing."""

from __future__ import annotations

import numpy as np

from examples.world.shapes.outlines import HOLE, Draw, Part, disc, line, mirrored, poly, rect, shape, spiky

STROKES = {
    "A": ((-0.3, 0, 0, -1), (0, -1, 0.3, 0), (-0.17, -0.35, 0.17, -0.35)),
    "E": ((-0.25, 0, -0.25, -1), (-0.25, -1, 0.25, -1), (-0.25, -0.5, 0.15, -0.5), (-0.25, 0, 0.25, 0)),
    "H": ((-0.28, 0, -0.28, -1), (0.28, 0, 0.28, -1), (-0.28, -0.5, 0.28, -0.5)),
    "K": ((-0.25, 0, -0.25, -1), (-0.25, -0.45, 0.27, -1), (-0.08, -0.6, 0.3, 0)),
    "N": ((-0.28, 0, -0.28, -1), (-0.28, -1, 0.28, 0), (0.28, 0, 0.28, -1)),
    "T": ((0, 0, 0, -1), (-0.32, -1, 0.32, -1)),
    "W": ((-0.42, -1, -0.2, 0), (-0.2, 0, 0, -0.8), (0, -0.8, 0.2, 0), (0.2, 0, 0.42, -1)),
    "Z": ((-0.28, -1, 0.28, -1), (0.28, -1, -0.28, 0), (-0.28, 0, 0.28, 0)),
    "7": ((-0.28, -1, 0.28, -1), (0.28, -1, -0.05, 0)),
    "4": ((0.15, 0, 0.15, -1), (0.15, -1, -0.28, -0.35), (-0.28, -0.35, 0.32, -0.35)),
}


@shape
def ball(r: Draw) -> list[Part]:
    return [(disc(0, -0.5, 0.5, n=36), 1)]


@shape
def cube(r: Draw) -> list[Part]:
    t = r.uniform(0.12, 0.28)
    return [
        (poly(-0.5, -t, 0, 0, 0, -0.62, -0.5, -0.62 - t), 1),
        (poly(0, 0, 0.5, -t, 0.5, -0.62 - t, 0, -0.62), 0.72),
        (poly(-0.5, -0.62 - t, 0, -0.62, 0.5, -0.62 - t, 0, -0.62 - 2 * t), 1.25),
    ]


@shape
def pyramid(r: Draw) -> list[Part]:
    x, t = r.uniform(-0.2, 0.25), r.uniform(0.05, 0.2)
    return [(poly(-0.5, -t, x, 0, 0, -0.9), 1), (poly(x, 0, 0.5, -t, 0, -0.9), 0.7)]


@shape
def cone(r: Draw) -> list[Part]:
    t, s = r.uniform(0.02, 0.1), r.uniform(0.06, 0.12)
    parts: list[Part] = [(mirrored(t, -1, 0.36, -s, 0.1, 0), 1), (disc(0, -s, 0.36, s), 1)]
    if r.random() < 0.5:
        parts += [(rect(-0.5, -0.1, 0.5, 0), 0.9), (mirrored(0.14, -0.66, 0.22, -0.46), 1.5)]
    return parts


@shape
def ring(r: Draw) -> list[Part]:
    t, f = r.uniform(0.22, 0.4), r.uniform(0.6, 1)
    return [(disc(0, -0.5 * f, 0.5, 0.5 * f, 32), 1), (disc(0, -0.5 * f, t, t * f), HOLE)]


@shape
def gear(r: Draw) -> list[Part]:
    n = int(r.integers(6, 11))
    a = np.arange(4 * n) * np.pi / (2 * n)
    radius = np.where(np.arange(4 * n) % 4 < 2, 0.5, 0.38)
    return [
        (np.stack([radius * np.cos(a), -0.5 + radius * np.sin(a)], 1), 1),
        (disc(0, -0.5, r.uniform(0.1, 0.18)), HOLE),
    ]


@shape
def star(r: Draw) -> list[Part]:
    return [(spiky(int(r.choice([5, 5, 5, 6])), 0.52, r.uniform(0.19, 0.26)), 1)]


@shape
def heart(r: Draw) -> list[Part]:
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(np.stack([x / 33, -y / 33 - 0.5], 1), 1)]


@shape
def crescent(r: Draw) -> list[Part]:
    return [
        (disc(0, -0.5, 0.48, n=32), 1),
        (disc(r.uniform(0.16, 0.26), -0.5 - r.uniform(0, 0.1), 0.4), HOLE),
    ]


@shape
def arrow(r: Draw) -> list[Part]:
    w, h = r.uniform(0.06, 0.12), r.uniform(0.22, 0.34)
    return [
        (
            poly(
                -0.5,
                -0.5 - w,
                0.1,
                -0.5 - w,
                0.1,
                -0.5 - h,
                0.5,
                -0.5,
                0.1,
                -0.5 + h,
                0.1,
                -0.5 + w,
                -0.5,
                -0.5 + w,
            ),
            1,
        )
    ]


@shape
def cross(r: Draw) -> list[Part]:
    w = r.uniform(0.1, 0.19)
    return [(rect(-w, -1, w, 0), 1), (rect(-0.5, -0.5 - w, 0.5, -0.5 + w), 1)]


@shape
def triangle(r: Draw) -> list[Part]:
    parts: list[Part] = [(poly(-0.5, 0, 0.5, 0, r.uniform(-0.4, 0.4), -r.uniform(0.6, 0.95)), 1)]
    if r.random() < 0.25:
        parts.append((parts[0][0] * 0.5 + parts[0][0].mean(0) * 0.5, HOLE))
    return parts


@shape
def letter(r: Draw) -> list[Part]:
    width = r.uniform(0.08, 0.2)
    return [(line(width, *xy), 1) for xy in STROKES[str(r.choice(list(STROKES)))]]
