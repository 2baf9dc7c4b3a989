"""Vehicles, buildings, machines and what is carried about."""

from __future__ import annotations

import numpy as np

from examples.world.shapes.outlines import HOLE, Draw, Part, arc, disc, line, mirrored, poly, rect, shape


def wheels(*xs: float, size: float = 0.09) -> list[Part]:
    found: list[Part] = []
    for x in xs:
        found += [(disc(x, -size, size), 0.25), (disc(x, -size, size * 0.45, n=12), 0.7)]
    return found


@shape
def robot(r: Draw) -> list[Part]:
    return [
        (rect(-0.2, -0.2, -0.06, 0), 0.7),
        (rect(0.06, -0.2, 0.2, 0), 0.7),
        (rect(-0.4, -0.58, -0.28, -0.25), 0.8),
        (rect(0.28, -0.58, 0.4, -0.25), 0.8),
        (rect(-0.27, -0.62, 0.27, -0.2), 1),
        (rect(-0.18, -0.9, 0.18, -0.65), 1.1),
        (rect(-0.03, -0.66, 0.03, -0.6), 0.6),
        (rect(-0.12, -0.83, -0.04, -0.75), 0.2),
        (rect(0.04, -0.83, 0.12, -0.75), 0.2),
        (rect(-0.01, -1, 0.01, -0.9), 0.6),
    ]


@shape
def car(r: Draw) -> list[Part]:
    h = r.uniform(0.4, 0.52)
    return [
        (
            poly(
                -0.5, -0.1, -0.48, -0.26, -0.3, -0.3, -0.18, -h, 0.16, -h, 0.3, -0.29, 0.5, -0.24, 0.5, -0.1
            ),
            1,
        ),
        (poly(-0.23, -0.31, -0.15, -h + 0.04, -0.02, -h + 0.04, -0.02, -0.31), 0.45),
        (poly(0.02, -0.31, 0.02, -h + 0.04, 0.14, -h + 0.04, 0.23, -0.31), 0.45),
        *wheels(-0.28, 0.28),
    ]


@shape
def truck(r: Draw) -> list[Part]:
    return [
        (rect(-0.5, -0.6, 0.18, -0.12), 1),
        (poly(0.2, -0.12, 0.2, -0.48, 0.38, -0.48, 0.5, -0.3, 0.5, -0.12), 0.8),
        (poly(0.3, -0.3, 0.3, -0.44, 0.37, -0.44, 0.45, -0.3), 0.45),
        *wheels(-0.36, -0.16, 0.34),
    ]


@shape
def bus(r: Draw) -> list[Part]:
    windows = [(rect(x, -0.46, x + 0.13, -0.3), 0.45) for x in (-0.46, -0.29, -0.12, 0.05, 0.22)]
    return [
        (rect(-0.5, -0.54, 0.5, -0.1), 1),
        *windows,
        (rect(0.39, -0.46, 0.5, -0.25), 0.5),
        *wheels(-0.3, 0.3),
    ]


@shape
def bicycle(r: Draw) -> list[Part]:
    parts: list[Part] = []
    for x in (-0.29, 0.29):
        parts += [(disc(x, -0.2, 0.2), 0.35), (disc(x, -0.2, 0.165), HOLE)]
    for xy in (
        (-0.29, -0.2, -0.1, -0.48),
        (-0.1, -0.48, 0.2, -0.48),
        (0.29, -0.2, 0.18, -0.56),
        (-0.29, -0.2, 0, -0.2),
        (0, -0.2, 0.2, -0.46),
        (0, -0.2, -0.12, -0.54),
    ):
        parts.append((line(0.035, *xy), 1))
    return [*parts, (rect(-0.2, -0.57, -0.06, -0.53), 0.5), (rect(0.1, -0.6, 0.22, -0.56), 0.5)]


@shape
def boat(r: Draw) -> list[Part]:
    return [
        (poly(-0.5, -0.22, 0.5, -0.22, 0.34, 0, -0.36, 0), 0.8),
        (rect(-0.02, -1, 0.01, -0.2), 0.5),
        (poly(0.03, -0.95, 0.03, -0.28, r.uniform(0.3, 0.45), -0.28), 1.2),
        (poly(-0.04, -0.85, -0.04, -0.28, -r.uniform(0.2, 0.35), -0.28), 1.1),
    ]


