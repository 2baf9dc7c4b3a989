"""Names on a picture: legible on any ground, near the middle of what they name, never over one another."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seem_data.common.colors import Color

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class Label:
    text: str
    at: tuple[int, int]  #: (x, y) of the middle of what it names
    color: Color
    area: int = 0  #: pixels of what it names; larger things choose their place first
    top: int | None = None  #: the row where it begins: the label of a small thing stands above it


def draw_labels(image: np.ndarray, labels: Sequence[Label]) -> np.ndarray:
    """Labels on an RGB image [H, W, 3]: on their spot, or beside it; left out where there is no room near."""
    if not labels:
        return image
    height, width = image.shape[:2]
    size = min(max(round(min(height, width) / 34), 10), 60)
    font = load_font(size)
    picture = Image.fromarray(image).convert("RGBA")
    plates = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(plates)
    taken: list[Box] = []
    for label in sorted(labels, key=lambda label: -label.area):
        text = " ".join(label.text.split())
        extent = round(pen.textlength(text, font)) + size // 2 * 2, round(size * 1.45)
        if extent[0] > width or extent[1] > height:
            continue
        at = label.at
        if label.top is not None and label.area < 2 * extent[0] * extent[1]:
            at = at[0], label.top - extent[1] // 2 - 2
        place = next(_free_places(at, extent, (width, height), taken), None)
        if place is None:
            continue
        taken.append(place)
        pen.rounded_rectangle(place, round(size * 0.3), (*_dark(label.color), 205))
        middle = (place[0] + place[2]) / 2, (place[1] + place[3]) / 2
        pen.text(middle, text, (255, 255, 255, 255), font, anchor="mm")
    return np.array(Image.alpha_composite(picture, plates).convert("RGB"))


@cache
def load_font(size: int) -> Font:
    """DejaVu Sans (Latin, Greek, Cyrillic and more) where matplotlib brought it, else Pillow's own font."""
    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.origin is not None:
        file = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        if file.is_file():
            return ImageFont.truetype(str(file), size)
    return ImageFont.load_default(size)


def _free_places(
    at: tuple[int, int], extent: tuple[int, int], image: tuple[int, int], taken: Sequence[Box]
) -> Iterator[Box]:
    """Places inside the image that overlap none taken, those nearest to `at` first."""
    gap = 2
    up, right = extent[1] + gap, extent[0] // 2 + gap
    # The spot itself, then rings of places around it, at most two labels away.
    steps = sorted(
        ((x * right, y * up) for y in range(-2, 3) for x in range(-2, 3)),
        key=lambda step: (abs(step[0]) + abs(step[1]) * 1.01, step),
    )
    for dx, dy in steps:
        left = min(max(at[0] + dx - extent[0] // 2, 0), image[0] - extent[0])
        top = min(max(at[1] + dy - extent[1] // 2, 0), image[1] - extent[1])
        place = left, top, left + extent[0] - 1, top + extent[1] - 1
        if not any(_overlap(place, other, gap) for other in taken):
            yield place


def _overlap(one: Box, two: Box, gap: int) -> bool:
    return one[0] < two[2] + gap and two[0] < one[2] + gap and one[1] < two[3] + gap and two[1] < one[3] + gap


def _dark(color: Color) -> Color:
    """The colour, dark enough to carry white text (contrast of about 5 : 1 and more)."""
    red, green, blue = color
    luminance = (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
    factor = min(1.0, 0.36 / max(luminance, 1e-6))
    return round(red * factor), round(green * factor), round(blue * factor)
