"""Simulated users: what somebody who means an object would draw on it.

The kinds, their probabilities and sizes are those of the original's stroke sampler, whose scribbles follow
the free-form masks of Yu et al., "Free-Form Image Inpainting with Gated Convolution" (arXiv:1806.03589).
Lengths are meant for images of 1024 pixels, the original's training size, and shrink with the image.

A prompt is a boolean image: the pixels somebody marked. Every choice comes from the generator that is passed
in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
SMALLEST = 10  #: pixels; objects with fewer are not prompted
REFERENCE_SIDE = 1024  #: the image side, in pixels, for which brushes and speeds are given


@dataclass(frozen=True)
class Walk:
    """A random walk that is drawn with a brush. Pixels; upper ends of ranges are excluded."""

    vertices: tuple[int, int]  #: how many steps it takes
    speed: float  #: longest step
    acceleration: tuple[float, float]  #: how far speed and direction (radians) change in one step, either way
    brush: tuple[float, float]  #: width
    drift: float  #: twice the deviation of a shift of the whole walk
    wobble: float  #: how far half of the vertices are moved afterwards


SCRIBBLES = (
    Walk((10, 30), 20, (15, 0.5), (3, 10), 6, 3),
    Walk((6, 22), 12, (8, 0.5), (2.5, 5), 3, 1.5),
)
CIRCLES = (
    Walk((5, 30), 15, (10, 1.5), (20, 50), 10, 10),
    Walk((5, 15), 8, (4, 1.5), (20, 50), 10, 5),
    Walk((5, 20), 7, (3.5, 1.5), (10, 30), 4, 5),
)
MOST_POINTS = 20
MOST_OUTLINE_POINTS = 9
MOST_WALKS = 5
ROUNDNESS = 0.2  #: distance of control points from the ends of a curve, as a share of the ends' distance
EDGY = 0.05  #: at 0 both sides of a point have the same say in its tangent; more favours the one after it
BOX_SLACK = 0.1  #: how far a box may miss each edge of its object, as a share of the object's size
#: The kinds of the original, which has no boxes: its comments name them, its code fails on them.
ORIGINAL = ("point", "polygon", "scribble", "circle")


def draw_strokes(
    id_map: NDArray[np.integer], places: NDArray[np.integer], most: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], Mask]:
    """At most `most` different segments among `places` (values of `id_map` [H, W]) and a stroke for each:
    [k], [k, H, W]. Each kind of `ORIGINAL` is as likely.

    Segments under ten pixels are never chosen. (The original chooses among all, also those outside the crop,
    and then learns nothing from the prompt.)
    """
    areas = np.bincount(id_map.ravel(), minlength=int(places.max(initial=0)) + 1)
    large = places[areas[places] >= SMALLEST]
    chosen = rng.permutation(large)[:most].astype(np.int64)
    strokes = np.zeros((len(chosen), *id_map.shape), bool)
    alike = np.full(len(ORIGINAL), 1 / len(ORIGINAL))  # said, since numpy draws otherwise without it
    for stroke, place in zip(strokes, chosen, strict=True):
        kind = ORIGINAL[int(rng.choice(len(ORIGINAL), p=alike))]
        stroke[:] = draw_stroke(id_map == place, kind, rng)
    return chosen, strokes


def draw_stroke(mask: Mask, kind: str, rng: np.random.Generator) -> Mask:
    """What a user draws for the object `mask` [H, W], as a boolean image; never empty.

    ``point``: 1 to 20 single pixels of the object. ``polygon``: a thin smooth closed outline through 1 to 9
    of its pixels, which may leave the object. ``scribble`` and ``circle``: 1 to 5 random walks that start on
    it, with a thin and a thick brush, clipped to it. ``box``: the filled bounding box, each edge off by up to
    a tenth.
    """
    stroke = KINDS[kind](mask, rng)
    if not stroke.any():  # a walk that drifted off a thin object; the original would pass on an empty prompt
        stroke = _points(mask, rng, most=1)
    return stroke


def _points(mask: Mask, rng: np.random.Generator, most: int = MOST_POINTS) -> Mask:
    stroke = np.zeros(mask.shape, bool)
    x, y = _pixels(mask, int(rng.integers(1, most + 1)), rng)
    stroke[y, x] = True
    return stroke


def _polygon(mask: Mask, rng: np.random.Generator) -> Mask:
    x, y = _pixels(mask, int(rng.integers(1, MOST_OUTLINE_POINTS + 1)), rng)
    outline = smooth_outline(np.stack([x, y], axis=1).astype(float))
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.polylines(canvas, [np.round(outline).astype(np.int32)], isClosed=True, color=1, thickness=1)
    return canvas.astype(bool)


def smooth_outline(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A closed chain of cubic Bézier curves through `points` [N, 2], in the order of their angle: [M, 2]."""
    from_centre = points - points.mean(axis=0)
    points = points[np.argsort(np.arctan2(from_centre[:, 0], from_centre[:, 1]))]
    ends = np.roll(points, -1, axis=0)
    chord = ends - points
    after = np.arctan2(chord[:, 1], chord[:, 0]) % (2 * np.pi)
    before = np.roll(after, 1)
    share = np.arctan(EDGY) / np.pi + 0.5
    tangent = share * after + (1 - share) * before + (np.abs(before - after) > np.pi) * np.pi
    reach = ROUNDNESS * np.hypot(*chord.T)[:, None]
    direction = np.stack([np.cos(tangent), np.sin(tangent)], axis=1)
    controls = [points, points + reach * direction, ends - reach * np.roll(direction, -1, axis=0), ends]
    t = np.linspace(0, 1, 30)[:, None]
    bernstein = [(1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3]
    curves = sum(b[None] * c[:, None] for b, c in zip(bernstein, controls, strict=True))
    return np.asarray(curves).reshape(-1, 2)


def _walks(presets: tuple[Walk, ...]) -> Callable[[Mask, np.random.Generator], Mask]:
    def draw(mask: Mask, rng: np.random.Generator) -> Mask:
        walk = presets[int(rng.integers(len(presets)))]
        scale = max(mask.shape) / REFERENCE_SIDE
        canvas = np.zeros(mask.shape, np.uint8)
        xs, ys = _pixels(mask, int(rng.integers(1, MOST_WALKS + 1)), rng)
        for x, y in zip(xs, ys, strict=True):
            width = max(round(float(rng.integers(int(walk.brush[0]), int(walk.brush[1]))) * scale), 1)
            vertices = np.round(_walk(walk, (float(x), float(y)), scale, rng)).astype(np.int32)
            cv2.polylines(canvas, [vertices], isClosed=False, color=1, thickness=width)
            for vx, vy in vertices.tolist():  # round joints
                cv2.circle(canvas, (vx, vy), max(width // 2 - 1, 0), color=1, thickness=-1)
        return canvas.astype(bool) & mask

    return draw


def _walk(
    walk: Walk, start: tuple[float, float], scale: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Vertices (x, y) of one walk, its start first: [V + 1, 2]."""
    steps = int(rng.integers(*walk.vertices))
    angle, speed = rng.uniform(0, 2 * np.pi), rng.uniform(0, walk.speed)
    gain = rng.uniform(-walk.acceleration[0], walk.acceleration[0], steps)
    angles = angle + rng.uniform(-walk.acceleration[1], walk.acceleration[1], steps).cumsum()
    speeds = np.empty(steps)
    for step in range(steps):
        speeds[step] = speed = float(np.clip(speed + gain[step], 0, walk.speed))
    moves = speeds[:, None] * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    vertices = np.concatenate([np.zeros((1, 2)), moves.cumsum(axis=0)])
    heading = rng.uniform(0, 2 * np.pi)
    vertices += abs(rng.normal(0, walk.drift / 2)) * np.array([np.cos(heading), np.sin(heading)])
    moved = rng.permutation(len(vertices))[: len(vertices) // 2]
    vertices[moved] += rng.uniform(-walk.wobble, walk.wobble, (len(moved), 2))
    return np.asarray(start) + vertices * scale


def _box(mask: Mask, rng: np.random.Generator) -> Mask:
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    slack = rng.uniform(-BOX_SLACK, BOX_SLACK, 4) * [width, width, height, height]
    x0, x1, y0, y1 = np.round(np.array([left, left + width, top, top + height]) + slack).astype(int)
    stroke = np.zeros(mask.shape, bool)
    stroke[max(y0, 0) : max(y1, y0 + 1), max(x0, 0) : max(x1, x0 + 1)] = True
    return stroke


def _pixels(mask: Mask, count: int, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """x and y of up to `count` different pixels of the mask."""
    inside = np.flatnonzero(mask)
    chosen = rng.choice(inside, size=min(count, len(inside)), replace=False)
    return chosen % mask.shape[1], chosen // mask.shape[1]


KINDS: dict[str, Callable[[Mask, np.random.Generator], Mask]] = {
    "point": _points,
    "polygon": _polygon,
    "scribble": _walks(SCRIBBLES),
    "circle": _walks(CIRCLES),
    "box": _box,
}
