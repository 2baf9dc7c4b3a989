"""What surfaces look like: the world's stuff as whole pictures, and the colour of a thing's pixels."""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.world.words import COLORS

Pixels = NDArray[np.floating]  # [S, S, 3] or [S, S, 1]
Draw = np.random.Generator


@functools.cache
def photo(name: str) -> NDArray[np.float32]:
    """A CC0 texture photo that scikit-image ships (brick, grass, gravel), around 1: [512, 512]."""
    from skimage import data

    gray = np.asarray(getattr(data, name)(), np.float32)
    return gray / gray.mean()


def photo_grain(name: str, r: Draw, side: int, strength: float = 1.0) -> Pixels:
    source = photo(name)
    size = int(r.integers(128, 500))
    y, x = r.integers(0, 512 - size, 2)
    patch = cv2.resize(source[y : y + size, x : x + size], (side, side), interpolation=cv2.INTER_AREA)
    if r.random() < 0.5:
        patch = patch[:, ::-1]
    return np.asarray(1 + strength * (patch - 1), np.float32)[..., None]


def noise(r: Draw, side: int, gx: float, gy: float, strength: float) -> Pixels:
    """Smooth noise around 1; `gx`, `gy`: its grain as shares of the side."""
    rows, columns = max(int(1 / gy), 1) + 2, max(int(1 / gx), 1) + 2
    coarse = r.normal(1, strength, (rows, columns)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)[..., None]


def rough(r: Draw, side: int, strength: float, stretch: float = 1.0) -> Pixels:
    """Noise of three grains."""
    total = noise(r, side, 0.3 * stretch, 0.3, strength)
    for grain in (0.1, 0.03):
        total = total * noise(r, side, grain * stretch, grain, strength)
    return total


@functools.lru_cache(8)
def grid(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    return x, y


def tint(r: Draw, *colors: tuple[int, int, int], spread: float = 16) -> NDArray[np.float32]:
    return np.asarray(colors[int(r.integers(len(colors)))], np.float32) + r.normal(0, spread, 3).astype(
        np.float32
    )


def cells(
    r: Draw, side: int, rows: float, columns: float, joint: float, shift: bool
) -> tuple[NDArray[np.bool_], Pixels]:
    """Bricks or tiles: which pixels are joints, and each cell's own brightness."""
    x, y = grid(side)
    row = np.floor(y * rows)
    u = x * columns + (0.5 * (row % 2) if shift else 0)
    inside = (np.minimum(u % 1, 1 - u % 1) > joint) & (np.minimum(y * rows % 1, 1 - y * rows % 1) > joint)
    own = r.normal(1, 0.07, (int(rows) + 2, int(columns) + 3)).astype(np.float32)
    return ~inside[..., None], own[row.astype(int), np.floor(u).astype(int)][..., None]


def any_color(r: Draw) -> NDArray[np.float32]:
    if r.random() < 0.5:
        return tint(
            r,
            (200, 190, 175),
            (170, 184, 190),
            (205, 190, 160),
            (160, 170, 150),
            (225, 222, 215),
            (120, 120, 128),
        )
    hue = np.array([[[r.integers(180), r.integers(20, 150), r.integers(90, 240)]]], np.uint8)
    return np.asarray(cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0], np.float32)


def wall(r: Draw, s: int) -> Pixels:
    picture = any_color(r) * noise(r, s, 0.4, 0.4, 0.05) * noise(r, s, 0.03, 0.03, r.uniform(0, 0.05))
    if r.random() < 0.15:
        x, _ = grid(s)
        picture = picture * (1 - 0.12 * (np.floor(x * r.uniform(6, 24)) % 2)[..., None])
    return picture


def floor(r: Draw, s: int) -> Pixels:
    base = tint(r, (150, 104, 66), (110, 78, 52), (178, 142, 100), (196, 164, 120), (84, 60, 44))
    picture = base * noise(r, s, 0.3, 0.03, 0.09) * noise(r, s, 0.1, 0.012, 0.06)
    joints, own = cells(r, s, r.uniform(4, 12), r.uniform(1, 3), 0.03, True)
    return picture * own * np.where(joints, np.float32(0.65), np.float32(1))


def table(r: Draw, s: int) -> Pixels:
    if r.random() < 0.75:
        base = tint(r, (150, 104, 66), (110, 78, 52), (178, 142, 100), (120, 116, 110), (200, 170, 130))
        return base * noise(r, s, 0.25, 0.025, r.uniform(0.03, 0.12)) * noise(r, s, 0.4, 0.4, 0.04)
    return any_color(r) * noise(r, s, 0.4, 0.3, 0.05)


