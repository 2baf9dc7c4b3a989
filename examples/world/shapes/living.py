"""What grows and what lives: fruit, plants, animals, people."""

from __future__ import annotations

import numpy as np

from examples.world.shapes.outlines import (
    Draw,
    Part,
    arc,
    blob,
    disc,
    line,
    mirrored,
    poly,
    rect,
    shape,
    spiky,
)


def animal(r: Draw, ears: str, tail: float) -> list[Part]:
    legs = [(rect(x, -0.25, x + 0.08, 0), 0.85) for x in (-0.3, -0.18, 0.1, 0.2)]
    body = [(disc(-0.04, -0.36, 0.32, 0.17), 1), (disc(0.3, -0.6, 0.18, 0.16), 1.03)]
    if ears == "pointed":
        head = [
            (poly(0.16, -0.68, 0.18, -0.9, 0.28, -0.74), 0.9),
            (poly(0.34, -0.74, 0.42, -0.9, 0.46, -0.66), 0.9),
        ]
    elif ears == "long":
        head = [(disc(0.22, -0.86, 0.05, 0.17), 0.9), (disc(0.34, -0.86, 0.05, 0.17), 0.95)]
    else:
        head = [(disc(0.5, -0.54, 0.1, 0.07), 0.9), (disc(0.16, -0.58, 0.07, 0.14), 0.7)]
    end = [(line(0.06, -0.32, -0.4, -0.45, -0.5, -0.45, -0.5 - tail), 0.9)]
    return [*end, *legs, *body, *head, (disc(0.34, -0.63, 0.025, n=8), 0.15)]


@shape
def apple(r: Draw) -> list[Part]:
    body = np.concatenate(
        [
            disc(-0.15, -0.4, 0.28, 0.38)[7:20],
            disc(0.15, -0.4, 0.28, 0.38)[20:],
            disc(0.15, -0.4, 0.28, 0.38)[:7],
        ]
    )
    return [(line(0.04, 0, -0.7, 0.03, -0.85, 0.1, -0.95), 0.4), (body, 1)]


@shape
def pear(r: Draw) -> list[Part]:
    return [
        (line(0.04, 0, -0.85, 0.03, -0.92, 0.08, -1), 0.4),
        (mirrored(0.06, -0.9, 0.14, -0.82, 0.17, -0.62, 0.3, -0.4, 0.33, -0.22, 0.24, -0.05, 0.05, 0), 1),
    ]


@shape
def banana(r: Draw) -> list[Part]:
    a = np.linspace(0.2, 2.9, 18)
    o = np.stack([0.5 * np.cos(a), -0.5 + 0.5 * np.sin(a)], 1)
    i = np.stack([0.42 * np.cos(a), -0.55 + 0.3 * np.sin(a)], 1)
    return [(np.concatenate([o, i[::-1]]), 1)]


@shape
def lemon(r: Draw) -> list[Part]:
    return [
        (
            poly(
                -0.5,
                -0.3,
                -0.36,
                -0.42,
                -0.2,
                -0.55,
                0.15,
                -0.57,
                0.36,
                -0.43,
                0.5,
                -0.32,
                0.38,
                -0.17,
                0.2,
                -0.05,
                -0.15,
                -0.03,
                -0.36,
                -0.18,
            ),
            1,
        )
    ]


@shape
def carrot(r: Draw) -> list[Part]:
    return [
        (spiky(5, 0.22, 0.06, 0, -0.86), 0.5),
        (mirrored(0.1, -0.8, 0.16, -0.72, 0.09, -0.3, 0.01, 0), 1),
    ]


@shape
def mushroom(r: Draw) -> list[Part]:
    a = np.linspace(np.pi, 2 * np.pi, 20)
    h, w = r.uniform(0.4, 0.6), r.uniform(0.07, 0.15)
    return [(mirrored(w, -h, w * 1.3, 0), 1.5), (np.stack([0.45 * np.cos(a), -h + 0.42 * np.sin(a)], 1), 1)]