@shape
def airplane(r: Draw) -> list[Part]:
    if r.random() < 0.5:  # from above
        return [
            (
                poly(
                    0.05,
                    -0.55,
                    -0.12,
                    -0.98,
                    -0.22,
                    -0.98,
                    -0.1,
                    -0.5,
                    -0.22,
                    -0.02,
                    -0.12,
                    -0.02,
                    0.05,
                    -0.45,
                ),
                0.9,
            ),
            (poly(-0.36, -0.5, -0.46, -0.7, -0.5, -0.5, -0.46, -0.3), 0.9),
            (disc(0, -0.5, 0.5, 0.075), 1),
        ]
    return [
        (poly(-0.35, -0.45, -0.5, -0.72, -0.4, -0.72, -0.22, -0.48), 0.9),
        (disc(0, -0.4, 0.48, 0.1), 1),
        (poly(0.05, -0.38, -0.22, -0.15, -0.12, -0.15, 0.18, -0.38), 0.75),
    ]


@shape
def rocket(r: Draw) -> list[Part]:
    return [
        (poly(-0.12, -0.32, -0.3, -0.04, -0.12, -0.1), 0.7),
        (poly(0.12, -0.32, 0.3, -0.04, 0.12, -0.1), 0.7),
        (mirrored(0, -1, 0.1, -0.8, 0.14, -0.55, 0.12, -0.1), 1),
        (disc(0, -0.62, 0.06, n=14), 0.4),
        (mirrored(0.06, -0.1, 0, 0), 1.5),
    ]


@shape
def balloon(r: Draw) -> list[Part]:
    if r.random() < 0.5:
        return [
            (line(0.012, 0, -0.35, 0.03, -0.2, -0.02, -0.1, 0.02, 0), 0.5),
            (disc(0, -0.66, 0.27, 0.33), 1),
            (poly(-0.04, -0.32, 0.04, -0.32, 0, -0.36), 0.8),
        ]
    return [
        (line(0.012, -0.2, -0.45, -0.07, -0.14), 0.4),
        (line(0.012, 0.2, -0.45, 0.07, -0.14), 0.4),
        (mirrored(0.05, -1, 0.26, -0.88, 0.36, -0.66, 0.24, -0.44, 0.1, -0.3), 1),
        (rect(-0.08, -0.14, 0.08, 0), 0.55),
    ]


@shape
def house(r: Draw) -> list[Part]:
    h, d = r.uniform(0.45, 0.6), r.uniform(-0.3, 0.15)
    parts: list[Part] = [
        (rect(-0.4, -h, 0.4, 0), 1),
        (poly(-0.5, -h, 0.5, -h, 0, -1), 0.6),
        (rect(d, -0.28, d + 0.14, 0), 0.45),
    ]
    return [*parts, (rect(0.18, -h + 0.12, 0.32, -h + 0.26), 1.6)]


@shape
def tower(r: Draw) -> list[Part]:
    w, n = r.uniform(0.14, 0.26), int(r.integers(3, 7))
    parts: list[Part] = [(rect(-w, -0.92, w, 0), 1)]
    if r.random() < 0.5:
        parts.append((poly(-w, -0.92, w, -0.92, 0, -1.1), 0.8))
    for i in range(n):
        for x in (-0.6, 0.15):
            parts.append(
                (rect(x * w, -0.88 + i * 0.8 / n, (x + 0.45) * w, -0.88 + (i + 0.55) * 0.8 / n), 0.5)
            )
    return parts


@shape
def tent(r: Draw) -> list[Part]:
    return [(poly(-0.5, 0, 0.5, 0, 0, -0.75), 1), (poly(-0.14, 0, 0.14, 0, 0, -0.5), 0.35)]


@shape
def sign(r: Draw) -> list[Part]:
    n = int(r.choice([3, 4, 8, 24]))
    a = np.arange(n) * 2 * np.pi / n - np.pi / 2 + (np.pi / 8 if n == 8 else 0)
    board = np.stack([0.26 * np.cos(a), -0.74 + 0.26 * np.sin(a)], 1)
    return [(rect(-0.025, -0.6, 0.025, 0), 0.5), (board, 1), ((board - (0, -0.74)) * 0.7 + (0, -0.74), 1.45)]


@shape
def flag(r: Draw) -> list[Part]:
    x = np.linspace(0, 0.5, 12)
    w = 0.04 * np.sin(x * r.uniform(8, 16))
    top = np.stack([x - 0.2, -0.97 + w], 1)
    low = np.stack([x - 0.2, -0.63 + w], 1)
    return [(rect(-0.23, -1, -0.19, 0), 0.5), (np.concatenate([top, low[::-1]]), 1)]