def carpet(r: Draw, s: int) -> Pixels:
    x, y = grid(s)
    base, other = any_color(r), any_color(r)
    k = r.uniform(3, 10)
    mask = (
        (np.floor(x * k) + np.floor(y * k)) % 2
        if r.random() < 0.4
        else (np.sin(x * k * 5) * np.sin(y * k * 5) > 0.3)
    )[..., None]
    return np.where(mask, 0.6 * base + 0.4 * other, base) * noise(r, s, 0.012, 0.012, 0.1)


def tiles(r: Draw, s: int) -> Pixels:
    n = r.uniform(3, 9)
    joints, own = cells(r, s, n, n, r.uniform(0.02, 0.05), False)
    return np.where(joints, tint(r, (180, 180, 175), (90, 90, 90)), any_color(r) * own)


def bricks(r: Draw, s: int) -> Pixels:
    if r.random() < 0.4:
        return tint(r, (160, 90, 70), (150, 120, 100), (120, 70, 60)) * photo_grain("brick", r, s)
    n = r.uniform(5, 14)
    joints, own = cells(r, s, n, n / 2.2, 0.06, True)
    return np.where(
        joints, tint(r, (190, 185, 175), (140, 135, 130)), tint(r, (165, 80, 60), (140, 95, 75)) * own
    ) * noise(r, s, 0.02, 0.02, 0.06)


def curtain(r: Draw, s: int) -> Pixels:
    x, y = grid(s)
    folds = 1 + 0.22 * np.sin(x * r.uniform(25, 70) + 2 * np.sin(y * 3 + r.uniform(0, 6)))
    return any_color(r) * folds[..., None].astype(np.float32)


def sky(r: Draw, s: int) -> Pixels:
    _, y = grid(s)
    top, low = (
        tint(r, (90, 150, 220), (120, 170, 225), (60, 100, 180), (240, 170, 120), (30, 40, 80)),
        tint(r, (200, 220, 235), (240, 220, 200)),
    )
    return (top + (low - top) * y[..., None] * r.uniform(0.2, 1)).astype(np.float32)


def cloud(r: Draw, s: int) -> Pixels:
    return tint(r, (240, 240, 242), (205, 208, 214), spread=6) * noise(r, s, 0.2, 0.12, 0.05)


def grass(r: Draw, s: int) -> Pixels:
    base = tint(r, (90, 140, 60), (110, 150, 70), (70, 110, 50), (150, 150, 80))
    return base * (
        photo_grain("grass", r, s, 0.8)
        if r.random() < 0.5
        else rough(r, s, 0.09) * noise(r, s, 0.008, 0.025, 0.18)
    )


def sand(r: Draw, s: int) -> Pixels:
    _, y = grid(s)
    waves = 1 + 0.06 * np.sin(y * r.uniform(20, 80) + 3 * noise(r, s, 0.2, 0.2, 1)[..., 0])
    return (
        tint(r, (220, 195, 150), (200, 175, 130), (230, 215, 180))
        * waves[..., None]
        * noise(r, s, 0.01, 0.01, 0.05)
    )


def water(r: Draw, s: int) -> Pixels:
    return (
        tint(r, (60, 110, 150), (40, 90, 110), (80, 140, 160), (30, 60, 90))
        * noise(r, s, 0.14, 0.02, 0.13)
        * noise(r, s, 0.05, 0.01, 0.1)
    )


def snow(r: Draw, s: int) -> Pixels:
    return tint(r, (235, 238, 245), (220, 228, 240), spread=5) * noise(r, s, 0.3, 0.15, 0.05)


def road(r: Draw, s: int) -> Pixels:
    return (
        tint(r, (90, 90, 92), (70, 70, 74), (120, 118, 115), spread=6)
        * noise(r, s, 0.01, 0.01, 0.12)
        * noise(r, s, 0.4, 0.2, 0.05)
    )


def gravel(r: Draw, s: int) -> Pixels:
    return tint(r, (150, 145, 138), (130, 120, 105), (170, 165, 160)) * photo_grain("gravel", r, s, 1.1)


def soil(r: Draw, s: int) -> Pixels:
    return tint(r, (110, 80, 55), (90, 65, 45), (135, 100, 70)) * rough(r, s, 0.13)


def mountain(r: Draw, s: int) -> Pixels:
    return tint(r, (110, 120, 130), (95, 105, 85), (130, 120, 110), (90, 100, 130)) * rough(r, s, 0.12, 0.6)


def forest(r: Draw, s: int) -> Pixels:
    return (
        tint(r, (50, 90, 45), (40, 75, 50), (80, 100, 40), (140, 100, 40))
        * rough(r, s, 0.2)
        * noise(r, s, 0.02, 0.02, 0.25)
    )


