"""Pictures of results: thin outlines, a light fill, labels that do not cover one another, dataset colours.

All images are RGB uint8 [H, W, 3]; coordinates are (x, y) pixels from the top left corner.
"""

from __future__ import annotations

import colorsys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from seem_data.common.colors import Color
from seem_data.layout import Category
from seem_train.output.labels import Label, draw_labels, load_font

FILL = 0.38  #: opacity of a region's fill
_WHITE, _INK = (255, 255, 255), (32, 33, 36)
_FOR, _AGAINST = (46, 174, 82), (221, 59, 59)  #: marks for and against an object
FOUND = (46, 134, 222)  #: what a prompt found


@dataclass(frozen=True)
class Tinted:
    """Something to be shown on an image."""

    mask: np.ndarray  #: [H, W] bool
    color: Color
    label: str = ""


def overlay(image: np.ndarray, regions: Sequence[Tinted], fill: float = FILL) -> np.ndarray:
    """The image with all regions on it, later ones above earlier ones, and their labels above all."""
    canvas = image.copy()
    thickness = line_width(image)
    placed: list[tuple[Tinted, tuple[slice, slice], np.ndarray]] = []
    for region in regions:
        box = _bounding_box(region.mask)
        if box is None:
            continue
        mask = region.mask[box]
        pixels = canvas[box]
        tint = np.array(region.color, np.float32) * fill
        pixels[mask] = (pixels[mask] * np.float32(1 - fill) + tint + 0.5).astype(np.uint8)
        placed.append((region, box, mask))
    for region, box, mask in placed:
        _outline(canvas, mask, (box[1].start, box[0].start), _bright(region.color), thickness)
    labels = [
        Label(region.label, _middle(mask, box), region.color, int(np.count_nonzero(mask)), box[0].start)
        for region, box, mask in placed
        if region.label
    ]
    return draw_labels(canvas, labels)


def panoptic_regions(id_map: np.ndarray, segments: Iterable[tuple[int, Category, str]]) -> list[Tinted]:
    """Regions of a panoptic result, stuff first; several things of one category get shades of its colour.

    Args:
        id_map: [H, W].
        segments: id, category and label of each.
    """
    seen: Counter[int] = Counter()
    regions = []
    for id_, category, label in sorted(segments, key=lambda segment: segment[1].isthing):
        color = shade(category.color, seen[category.id] if category.isthing else 0)
        seen[category.id] += 1
        regions.append(Tinted(id_map == id_, color, label))
    return regions


def shade(color: Color, number: int) -> Color:
    """A neighbour of a colour, the same hue lighter or darker; number 0 is the colour itself."""
    if number == 0:
        return color
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    step = (0.14, -0.14, 0.26, -0.22, 0.07, -0.07)[(number - 1) % 6]
    lighter = min(max(lightness + step, 0.18), 0.85)
    red, green, blue = colorsys.hls_to_rgb((hue + 0.012 * number) % 1, lighter, max(saturation, 0.35))
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_marks(
    image: np.ndarray,
    points: Sequence[tuple[float, float, bool]] = (),
    boxes: Sequence[tuple[float, float, float, float]] = (),
    strokes: Sequence[Sequence[tuple[float, float]]] = (),
) -> np.ndarray:
    """What a user pointed at: points (x, y, for or against), boxes (left, top, right, bottom), lines."""
    canvas = image.copy()
    width = line_width(image)
    for left, top, right, bottom in boxes:
        corners = (round(left), round(top)), (round(right), round(bottom))
        cv2.rectangle(canvas, *corners, _WHITE, width + 2, cv2.LINE_AA)
        cv2.rectangle(canvas, *corners, _FOR, width, cv2.LINE_AA)
    for stroke in strokes:
        line = np.asarray(stroke, np.float32).round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(canvas, [line], False, _WHITE, 3 * width + 2, cv2.LINE_AA)
        cv2.polylines(canvas, [line], False, _FOR, 3 * width, cv2.LINE_AA)
    for x, y, is_for in points:
        centre = round(x), round(y)
        cv2.circle(canvas, centre, 4 * width + 3, _WHITE, -1, cv2.LINE_AA)
        cv2.circle(canvas, centre, 4 * width + 1, _FOR if is_for else _AGAINST, -1, cv2.LINE_AA)
    return canvas


def contact_sheet(
    images: Sequence[np.ndarray], captions: Sequence[str] = (), columns: int = 4, height: int = 240
) -> np.ndarray:
    """Images in rows of `columns`, all `height` pixels high, captions above them."""
    gap, head = 8, 20 if any(captions) else 0
    font = load_font(13)
    scaled = [_to_height(image, height) for image in images]
    rows = [scaled[start : start + columns] for start in range(0, len(scaled), columns)]
    widths = [sum(image.shape[1] + gap for image in line) + gap for line in rows]
    sheet = Image.new("RGB", (max(widths, default=gap), gap + len(rows) * (head + height + gap)), _WHITE)
    pen = ImageDraw.Draw(sheet)
    said = iter(captions)
    for number, line in enumerate(rows):
        left, top = gap, gap + number * (head + height + gap)
        for image in line:
            text = _shorten(next(said, ""), image.shape[1], pen, font)
            pen.text((left, top + head // 2), text, _INK, font, anchor="lm")
            sheet.paste(Image.fromarray(image), (left, top + head))
            left += image.shape[1] + gap
    return np.asarray(sheet)


def at_most(image: np.ndarray, longest: int, how: int = cv2.INTER_AREA) -> np.ndarray:
    """The image, made smaller where a side is longer, in OpenCV's way `how`."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=how))


def line_width(image: np.ndarray) -> int:
    """Of outlines: one pixel, more on large images, which are looked at scaled down."""
    return max(1, round(max(image.shape[:2]) / 900))


def _to_height(image: np.ndarray, height: int) -> np.ndarray:
    """Scaled to a height; panoramas are also held to four times that in width, on a white ground."""
    scale = min(height / image.shape[0], 4 * height / image.shape[1])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = np.asarray(cv2.resize(image, size, interpolation=method))
    above = (height - size[1]) // 2
    return np.pad(resized, ((above, height - size[1] - above), (0, 0), (0, 0)), constant_values=255)


def _shorten(text: str, width: int, pen: ImageDraw.ImageDraw, font: object) -> str:
    text = " ".join(text.split())
    if pen.textlength(text, font) <= width:  # pyright: ignore[reportArgumentType]
        return text
    while text and pen.textlength(text + "…", font) > width:  # pyright: ignore[reportArgumentType]
        text = text[:-1]
    return text.rstrip() + "…"


def _outline(
    canvas: np.ndarray, mask: np.ndarray, offset: tuple[int, int], color: Color, thickness: int
) -> None:
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=offset
    )
    cv2.drawContours(canvas, contours, -1, color, thickness, cv2.LINE_AA)


def _bright(color: Color) -> Color:
    """The colour of an outline: light enough to be seen on its own fill."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    red, green, blue = colorsys.hls_to_rgb(hue, max(lightness, 0.62) * 0.65 + 0.3, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _bounding_box(mask: np.ndarray) -> tuple[slice, slice] | None:
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return (slice(top, top + height), slice(left, left + width)) if width else None


def _middle(mask: np.ndarray, box: tuple[slice, slice]) -> tuple[int, int]:
    """The (x, y) of the image deep inside a region given by its crop; of a long one, half-way along."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.nonzero(depth >= 0.9 * depth.max())
    best = int(np.hypot(x - x.mean(), y - y.mean()).argmin())
    return box[1].start + int(x[best]), box[0].start + int(y[best])
