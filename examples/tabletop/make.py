"""Render the tabletop example: small scenes of things on a table, with LabelMe files as an annotator writes.

    python examples/tabletop/make.py FOLDER [--images 2000] [--seed 0]

Every scene has a textured wall and table (stuff) and three to eight balls, boxes, mugs, plates and bottles
(things) of several colours, sizes and patterns; nearer things hide farther ones. The same arguments give
the same bytes. Nothing is rendered again where the folder already holds the scenes of these arguments.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 320, 240
SMOOTH = 4  # masks are drawn this many times larger, then shrunk: smooth edges
COLORS = {
    "red": (200, 45, 45),
    "orange": (230, 130, 40),
    "yellow": (225, 200, 60),
    "green": (60, 150, 70),
    "blue": (50, 90, 190),
    "purple": (130, 70, 160),
    "white": (230, 230, 225),
    "black": (45, 45, 50),
}
WALLS = ((196, 189, 176), (170, 184, 190), (205, 190, 160), (160, 170, 150))
TABLES = ((150, 104, 66), (110, 78, 52), (178, 142, 100), (120, 116, 110))

Points = NDArray[np.float64]  # [N, 2] x, y in pixels of the finished picture
Pixels = NDArray[np.float32]  # [H, W, 3] or [H, W, 1]


@dataclass(frozen=True)
class Thing:
    category: str
    color: str
    size: float  # its width in pixels
    pattern: str
    parts: tuple[Points, ...]
    foot: float  # y where it stands; larger is nearer

    @property
    def words(self) -> str:
        """How a person would call it among others: "the large red ball"."""
        size = "large " if self.size > 62 else "small " if self.size < 36 else ""
        return f"the {size}{self.color} {self.category}"


def ellipse(cx: float, cy: float, rx: float, ry: float, count: int = 40) -> Points:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([cx + rx * np.cos(angle), cy + ry * np.sin(angle)], axis=1)


def ball(cx: float, foot: float, size: float, _rng: np.random.Generator) -> tuple[Points, ...]:
    return (ellipse(cx, foot - size / 2, size / 2, size / 2),)


def box(cx: float, foot: float, size: float, rng: np.random.Generator) -> tuple[Points, ...]:
    height, lean = size * rng.uniform(0.6, 1.3), size * rng.uniform(-0.12, 0.12)
    x0, x1, top = cx - size / 2, cx + size / 2, foot - height
    return (np.array([[x0, foot], [x1, foot - abs(lean)], [x1 + lean, top], [x0 + lean, top + abs(lean)]]),)


def mug(cx: float, foot: float, size: float, rng: np.random.Generator) -> tuple[Points, ...]:
    """A body and, as a second part of the same object, a handle bent like a C."""
    side = 1 if rng.random() < 0.5 else -1
    body, height = size * 0.72, size * 0.85
    rim = ellipse(cx, foot - height, body / 2, size * 0.09)
    base = ellipse(cx, foot - size * 0.08, body * 0.44, size * 0.08)
    outline = np.concatenate([rim[20:], base[:20]])
    bend = np.linspace(-np.pi / 2, np.pi / 2, 14)
    arc = np.stack([np.cos(bend), np.sin(bend)], axis=1)
    middle = np.array([cx + side * body * 0.46, foot - height * 0.52])
    reach = np.array([side * size * 0.26, height * 0.33])
    handle = np.concatenate([middle + arc * reach, (middle + arc * reach * (0.58, 0.62))[::-1]])
    return outline, handle


def plate(cx: float, foot: float, size: float, _rng: np.random.Generator) -> tuple[Points, ...]:
    return (ellipse(cx, foot - size * 0.16, size / 2, size * 0.16),)


def bottle(cx: float, foot: float, size: float, rng: np.random.Generator) -> tuple[Points, ...]:
    half, tall = size * 0.21, size * rng.uniform(1.05, 1.35)
    right = [(half, 0), (half, -tall * 0.55), (half * 0.45, -tall * 0.72), (half * 0.45, -tall)]
    left = [(-x, y) for x, y in reversed(right)]
    return (np.array(right + left) + np.array([cx, foot]),)


SHAPES: dict[str, Callable[[float, float, float, np.random.Generator], tuple[Points, ...]]] = {
    "ball": ball,
    "box": box,
    "mug": mug,
    "plate": plate,
    "bottle": bottle,
}


def cover(parts: tuple[Points, ...], window: tuple[slice, slice]) -> Pixels:
    """How much of each pixel of a window the parts cover, 0…1, [h, w, 1]."""
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    mask = np.zeros((height * SMOOTH, width * SMOOTH), np.uint8)
    for part in parts:
        cv2.fillPoly(mask, [np.round((part - (columns.start, rows.start)) * SMOOTH).astype(np.int32)], 255)
    share = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    return (share[..., None] / 255).astype(np.float32)


def grain(rng: np.random.Generator, stretch: tuple[int, int], strength: float) -> Pixels:
    """Smooth noise around 1, [H, W, 1]; `stretch` is its grain in pixels (x, y)."""
    rows, columns = HEIGHT // stretch[1] + 2, WIDTH // stretch[0] + 2
    noise = rng.normal(1.0, strength, (rows, columns)).astype(np.float32)
    large = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return large[..., None].astype(np.float32)


def surface(thing: Thing, window: tuple[slice, slice]) -> Pixels:
    """The thing's colour in a window: its pattern, brighter to the upper left, darker to the lower right."""
    y, x = np.mgrid[window].astype(np.float32)
    u, v = (x - x[0, 0]) / x.shape[1], (y - y[0, 0]) / x.shape[0]
    step = max(thing.size / 6, 4)
    pattern = {
        "plain": lambda: 0.0 * x,
        "stripes": lambda: (x + y) // step % 2,
        "bands": lambda: y // step % 2,
        "dots": lambda: np.hypot(x % step - step / 2, y % step - step / 2) < step / 3.2,
    }[thing.pattern]()
    light = 1.18 - 0.42 * (0.6 * u + 0.4 * v) - 0.25 * pattern
    return np.asarray(COLORS[thing.color], np.float32) * light[..., None].astype(np.float32)