def field(r: Draw, s: int) -> Pixels:
    x, y = grid(s)
    rows = 1 + 0.16 * np.sin((x + r.uniform(-1, 1) * y) * r.uniform(40, 90))
    return (
        tint(r, (190, 170, 90), (140, 160, 70), (170, 140, 80))
        * rows[..., None].astype(np.float32)
        * noise(r, s, 0.05, 0.05, 0.06)
    )


def fence(r: Draw, s: int) -> Pixels:
    x, _ = grid(s)
    k = r.uniform(8, 22)
    gap = (x * k % 1 < 0.18)[..., None]
    return np.where(
        gap,
        np.float32(40),
        tint(r, (160, 130, 95), (225, 222, 215), (120, 90, 65)) * noise(r, s, 0.02, 0.3, 0.06),
    )


def concrete(r: Draw, s: int) -> Pixels:
    return tint(r, (165, 165, 162), (140, 140, 140), (185, 182, 175), spread=6) * rough(r, s, 0.04)


def cloth(r: Draw, s: int) -> Pixels:
    x, y = grid(s)
    k = r.uniform(8, 22)
    weave = 1 - 0.12 * (np.floor(x * k) % 2) - 0.12 * (np.floor(y * k) % 2)
    return any_color(r) * weave[..., None].astype(np.float32) * noise(r, s, 0.15, 0.15, 0.06)


def paper(r: Draw, s: int) -> Pixels:
    _, y = grid(s)
    picture = tint(r, (240, 238, 230), (230, 220, 190), spread=5) * noise(r, s, 0.3, 0.3, 0.02)
    if r.random() < 0.6:  # lines of writing
        k = r.uniform(8, 20)
        ink = (y * k % 1 < 0.3)[..., None] & (noise(r, s, 0.03, 1 / k, 0.3) > 0.95)
        picture = np.where(ink, picture * 0.5, picture)
    return picture


SURFACES: dict[str, Callable[[Draw, int], Pixels]] = {
    f.__name__: f
    for f in (
        wall, table, floor, carpet, tiles, bricks, curtain, sky, cloud, grass, sand, water, snow, road,
        gravel, soil, mountain, forest, field, fence, concrete, cloth, paper,
    )
}  # fmt: skip


def skin(
    r: Draw, color: str, pattern: str, material: str, size: float, height: int, width: int, curved: bool
) -> NDArray[np.float32]:
    """The pixels of a thing [h, w, 3]: colour, pattern, light from one side, and what it is made of."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    base = np.asarray(COLORS[color][0], np.float32) + r.normal(0, 9, 3).astype(np.float32)
    u, v = x / max(width - 1, 1) - 0.5, y / max(height - 1, 1) - 0.5
    side, strength = r.choice([-1.0, 1.0]), r.uniform(0.1, 0.5)
    if curved:
        light = 1.1 - 1.6 * strength * ((u - 0.2 * side) ** 2 + (v + 0.2) ** 2)
    else:
        light = 1.05 + strength * (side * u * 0.6 - v * 0.4)
    turn = r.uniform(-0.3, 0.3) if pattern != "checks" else r.uniform(-0.8, 0.8)
    a, b = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    step = max(size * r.uniform(0.1, 0.2), 2.5)
    if pattern == "stripes":
        which = (a // step) % 2
    elif pattern == "bands":
        which = (b // step) % 2
    elif pattern == "checks":
        which = (a // step + b // step) % 2
    elif pattern == "dots":
        which = (np.hypot(a % (2 * step) - step, b % (2 * step) - step) < 0.6 * step).astype(np.float32)
    elif pattern == "speckles":
        which = (r.random((height, width)) < 0.25).astype(np.float32)
    else:
        which = np.zeros_like(x)
    if pattern != "plain":
        other = base * 0.55 if base.mean() > 110 else base * 0.4 + 130
        if r.random() < 0.3:
            other = np.asarray(COLORS["white" if base.mean() < 150 else "black"][0], np.float32)
        picture = base + (other - base) * which[..., None]
    else:
        picture = np.broadcast_to(base, (height, width, 3)).copy()
    if material == "wooden":
        light = light * (1 + 0.12 * np.sin(a * 1.4 + 2 * np.sin(b * 0.13)))
    elif material == "metal":
        light = light * (1 + 0.35 * np.sin(u * 9 + 1) * (1 - np.abs(v)))
    elif material == "furry":
        light = light * r.normal(1, 0.13, (height, width)).astype(np.float32)
    picture = picture * light[..., None]
    if material in ("shiny", "glass"):
        spot = np.exp(-(((u + 0.18 * side) / 0.13) ** 2 + ((v + 0.22) / 0.16) ** 2))
        picture = picture + 150 * spot[..., None]
    return picture.astype(np.float32)