@shape
def clock(r: Draw) -> list[Part]:
    a, b = r.uniform(0, 6.28, 2)
    return [
        (disc(0, -0.5, 0.48, n=32), 0.6),
        (disc(0, -0.5, 0.4, n=32), 1.2),
        (line(0.04, 0, -0.5, 0.3 * np.cos(a), -0.5 + 0.3 * np.sin(a)), 0.2),
        (line(0.05, 0, -0.5, 0.2 * np.cos(b), -0.5 + 0.2 * np.sin(b)), 0.2),
    ]


@shape
def wheel(r: Draw) -> list[Part]:
    parts: list[Part] = [(disc(0, -0.5, 0.5, n=32), 0.6), (disc(0, -0.5, 0.36, n=28), HOLE)]
    n = int(r.integers(3, 7))
    parts += [
        (line(0.05, -0.4 * np.cos(t), -0.5 - 0.4 * np.sin(t), 0.4 * np.cos(t), -0.5 + 0.4 * np.sin(t)), 1)
        for t in np.arange(n) * np.pi / n
    ]
    return [*parts, (disc(0, -0.5, 0.1), 1)]


@shape
def ladder(r: Draw) -> list[Part]:
    w, n = r.uniform(0.14, 0.22), int(r.integers(4, 8))
    parts: list[Part] = [(rect(-w, -1, -w + 0.05, 0), 0.9), (rect(w - 0.05, -1, w, 0), 0.9)]
    return parts + [(rect(-w, -0.95 + i * 0.9 / n, w, -0.91 + i * 0.9 / n), 1) for i in range(n + 1)]


@shape
def guitar(r: Draw) -> list[Part]:
    return [
        (rect(-0.035, -0.9, 0.035, -0.4), 0.5),
        (rect(-0.06, -1, 0.06, -0.88), 0.45),
        (mirrored(0.05, -0.56, 0.16, -0.52, 0.17, -0.42, 0.13, -0.34, 0.23, -0.2, 0.2, -0.05, 0.08, 0), 1),
        (disc(0, -0.34, 0.06, n=14), 0.3),
    ]


@shape
def phone(r: Draw) -> list[Part]:
    return [
        (rect(-0.25, -1, 0.25, 0), 0.7),
        (rect(-0.21, -0.9, 0.21, -0.12), 1.2),
        (disc(0, -0.06, 0.03, n=10), 1.2),
    ]


@shape
def screen(r: Draw) -> list[Part]:
    return [
        (rect(-0.06, -0.25, 0.06, -0.03), 0.5),
        (rect(-0.22, -0.06, 0.22, 0), 0.5),
        (rect(-0.5, -0.85, 0.5, -0.2), 0.5),
        (rect(-0.45, -0.8, 0.45, -0.25), 1.2),
    ]


@shape
def camera(r: Draw) -> list[Part]:
    return [
        (rect(-0.14, -0.72, 0.12, -0.55), 0.8),
        (rect(-0.48, -0.6, 0.48, 0), 1),
        (disc(0.04, -0.3, 0.23), 0.45),
        (disc(0.04, -0.3, 0.13), 0.85),
    ]


@shape
def envelope(r: Draw) -> list[Part]:
    return [
        (rect(-0.5, -0.66, 0.5, 0), 1),
        (poly(-0.5, -0.66, 0.5, -0.66, 0, -0.28), 1.2),
        (line(0.02, -0.5, -0.66, 0, -0.28), 0.7),
        (line(0.02, 0.5, -0.66, 0, -0.28), 0.7),
    ]


@shape
def bag(r: Draw) -> list[Part]:
    h = r.uniform(0.5, 0.75)
    return [
        (arc(0.05, 0, -h, r.uniform(0.14, 0.25), 0.22, np.pi, 2 * np.pi), 0.6),
        (mirrored(0.36, -h, r.uniform(0.36, 0.48), 0), 1),
        (rect(-0.36, -h * 0.8, 0.36, -h * 0.72), 0.7),
    ]


@shape
def glasses(r: Draw) -> list[Part]:
    parts: list[Part] = []
    inner = HOLE if r.random() < 0.5 else 0.4
    for x in (-0.27, 0.27):
        parts += [(disc(x, -0.3, 0.22, 0.2), 1), (disc(x, -0.3, 0.17, 0.15), inner)]
    return [*parts, (rect(-0.07, -0.36, 0.07, -0.31), 1)]
