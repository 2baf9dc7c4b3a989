"""One scene of the world: stuff laid out, things put on it, light and lens, and the exact truth.

    scene = make_scene(np.random.default_rng([seed, number]), side=128)

The same generator state gives the same scene. `held_out=True` shows pairs of colour and kind that training
never sees (`words.held_out`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.world.shapes import HOLE, SHAPES, Points
from examples.world.surfaces import SURFACES, grid, noise, skin
from examples.world.words import (
    CATEGORIES,
    COLORS,
    FREE,
    HOUSEHOLD,
    MATERIALS,
    NAMES,
    PATTERNS,
    ROUND,
    SIZES,
    THINGS,
    USUAL,
    held_out,
)

Draw = np.random.Generator
SMALLEST = 12  #: pixels; less of a segment is void
_KINDS = tuple(THINGS)
_PLACE = {name: place for place, name in enumerate(CATEGORIES)}
_FIXED = 16  #: OpenCV's fixed point: sixteenths of a pixel

ROOM_BACK = ("wall", "wall", "wall", "bricks", "curtain", "tiles", "fence", "concrete", "paper", "cloth")
ROOM_FRONT = ("table", "table", "table", "floor", "carpet", "tiles", "cloth", "concrete", "paper")
FAR = ("mountain", "forest", "fence", "field", "bricks", "water")
GROUND = ("grass", "sand", "water", "snow", "road", "gravel", "soil", "field", "concrete", "tiles")
PATCHES = ("carpet", "paper", "cloth", "water", "road", "grass", "snow", "sand", "soil", "cloud", "gravel")


@dataclass(frozen=True)
class Thing:
    kind: str
    color: str
    pattern: str
    material: str
    size: float  #: its longer side, as a share of the picture's
    x: float  #: its middle, 0 … 1
    y: float

    @property
    def size_word(self) -> str:
        return "large" if self.size > 0.27 else "small" if self.size < 0.15 else ""

    @property
    def place(self) -> str:
        return "left" if self.x < 0.33 else "right" if self.x > 0.67 else "middle"


@dataclass(frozen=True)
class Scene:
    image: NDArray[np.uint8]  #: [S, S, 3] RGB
    id_map: NDArray[np.int16]  #: [S, S]; 0 void, n + 1 for segment n
    categories: tuple[int, ...]  #: of each segment, index into `CATEGORIES`
    phrases: tuple[tuple[str, int], ...]  #: a sentence and the segment that it alone means


def make_scene(r: Draw, side: int = 128, held: bool = False) -> Scene:
    picture, ids, stuff, horizon = lay_out(r, side)
    things: list[Thing] = []
    boxes: list[tuple[float, float, float]] = []
    flat = horizon is None
    indoors = any(name in ROOM_FRONT for name in stuff.values())
    count = int(r.integers(1, 14)) if r.random() < 0.85 else int(r.integers(12, 24))
    middle = np.exp(r.uniform(np.log(0.11), np.log(0.42)))  # of this scene's sizes: near or far
    spots = [place(r, horizon, middle, boxes) for _ in range(count)]
    favourite = str(r.choice(_KINDS)) if r.random() < 0.3 else None
    for x, y, size in sorted(spots, key=lambda spot: spot[1]):
        near = HOUSEHOLD if indoors and r.random() < 0.6 else _KINDS
        kind = favourite if favourite and r.random() < 0.5 else str(r.choice(near))
        thing = Thing(kind, *dress(r, kind, held), size, x, y)
        if draw(r, picture, ids, thing, len(things) + 100, flat):
            things.append(thing)
    image, ids = lens(r, picture, ids)
    return finish(r, image, ids, stuff, things)


def place(
    r: Draw, horizon: float | None, middle: float, boxes: list[tuple[float, float, float]]
) -> tuple[float, float, float]:
    """x, y and size of one more thing; tried thrice where it would lie on another."""
    x = y = size = 0.5
    for _ in range(3):
        x = float(r.uniform(0.03, 0.97))
        y = float(
            r.uniform(0.05, 0.95) if horizon is None or r.random() < 0.1 else r.uniform(horizon + 0.04, 1.02)
        )
        size = float(np.clip(middle * np.exp(r.normal(0, 0.3)), 0.06, 0.75))
        if horizon is not None:
            size *= 0.7 + 0.6 * max(y - horizon, 0) / max(1 - horizon, 0.1)
        if all(abs(x - bx) + abs(y - by) > 0.45 * (size + other) for bx, by, other in boxes):
            break
    boxes.append((x, y, size))
    return x, y, size


def dress(r: Draw, kind: str, held: bool) -> tuple[str, str, str]:
    """Colour, pattern and material; pairs that are held out only where they are wanted."""
    for _ in range(40):
        usual = USUAL.get(kind)
        color = str(r.choice(usual)) if usual and r.random() < 0.5 else str(r.choice(list(COLORS)))
        if held_out(color, kind) == held:
            break
    else:
        color = next((c for c in COLORS if held_out(c, kind) == held), "red")
    pattern = "plain" if r.random() < 0.5 else str(r.choice(list(PATTERNS)))
    material = "matt" if r.random() < 0.6 else str(r.choice(list(MATERIALS)))
    return color, pattern, material


# Stuff. ---------------------------------------------------------------------------------------------------


def lay_out(
    r: Draw, side: int
) -> tuple[NDArray[np.float32], NDArray[np.int16], dict[int, str], float | None]:
    """The picture and its ids without things; which stuff has which id; where the ground begins (0 … 1)."""
    x, y = grid(side)
    picture = np.empty((side, side, 3), np.float32)
    ids = np.zeros((side, side), np.int16)
    stuff: dict[int, str] = {}

    def put(name: str, mask: NDArray[np.bool_]) -> None:
        number = next((n for n, other in stuff.items() if other == name), len(stuff) + 1)
        stuff[number] = name
        picture[mask] = np.clip(SURFACES[name](r, side), 0, 255)[mask]
        ids[mask] = number

    def below(height: float, rough: float) -> NDArray[np.bool_]:
        edge = height + r.uniform(-0.08, 0.08) * (x - 0.5)
        if rough:
            edge = edge + rough * (noise(r, side, 0.12, 1, 1)[:1, :, 0] - 1) * 0.5
        return y > edge

    everywhere = np.ones((side, side), bool)
    kind = r.random()
    if kind < 0.5:
        horizon = float(r.uniform(0.15, 0.6))
        put(str(r.choice(ROOM_BACK)), everywhere)
        put(str(r.choice(ROOM_FRONT)), below(horizon, 0))
    elif kind < 0.8:
        horizon = float(r.uniform(0.25, 0.65))
        put("sky", everywhere)
        if r.random() < 0.4:
            puff = noise(r, side, 0.3, 0.18, 1)[..., 0] > r.uniform(1.2, 1.9)
            put("cloud", puff & (y < horizon))
        if r.random() < 0.6:
            put(str(r.choice(FAR)), below(horizon - r.uniform(0.08, 0.25), 0.12))
        put(str(r.choice(GROUND)), below(horizon, 0.03))
    else:
        horizon = None
        put(str(r.choice(list(SURFACES))), everywhere)
    if r.random() < 0.3:
        put(str(r.choice(PATCHES)), patch(r, side, horizon))
    return picture, ids, stuff, horizon


def patch(r: Draw, side: int, horizon: float | None) -> NDArray[np.bool_]:
    """A sheet, a puddle or a band on the ground."""
    mask = np.zeros((side, side), np.uint8)
    low = horizon or 0.0
    cx, cy = r.uniform(0.1, 0.9), r.uniform(low + 0.3 * (1 - low), 1)
    w, h = r.uniform(0.15, 0.5), r.uniform(0.1, 0.35) * (1 - low)
    if r.random() < 0.5:
        angle = r.uniform(-30, 30)
        corners = cv2.boxPoints(((cx * side, cy * side), (2 * w * side, 2 * h * side), angle))
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    else:
        cv2.ellipse(
            mask,
            (int(cx * side), int(cy * side)),
            (int(w * side), int(h * side)),
            r.uniform(-20, 20),
            0,
            360,
            1,
            -1,
        )
    if horizon is not None:
        mask[: int((horizon + 0.05) * side)] = 0
    return mask.astype(bool)


# Things. --------------------------------------------------------------------------------------------------


def draw(
    r: Draw, picture: NDArray[np.float32], ids: NDArray[np.int16], thing: Thing, number: int, flat: bool
) -> bool:
    """Paint a thing and its shadow; whether any of it is in the picture."""
    side = len(picture)
    parts = turned(r, thing, flat)
    scale = thing.size * side
    everything = np.concatenate([p for p, _ in parts])
    span = np.ptp(everything, axis=0).max()
    middle = (everything.max(0) + everything.min(0)) / 2
    at = np.array([thing.x, thing.y]) * side
    placed = [((p - middle) * (scale / span) + at, tone) for p, tone in parts]
    low, high = np.concatenate([p for p, _ in placed]).min(0), np.concatenate([p for p, _ in placed]).max(0)
    x0, y0 = np.maximum(np.floor(low).astype(int) - 1, 0)
    x1, y1 = np.minimum(np.ceil(high).astype(int) + 1, side)
    if x1 - x0 < 3 or y1 - y0 < 3:
        return False
    shadow(r, picture, low, high, flat)
    alpha = np.zeros((y1 - y0, x1 - x0), np.float32)
    tone = np.ones_like(alpha)
    for points, value in placed:
        cover = np.zeros(alpha.shape, np.uint8)
        fixed = np.round((points - (x0, y0)) * _FIXED).astype(np.int32)
        cv2.fillPoly(cover, [fixed], 255, cv2.LINE_AA, 4)
        m = cover.astype(np.float32) / 255
        if value == HOLE:
            alpha *= 1 - m
        else:
            np.maximum(alpha, m, out=alpha)
            tone += (value - tone) * m
    pixels = skin(r, thing.color, thing.pattern, thing.material, scale, *alpha.shape, thing.kind in ROUND)
    bright = np.maximum(tone - 1, 0)[..., None]
    pixels = pixels * np.minimum(tone, 1)[..., None] + (255 - pixels) * np.minimum(bright, 0.8)
    window = slice(y0, y1), slice(x0, x1)
    visible = alpha[..., None] * (0.6 if thing.material == "glass" else 1)
    picture[window] += (pixels - picture[window]) * visible
    ids[window][alpha > 0.5] = number
    return True


def turned(r: Draw, thing: Thing, flat: bool) -> list[tuple[Points, float]]:
    """The parts of a thing, facing either way, a little stretched and leaning."""
    stretch = np.array([np.exp(r.normal(0, 0.1)) * (-1 if r.random() < 0.5 else 1), np.exp(r.normal(0, 0.1))])
    free = thing.kind in FREE and (flat or r.random() < 0.4)
    angle = r.uniform(0, 2 * np.pi) if free or (flat and r.random() < 0.5) else r.normal(0, 0.06)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return [((points * stretch) @ turn.T, tone) for points, tone in SHAPES[thing.kind](r)]


def shadow(r: Draw, picture: NDArray[np.float32], low: Points, high: Points, flat: bool) -> None:
    side = len(picture)
    if r.random() < 0.2:
        return
    width, height = high - low
    cx, cy = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2 if flat else high[1]
    rx, ry = width * r.uniform(0.4, 0.6), height * 0.5 if flat else max(width * r.uniform(0.06, 0.14), 1.5)
    cx, cy = cx + r.normal(0, 0.06) * width, cy + (0.06 * height if flat else 0)
    x0, x1 = int(max(cx - rx * 1.6 - 2, 0)), int(min(cx + rx * 1.6 + 2, side))
    y0, y1 = int(max(cy - ry * 1.6 - 2, 0)), int(min(cy + ry * 1.6 + 2, side))
    if x1 <= x0 or y1 <= y0:
        return
    y, x = np.ogrid[y0:y1, x0:x1]
    far = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
    picture[y0:y1, x0:x1] *= 1 - (r.uniform(0.2, 0.55) * np.clip(1.4 - far, 0, 1))[..., None].astype(
        np.float32
    )


# Lens and truth. ------------------------------------------------------------------------------------------


def lens(
    r: Draw, picture: NDArray[np.float32], ids: NDArray[np.int16]
) -> tuple[NDArray[np.uint8], NDArray[np.int16]]:
    """Light over the whole scene, perspective, blur, noise, compression."""
    side = len(picture)
    x, y = grid(side)
    a = r.uniform(0, 6.28)
    light = 1 + r.uniform(0, 0.35) * ((x - 0.5) * np.cos(a) + (y - 0.5) * np.sin(a))
    cast = r.normal(1, 0.05, 3) * r.uniform(0.7, 1.2)
    lit: NDArray[np.floating] = picture * light[..., None] * cast.astype(np.float32)
    if r.random() < 0.3:
        corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
        moved = corners + r.uniform(-0.12, 0.12, (4, 2)).astype(np.float32) * side
        matrix = cv2.getPerspectiveTransform(corners, moved)
        lit = np.asarray(cv2.warpPerspective(lit, matrix, (side, side), borderMode=cv2.BORDER_REFLECT), float)
        warped = cv2.warpPerspective(ids, matrix, (side, side), flags=cv2.INTER_NEAREST, borderValue=0)
        ids = np.asarray(warped, np.int16)
    if r.random() < 0.35:
        lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), r.uniform(0.4, 1.1) * side / 128), float)
    if r.random() < 0.6:
        lit = lit + r.normal(0, r.uniform(1, 8), lit.shape[:2])[..., None]
    image = np.clip(lit, 0, 255).astype(np.uint8)
    if r.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(r.integers(40, 95))]
        packed = cv2.imencode(".jpg", image[..., ::-1], quality)[1]
        image = np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
    return image, ids


def finish(
    r: Draw, image: NDArray[np.uint8], ids: NDArray[np.int16], stuff: dict[int, str], things: list[Thing]
) -> Scene:
    """Number the segments that can be seen, and say what can be said of them."""
    areas = np.bincount(ids.ravel(), minlength=100 + len(things))
    numbers = [n for n in (*stuff, *range(100, 100 + len(things))) if areas[n] >= SMALLEST]
    table = np.zeros(len(areas), np.int16)
    table[numbers] = np.arange(1, len(numbers) + 1)
    categories = tuple(_PLACE[stuff[n] if n < 100 else things[n - 100].kind] for n in numbers)
    seen = [things[n - 100] for n in numbers if n >= 100]
    first = len(numbers) - len(seen)
    phrases = [(p, first + i) for i, thing in enumerate(seen) if (p := describe(r, thing, seen)) is not None]
    for place, n in enumerate(numbers):
        if n < 100 and r.random() < 0.25:
            phrases.append((("the " if r.random() < 0.5 else "") + str(r.choice(NAMES[stuff[n]])), place))
    return Scene(image, table[ids], categories, tuple(phrases))


def describe(r: Draw, thing: Thing, seen: list[Thing]) -> str | None:
    """A sentence that fits this thing alone: attributes are added until it does; None: none does."""
    others = [other for other in seen if other is not thing]
    words: dict[str, str] = {}
    noun = str(r.choice(THINGS[thing.kind])) if r.random() < 0.6 else thing.kind
    if r.random() < 0.9:
        others = [o for o in others if o.kind == thing.kind]
    else:
        noun = str(r.choice(["thing", "object", "one"]))
        words["color"] = str(r.choice(COLORS[thing.color][1]))
        others = [o for o in others if o.color == thing.color]
    wanted = int(r.integers(0, 3))
    for attribute in r.permutation(["color", "color ", "size", "pattern", "material", "place", "relation"]):
        name = str(attribute).strip()
        if len(words) >= wanted and not others:
            break
        if name in words:
            continue
        said = _say(r, name, thing, others, seen)
        if said is not None:
            words[name], others = said
    if others:
        return None
    front = [words[k] for k in ("size", "color", "pattern", "material") if words.get(k)]
    ends = [words[k] for k in ("place", "relation") if words.get(k)]
    article = "the " if r.random() < 0.6 else ""
    return article + " ".join([*front, noun, *ends[:1]])


def _say(
    r: Draw, name: str, thing: Thing, others: list[Thing], seen: list[Thing]
) -> tuple[str, list[Thing]] | None:
    """A word for one attribute, and which of the others it fits as well."""
    if name == "color":
        return str(r.choice(COLORS[thing.color][1])), [o for o in others if o.color == thing.color]
    if name == "size" and thing.size_word:
        return str(r.choice(SIZES[thing.size_word])), [o for o in others if o.size_word == thing.size_word]
    if name == "pattern" and (thing.pattern != "plain" or r.random() < 0.2):
        word = str(r.choice([w for w in PATTERNS[thing.pattern] if w]))
        return word, [o for o in others if o.pattern == thing.pattern]
    if name == "material" and thing.material != "matt":
        return str(r.choice(MATERIALS[thing.material])), [o for o in others if o.material == thing.material]
    if name == "place":
        word = {"left": "on the left", "right": "on the right", "middle": "in the middle"}[thing.place]
        return word, [o for o in others if o.place == thing.place]
    if name == "relation":
        alone = [o for o in seen if o is not thing and sum(p.kind == o.kind for p in seen) == 1]
        if alone:
            other = alone[int(r.integers(len(alone)))]
            if abs(other.x - thing.x) > 0.15:
                left = thing.x < other.x
                word = ("left of the " if left else "right of the ") + str(r.choice(THINGS[other.kind]))
                return word, [o for o in others if (o.x < other.x) == left]
    return None
