"""Things of a household: dishes, furniture, tools, clothes."""

from __future__ import annotations

import numpy as np

from examples.world.shapes.outlines import HOLE, Draw, Part, arc, disc, line, mirrored, poly, rect, shape


@shape
def box(r: Draw) -> list[Part]:
    h, d = r.uniform(0.4, 0.95), r.uniform(0, 0.22)
    if d < 0.06:
        t = r.uniform(-0.1, 0.1)
        return [(poly(-0.5, 0, 0.5, -abs(t), 0.5 + t, -h, -0.5 + t, -h + abs(t)), 1)]
    return [
        (rect(-0.5, -h, 0.5 - d, 0), 1),
        (poly(-0.5, -h, -0.5 + d, -h - d * 0.6, 0.5, -h - d * 0.6, 0.5 - d, -h), 1.2),
        (poly(0.5 - d, -h, 0.5, -h - d * 0.6, 0.5, -d * 0.6, 0.5 - d, 0), 0.75),
    ]


@shape
def mug(r: Draw) -> list[Part]:
    w, h, e, b = r.uniform(0.28, 0.38), r.uniform(0.62, 0.95), r.uniform(0.05, 0.12), r.uniform(0.8, 1)
    handle = arc(r.uniform(0.07, 0.12), w - 0.02, -h * 0.5, 0.2, h * 0.3, -1.57, 1.57)
    body = mirrored(w, -h, w * b, -e)
    return [(handle, 0.9), (body, 1), (disc(0, -e, w * b, e), 1), (disc(0, -h, w, e), r.uniform(0.6, 1.3))]


@shape
def plate(r: Draw) -> list[Part]:
    t = r.uniform(0.12, 0.4)
    return [(disc(0, -t, 0.5, t, 36), 1), (disc(0, -t, 0.32, t * 0.62), r.uniform(0.85, 1.15))]


@shape
def bottle(r: Draw) -> list[Part]:
    w, n, s = r.uniform(0.16, 0.24), r.uniform(0.06, 0.1), r.uniform(0.55, 0.7)
    parts: list[Part] = [(mirrored(n, -1, n, -s - 0.1, w, -s + 0.08, w, -0.02), 1)]
    if r.random() < 0.4:
        parts.append((rect(-n - 0.01, -1.04, n + 0.01, -0.94), 0.6))
    if r.random() < 0.3:
        parts.append((rect(-w, -0.45, w, -0.2), 1.4))
    return parts


@shape
def bowl(r: Draw) -> list[Part]:
    h, e = r.uniform(0.34, 0.55), r.uniform(0.05, 0.14)
    a = np.linspace(0, np.pi, 20)
    return [(np.stack([0.5 * np.cos(a), -h + h * np.sin(a)], 1), 1), (disc(0, -h, 0.5, e), 0.7)]


@shape
def vase(r: Draw) -> list[Part]:
    n, w = r.uniform(0.1, 0.18), r.uniform(0.26, 0.38)
    return [
        (mirrored(n * 1.5, -0.95, n, -0.82, n * 1.1, -0.72, w, -0.5, w, -0.34, w * 0.7, -0.12, w * 0.5, 0), 1)
    ]


@shape
def glass(r: Draw) -> list[Part]:
    w = r.uniform(0.2, 0.3)
    return [
        (mirrored(w * 0.8, -1, w, -0.75, w * 0.6, -0.5, 0.03, -0.42, 0.03, -0.06, 0.2, 0), 1),
        (disc(0, -1, w * 0.8, 0.05), 1.2),
    ]


@shape
def pot(r: Draw) -> list[Part]:
    h = r.uniform(0.35, 0.6)
    parts: list[Part] = [(rect(-0.33, -h, 0.33, 0), 1), (disc(0, -h, 0.33, 0.07), 0.7)]
    if r.random() < 0.5:
        return [(rect(0.3, -h + 0.06, 0.75, -h + 0.13), 0.6), *parts]
    return [(rect(-0.5, -h + 0.1, 0.5, -h + 0.18), 0.6), *parts]