@shape
def leaf(r: Draw) -> list[Part]:
    w = r.uniform(0.2, 0.38)
    return [
        (rect(-0.02, -0.2, 0.02, 0), 0.6),
        (mirrored(0, -1, w * 0.6, -0.85, w, -0.6, w * 0.8, -0.35, 0, -0.14), 1),
        (rect(-0.01, -0.9, 0.01, -0.14), 0.7),
    ]


@shape
def flower(r: Draw) -> list[Part]:
    n = int(r.integers(5, 9))
    parts: list[Part] = [(line(0.035, 0, -0.6, 0.02, -0.3, 0, 0), 0.45), (disc(0.1, -0.22, 0.1, 0.04), 0.5)]
    a = np.arange(n) * 2 * np.pi / n
    parts += [(disc(0.17 * np.cos(t), -0.73 + 0.17 * np.sin(t), 0.11, n=12), 1) for t in a]
    return [*parts, (disc(0, -0.73, 0.1), 1.4)]


@shape
def tree(r: Draw) -> list[Part]:
    w = r.uniform(0.04, 0.1)
    return [(mirrored(w * 0.7, -0.6, w, 0), 0.45), (blob(r, 0, -0.68, 0.4, 0.31, 0.1, 30), 1)]


@shape
def fir(r: Draw) -> list[Part]:
    n = int(r.integers(2, 5))
    parts: list[Part] = [(rect(-0.05, -0.2, 0.05, 0), 0.45)]
    for i in range(n):
        y = -0.15 - 0.85 * i / n
        parts.append(
            (
                poly(
                    -0.4 * (1 - i / (n + 1)),
                    y,
                    0.4 * (1 - i / (n + 1)),
                    y,
                    0,
                    max(y - 1.4 / n * 0.6 - 0.1, -1),
                ),
                1 + 0.05 * i,
            )
        )
    return parts


@shape
def palm(r: Draw) -> list[Part]:
    parts: list[Part] = [(line(0.06, 0.02, -0.8, 0.05, -0.5, 0, -0.25, -0.05, 0), 0.5)]
    for a in np.linspace(-0.3, np.pi + 0.3, 6):
        x, y = 0.45 * np.cos(a), -0.2 * np.sin(a)
        parts.append((line(0.07, 0.02, -0.8, 0.02 + x * 0.5, -0.85 + y, 0.02 + x, -0.75 + y * 0.6), 1))
    return parts


@shape
def cactus(r: Draw) -> list[Part]:
    w, a, b = r.uniform(0.08, 0.12), r.uniform(0.3, 0.55), r.uniform(0.35, 0.6)
    return [
        (np.concatenate([disc(0, -0.9, w)[13:], rect(-w, -0.9, w, 0)[2:]]), 1),
        (line(0.1, 0, -a, -0.25, -a, -0.28, -a - 0.1, -0.28, -a - 0.3), 0.95),
        (line(0.1, 0, -b, 0.22, -b, 0.26, -b - 0.1, 0.26, -b - 0.25), 0.95),
    ]


@shape
def fish(r: Draw) -> list[Part]:
    h = r.uniform(0.18, 0.3)
    return [
        (poly(-0.2, -0.4, -0.5, -0.4 - h, -0.42, -0.4, -0.5, -0.4 + h), 0.85),
        (poly(-0.05, -0.4 - h * 0.8, 0.12, -0.45 - h * 1.4, 0.15, -0.4 - h * 0.6), 0.8),
        (disc(0.1, -0.4, 0.38, h), 1),
        (disc(0.32, -0.45, 0.035, n=10), 0.2),
    ]


@shape
def bird(r: Draw) -> list[Part]:
    return [
        (line(0.02, -0.02, -0.2, -0.02, 0), 0.4),
        (line(0.02, 0.08, -0.2, 0.08, 0), 0.4),
        (poly(-0.2, -0.45, -0.5, -0.35, -0.45, -0.25, -0.15, -0.3), 0.8),
        (disc(0, -0.4, 0.28, 0.2), 1),
        (poly(0.36, -0.68, 0.5, -0.62, 0.36, -0.58), 1.5),
        (disc(0.24, -0.63, 0.15), 1.05),
        (disc(-0.06, -0.42, 0.17, 0.1), 0.75),
        (disc(0.28, -0.66, 0.025, n=8), 0.15),
    ]