def window_of(points: Points, margin: int = 0) -> tuple[slice, slice]:
    """The rows and columns of the picture that the points span."""
    (x0, y0), (x1, y1) = np.floor(points.min(axis=0)) - margin, np.ceil(points.max(axis=0)) + margin
    return slice(max(int(y0), 0), min(int(y1), HEIGHT)), slice(max(int(x0), 0), min(int(x1), WIDTH))


def arrange(rng: np.random.Generator, edge: float) -> list[Thing]:
    """Things from far to near; nearer ones may hide parts of farther ones, now and then all of one."""
    things: list[Thing] = []
    for foot in np.sort(rng.uniform(edge + 12, HEIGHT - 6, rng.integers(3, 9))):
        near = (foot - edge) / (HEIGHT - edge)
        size = rng.uniform(24, 52) * (0.7 + 0.8 * near)
        category = str(rng.choice(list(SHAPES)))
        cx = rng.uniform(size / 2, WIDTH - size / 2)
        if any(abs(cx - np.concatenate(t.parts)[:, 0].mean()) < 0.35 * (size + t.size) for t in things):
            cx = rng.uniform(size / 2, WIDTH - size / 2)  # one more try: some overlap is wanted
        color, pattern = (
            str(rng.choice(list(COLORS))),
            str(rng.choice(["plain", "plain", "stripes", "bands", "dots"])),
        )
        things.append(
            Thing(category, color, size, pattern, SHAPES[category](cx, foot, size, rng), float(foot))
        )
    return things


def render(rng: np.random.Generator) -> tuple[NDArray[np.uint8], float, list[Thing]]:
    """One scene: RGB uint8 [240, 320, 3], the table's far edge (y), and its things from far to near."""
    edge = float(rng.integers(int(HEIGHT * 0.3), int(HEIGHT * 0.5)))
    things = arrange(rng, edge)
    wall = np.asarray(WALLS[rng.integers(len(WALLS))], np.float32) * grain(rng, (24, 24), 0.035)
    table = np.asarray(TABLES[rng.integers(len(TABLES))], np.float32) * grain(rng, (60, 5), 0.09)
    scene = np.concatenate([wall[: int(edge)], table[int(edge) :]])
    for thing in things:
        # A soft shadow on the table, then the thing itself.
        shadow = ellipse(thing.parts[0][:, 0].mean() + 4, thing.foot - 1, thing.size * 0.5, 5)
        window = window_of(shadow, margin=8)
        scene[window] *= 1 - 0.35 * cv2.GaussianBlur(cover((shadow,), window), (0, 0), 2.5)[..., None]
        window = window_of(np.concatenate(thing.parts))
        mask = cover(thing.parts, window)
        scene[window] = scene[window] * (1 - mask) + surface(thing, window) * mask
    scene += rng.normal(0, 2.5, scene.shape)
    return np.clip(scene, 0, 255).astype(np.uint8), edge, things


def annotate(name: str, edge: float, things: list[Thing]) -> dict[str, object]:
    """The scene as LabelMe writes it: farther shapes first, parts of one object joined by group_id."""

    def shape(
        label: str, points: Points, group: int | None = None, description: str = ""
    ) -> dict[str, object]:
        inside = np.clip(points, 0, (WIDTH, HEIGHT)).round(2).tolist()
        return {
            "label": label,
            "points": inside,
            "group_id": group,
            "description": description,
            "shape_type": "polygon",
            "flags": {},
        }

    shapes = [
        shape("wall", np.array([[0, 0], [WIDTH, 0], [WIDTH, edge], [0, edge]])),
        shape("table", np.array([[0, edge], [WIDTH, edge], [WIDTH, HEIGHT], [0, HEIGHT]])),
    ]
    alike = Counter((thing.color, thing.category) for thing in things)
    for number, thing in enumerate(things):
        own = thing.words if alike[thing.color, thing.category] == 1 else ""
        group = number if len(thing.parts) > 1 else None
        shapes += [shape(thing.category, part, group, own) for part in thing.parts]
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": name,
        "imageData": None,
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Render the tabletop example as photos with LabelMe files.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    done = arguments.folder / ".made"
    order = json.dumps({"images": arguments.images, "seed": arguments.seed, "size": [WIDTH, HEIGHT]})
    if done.is_file() and done.read_text() == order:
        print(f"{arguments.images} scenes are already in {arguments.folder}")
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for index in range(arguments.images):
        rng = np.random.default_rng([arguments.seed, index])
        picture, edge, things = render(rng)
        name = f"scene_{index:04d}"
        _, jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 93])
        (arguments.folder / f"{name}.jpg").write_bytes(jpeg.tobytes())
        record = annotate(f"{name}.jpg", edge, things)
        (arguments.folder / f"{name}.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    done.write_text(order)
    print(f"Rendered {arguments.images} scenes into {arguments.folder}")


if __name__ == "__main__":
    main()