@shape
def can(r: Draw) -> list[Part]:
    w, e = r.uniform(0.28, 0.42), r.uniform(0.04, 0.12)
    return [(rect(-w, -0.95 + e, w, -e), 1), (disc(0, -e, w, e), 1), (disc(0, -0.95 + e, w, e), 1.2)]


@shape
def bucket(r: Draw) -> list[Part]:
    return [
        (arc(0.03, 0, -0.6, 0.4, 0.38, np.pi, 2 * np.pi), 0.6),
        (mirrored(0.42, -0.62, 0.28, 0), 1),
        (disc(0, -0.62, 0.42, 0.1), 0.65),
    ]


@shape
def lamp(r: Draw) -> list[Part]:
    t = r.uniform(0.12, 0.25)
    return [
        (rect(-0.03, -0.6, 0.03, -0.05), 0.6),
        (disc(0, -0.05, 0.22, 0.05), 0.6),
        (mirrored(t, -1, r.uniform(0.3, 0.42), -0.52), 1.15),
    ]


@shape
def candle(r: Draw) -> list[Part]:
    w = r.uniform(0.07, 0.12)
    return [
        (rect(-w, -0.82, w, 0), 1),
        (mirrored(0.005, -1, 0.05, -0.88, 0.01, -0.82), 1.6),
        (rect(-w * 1.8, -0.06, w * 1.8, 0), 0.7),
    ]


@shape
def chair(r: Draw) -> list[Part]:
    s, t = r.uniform(0.38, 0.5), r.uniform(0.04, 0.07)
    return [
        (rect(-0.34, -1, -0.34 + t, 0), 0.85),
        (rect(0.3 - t, -s, 0.3, 0), 0.85),
        (rect(-0.2, -s, -0.2 + t * 0.7, -0.08), 0.6),
        (poly(-0.34, -1, -0.26, -1, -0.2, -s, -0.34, -s), 1),
        (poly(-0.36, -s - 0.04, 0.34, -s - 0.04, 0.34, -s + 0.04, -0.36, -s + 0.04), 1.1),
    ]


@shape
def stool(r: Draw) -> list[Part]:
    h = r.uniform(0.6, 0.95)
    return [
        (line(0.05, -0.2, -h, -0.34, 0), 0.8),
        (line(0.05, 0.2, -h, 0.34, 0), 0.8),
        (rect(-0.29, -h * 0.4, 0.29, -h * 0.4 + 0.04), 0.7),
        (disc(0, -h, 0.34, 0.08), 1.1),
    ]


@shape
def bench(r: Draw) -> list[Part]:
    return [
        (rect(-0.42, -0.3, -0.36, 0), 0.7),
        (rect(0.36, -0.3, 0.42, 0), 0.7),
        (rect(-0.5, -0.55, 0.5, -0.44), 1),
        (rect(-0.4, -0.44, -0.36, -0.3), 0.7),
        (rect(0.36, -0.44, 0.4, -0.3), 0.7),
        (rect(-0.5, -0.36, 0.5, -0.26), 1.15),
    ]


@shape
def shelf(r: Draw) -> list[Part]:
    n, w = int(r.integers(2, 5)), r.uniform(0.25, 0.45)
    parts: list[Part] = [(rect(-w, -1, w, 0), 1)]
    for i in range(n):
        y0, y1 = -1 + (i + 0.1) / n, -1 + (i + 0.9) / n
        parts.append((rect(-w + 0.05, y0, w - 0.05, y1), 0.5 if r.random() < 0.6 else HOLE))
    return parts


@shape
def book(r: Draw) -> list[Part]:
    if r.random() < 0.5:
        return [(rect(-0.35, -0.95, 0.35, 0), 1), (rect(-0.35, -0.95, -0.27, 0), 0.7)]
    t = r.uniform(0.1, 0.2)
    return [
        (poly(-0.5, -t, 0, 0, 0, -0.6, -0.5, -0.6 - t), 1.2),
        (poly(0, 0, 0.5, -t, 0.5, -0.6 - t, 0, -0.6), 1),
    ]