@shape
def cat(r: Draw) -> list[Part]:
    if r.random() < 0.35:  # a face
        return [
            (poly(-0.42, -0.6, -0.38, -1, -0.08, -0.82), 0.95),
            (poly(0.42, -0.6, 0.38, -1, 0.08, -0.82), 0.95),
            (disc(0, -0.45, 0.45, 0.42), 1),
            (disc(-0.17, -0.52, 0.06, n=10), 0.2),
            (disc(0.17, -0.52, 0.06, n=10), 0.2),
            (poly(-0.05, -0.38, 0.05, -0.38, 0, -0.3), 1.4),
        ]
    return animal(r, "pointed", 0.3)


@shape
def dog(r: Draw) -> list[Part]:
    return animal(r, "floppy", 0.12)


@shape
def rabbit(r: Draw) -> list[Part]:
    return animal(r, "long", 0.0)


@shape
def snake(r: Draw) -> list[Part]:
    x = np.linspace(-0.45, 0.4, 22)
    f, p = r.uniform(7, 13), r.uniform(0, 6)
    y = -0.3 + 0.16 * np.sin(f * x + p)
    w = r.uniform(0.06, 0.11)
    return [(line(w, *np.stack([x, y], 1).ravel()), 1), (disc(x[-1], y[-1], w * 0.9, w * 0.7), 1.05)]


@shape
def snail(r: Draw) -> list[Part]:
    return [
        (poly(-0.5, 0, 0.4, 0, 0.5, -0.1, 0.48, -0.32, 0.36, -0.32, 0.3, -0.12, -0.4, -0.08), 1.3),
        (line(0.02, 0.42, -0.3, 0.5, -0.48), 1.1),
        (disc(0, -0.36, 0.32), 1),
        (arc(0.05, 0, -0.36, 0.18, 0.18, 0, 5), 0.6),
    ]


@shape
def butterfly(r: Draw) -> list[Part]:
    parts: list[Part] = []
    for s in (-1, 1):
        parts += [(disc(s * 0.26, -0.62, 0.24, 0.26), 1), (disc(s * 0.2, -0.26, 0.17, 0.2), 0.9)]
        parts += [(disc(s * 0.28, -0.62, 0.09), 1.5), (line(0.015, s * 0.02, -0.75, s * 0.12, -0.98), 0.3)]
    return [*parts, (disc(0, -0.5, 0.04, 0.3), 0.3)]


@shape
def spider(r: Draw) -> list[Part]:
    legs = [
        (line(0.025, 0, -0.4, s * 0.3, -0.4 - d, s * 0.5, -0.4 - d * 0.3 + 0.1), 0.8)
        for s in (-1, 1)
        for d in (-0.3, -0.1, 0.12, 0.35)
    ]
    return [*legs, (disc(0, -0.36, 0.2, 0.18), 1), (disc(0, -0.58, 0.11), 0.9)]


@shape
def person(r: Draw) -> list[Part]:
    a, b = r.uniform(-0.2, 0.25, 2)
    g = r.uniform(0.03, 0.12)
    skin = r.uniform(1.1, 1.6)
    return [
        (line(0.1, -0.05, -0.5, -0.06 - g, 0), 0.55),
        (line(0.1, 0.05, -0.5, 0.06 + g, 0), 0.55),
        (line(0.075, -0.12, -0.78, -0.25, -0.6 - a * 0.3, -0.28, -0.45 - a), 0.95),
        (line(0.075, 0.12, -0.78, 0.25, -0.6 - b * 0.3, 0.28, -0.45 - b), 0.95),
        (mirrored(0.13, -0.82, 0.15, -0.75, 0.11, -0.45), 1),
        (disc(0, -0.91, 0.08, 0.09), skin),
    ]


@shape
def stone(r: Draw) -> list[Part]:
    return [(blob(r, 0, -0.33, 0.46, 0.32, 0.16), 1)]
