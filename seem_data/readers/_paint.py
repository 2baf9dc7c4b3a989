"""Painted PNGs: pixels as colour codes, matched with a table of colours, cut into bitmaps.

OpenCV is loaded on first use: readers are imported to be asked whether they know the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import Bitmap
from seem_data.common.colors import Color
from seem_data.images import SIXTEEN_BIT, Header, opening, read_header, read_rgb
from seem_data.problems import fault

#: The drawing order of painted ground: under everything that is drawn.
GROUND_Z = -(2**31)
#: Formats that keep every pixel's colour. JPEG and its like blur them, so masks cannot be stored in them.
SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")


def read_codes(path: Path) -> NDArray[np.int32]:
    """The pixels as 65536·R + 256·G + B, int32 [height, width]; palettes are looked up, clear pixels black.

    Raises:
        DataError: no readable image, or of a format that changes colours.
    """
    header = _exact_header(path)
    if header.mode in SIXTEEN_BIT:
        message = "is a mask of 16-bit numbers, which are no colours."
        remedy = "Say which category each number means, see 'seem-data formats'."
        raise fault("numbers", message, remedy, str(path))
    if header.mode in ("RGBA", "LA", "PA"):
        with opening(path, str(path)) as opened:
            layered = np.asarray(opened.convert("RGBA"))
        rgb = layered[:, :, :3] * (layered[:, :, 3:] > 0)
    else:
        rgb = read_rgb(path, "ignored")
    red, green, blue = (rgb[:, :, channel].astype(np.int32) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def read_numbers(path: Path) -> NDArray[np.uint8] | NDArray[np.int32] | None:
    """The pixels as numbers, [height, width]: grey values (uint8; int32 where they have 16 bits) or places in
    a palette (uint8); None of an image in colour.

    Raises:
        DataError: no readable image, one of a format that changes values, or of fractions.
    """
    header = _exact_header(path)
    if header.mode not in ("L", "P", "1", *SIXTEEN_BIT):
        return None
    with opening(path, str(path)) as opened:
        pixels = np.asarray(opened)
    if header.mode == "1":
        return pixels.astype(np.uint8)
    return pixels.astype(np.int32) if header.mode in SIXTEEN_BIT else pixels


def read_grey(path: Path) -> NDArray[np.uint8] | None:
    """The pixels of an image in colour that holds only greys, uint8 [height, width]; None of others."""
    codes = read_codes(path)
    grey = (codes & 255).astype(np.uint8)
    return grey if (codes == grey * np.int32(0x010101)).all() else None


def match(
    codes: NDArray[np.int32], table: Mapping[Color, int]
) -> tuple[NDArray[np.int32], list[tuple[Color, int]]]:
    """The table's value for every pixel, 0 where its colour is not in it or black.

    Returns:
        the values, int32 [height, width], and the colours that are not in the table with their pixel counts,
        most frequent first.
    """
    colours = {**table, (0, 0, 0): table.get((0, 0, 0), 0)}
    keys = np.array([code_of(colour) for colour in colours], dtype=np.int32)
    values = np.array(list(colours.values()), dtype=np.int32)
    order = np.argsort(keys)
    keys, values = keys[order], values[order]
    place = np.searchsorted(keys, codes).clip(max=len(keys) - 1)
    known = keys[place] == codes
    matched = np.where(known, values[place], 0).astype(np.int32)
    strangers, counts = np.unique(codes[~known], return_counts=True)
    by_count = np.argsort(-counts, kind="stable")
    return matched, [(colour_of(int(strangers[i])), int(counts[i])) for i in by_count]


def _exact_header(path: Path) -> Header:
    """
    Raises:
        DataError: no readable image, or of a format that changes colours.
    """
    header = read_header(path)
    if header.format in ("JPEG", "MPO") or path.suffix.lower() not in SUFFIXES:
        message = f"is a mask in {header.format} format, which may change the colours of its pixels."
        raise fault("lossy-mask", message, "Paint and save masks as PNG.", str(path))
    if header.format == "PNG" and header.mode in ("RGB", "RGBA") and _png_bits(path) == 16:
        message = "is a mask of 16 bits a colour; reading it as 8 bits would change its colours."
        raise fault("deep-mask", message, "Save it as PNG of 8 bits a colour.", str(path))
    return header


def _png_bits(path: Path) -> int:
    with path.open("rb") as file:
        return file.read(25)[24]


def code_of(colour: Color) -> int:
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def colour_of(code: int) -> Color:
    return code >> 16, code >> 8 & 255, code & 255


def cut(values: NDArray[np.integer], value: int) -> Bitmap:
    """The pixels of one value, which must occur."""
    import cv2

    mask = (values == value).view(np.uint8)
    x, y, width, height = cv2.boundingRect(mask)
    return Bitmap(mask[y : y + height, x : x + width].astype(bool), x, y)


def components(bitmap: Bitmap) -> list[Bitmap]:
    """The connected parts of a bitmap (pixels touch by edge or corner), by rows of their first pixel."""
    import cv2

    count, labels, boxes, _ = cv2.connectedComponentsWithStats(bitmap.mask.view(np.uint8), connectivity=8)
    parts = []
    for label in range(1, count):
        x, y, width, height = (int(number) for number in boxes[label, :4])
        window = labels[y : y + height, x : x + width] == label
        parts.append(Bitmap(window, bitmap.left + x, bitmap.top + y))
    return parts