@shape
def pencil(r: Draw) -> list[Part]:
    w = r.uniform(0.035, 0.06)
    return [
        (rect(-w, -0.95, w, -0.18), 1),
        (poly(-w, -0.18, w, -0.18, 0, 0), 1.4),
        (rect(-w, -1, w, -0.92), 0.6),
    ]


@shape
def key(r: Draw) -> list[Part]:
    q = r.uniform(0.16, 0.22)
    return [
        (disc(0, -1 + q, q), 1),
        (disc(0, -1 + q, q * 0.5), HOLE),
        (rect(-0.04, -1 + 2 * q - 0.03, 0.04, 0), 1),
        (rect(0.03, -0.14, 0.18, -0.07), 1),
        (rect(0.03, -0.3, 0.15, -0.22), 1),
    ]


@shape
def spoon(r: Draw) -> list[Part]:
    return [(rect(-0.03, -0.72, 0.03, 0), 0.9), (disc(0, -0.84, 0.13, 0.17), 1.05)]


@shape
def fork(r: Draw) -> list[Part]:
    parts: list[Part] = [(rect(-0.03, -0.6, 0.03, 0), 0.95), (rect(-0.14, -0.68, 0.14, -0.58), 1)]
    return parts + [(rect(x - 0.02, -1, x + 0.02, -0.64), 1) for x in (-0.12, -0.04, 0.04, 0.12)]


@shape
def knife(r: Draw) -> list[Part]:
    return [
        (poly(-0.04, -0.4, 0.05, -0.4, 0.06, -0.8, 0, -1, -0.04, -0.9), 1.15),
        (rect(-0.05, -0.4, 0.05, 0), 0.6),
    ]


@shape
def hammer(r: Draw) -> list[Part]:
    return [
        (rect(-0.04, -0.9, 0.04, 0), 0.8),
        (poly(-0.28, -1, 0.2, -1, 0.32, -0.88, 0.2, -0.8, -0.28, -0.8), 1),
    ]


@shape
def umbrella(r: Draw) -> list[Part]:
    a = np.linspace(np.pi, 2 * np.pi, 20)
    top = np.stack([0.5 * np.cos(a), -0.5 + 0.48 * np.sin(a)], 1)
    return [
        (rect(-0.015, -0.55, 0.015, 0), 0.5),
        (arc(0.03, 0.06, -0.02, 0.06, 0.06, 0, 3.14), 0.5),
        (top, 1),
    ]


@shape
def hat(r: Draw) -> list[Part]:
    h = r.uniform(0.3, 0.7)
    return [
        (disc(0, -0.08, 0.5, 0.08), 1),
        (mirrored(0.2, -h, 0.27, -0.08), 1),
        (rect(-0.27, -0.2, 0.27, -0.1), 0.6),
    ]


@shape
def shoe(r: Draw) -> list[Part]:
    return [
        (poly(-0.45, -0.55, -0.12, -0.5, 0, -0.3, 0.4, -0.22, 0.5, -0.08, 0.5, 0, -0.45, 0), 1),
        (rect(-0.47, -0.07, 0.5, 0), 0.5),
    ]


@shape
def shirt(r: Draw) -> list[Part]:
    s = r.uniform(0.55, 0.75)
    return [
        (mirrored(0.1, -0.95, 0.26, -0.95, 0.5, -s, 0.4, -s + 0.12, 0.25, -0.7, 0.26, 0), 1),
        (disc(0, -0.95, 0.1, 0.06), 0.5),
    ]


@shape
def trousers(r: Draw) -> list[Part]:
    s = r.uniform(0.02, 0.1)
    return [
        (mirrored(0.22, -1, 0.3, -0.05, 0.3, 0, 0.06 + s, 0, 0.02, -0.6), 1),
        (rect(-0.22, -1, 0.22, -0.92), 0.7),
    ]
