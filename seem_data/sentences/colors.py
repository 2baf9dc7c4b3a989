"""What people would call the colour of a segment: the nearest of a few names, pixel by pixel, in CIELAB."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seem_data.common.colors import to_lab
from seem_data.drawing.runs import Stretches

#: Several typical shades of each name; a pixel has the name of the shade nearest to it.
_SHADES: dict[str, tuple[str, ...]] = {
    "black": ("#000000", "#1c1c1c", "#2b2b2b"),
    "white": ("#ffffff", "#f0f0f0", "#f4f1ea", "#eaf0f4"),
    "gray": ("#555555", "#777777", "#999999", "#bbbbbb", "#8a8f94", "#d0d0d0"),
    "red": ("#e00000", "#b01020", "#8b0000", "#e8382f"),
    "orange": ("#ff8c00", "#f07818", "#ffa533"),
    "yellow": ("#ffff00", "#f5d020", "#e8c840", "#fff176"),
    "green": ("#00a000", "#2e7d32", "#7cb342", "#5cd65c", "#1b4d20", "#6b8e23"),
    "blue": (
        "#0000ff",
        "#00008b",
        "#191970",
        "#1e5ad7",
        "#4a90e2",
        "#0d2c6c",
        "#87ceeb",
        "#3a6ea5",
        "#00a5c8",
    ),
    "purple": ("#800080", "#6a3fb5", "#9b59b6", "#b39ddb"),
    "pink": ("#ff69b4", "#ffb6c1", "#e91e8c", "#f48fb1"),
    "brown": ("#8b4513", "#5d3a1a", "#a0703c", "#c49a6c", "#3e2412"),
}

NAMES = tuple(_SHADES)

_TABLE = Path(__file__).with_name("color_names.png")
_MOST_SAMPLES = 144  #: pixels along the longer side that are looked at
_BITS = 5  #: of each channel that the table distinguishes


@cache
def _name_table() -> NDArray[np.uint8]:
    """[32³] by the upper bits of R, G, B: which of `NAMES`. As a picture of those colours it lies beside this
    file, made by `nearest_names`, for making it takes as long as building dozens of images."""
    with Image.open(_TABLE) as table:
        return np.asarray(table).reshape(-1)


def nearest_names() -> NDArray[np.uint8]:
    """[32³] the table, made anew; ``python -m seem_data.sentences.colors`` writes it to its place."""
    shades = np.array(
        [[int(shade[i : i + 2], 16) for i in (1, 3, 5)] for group in _SHADES.values() for shade in group]
    )
    name_of_shade = np.repeat(np.arange(len(NAMES)), [len(group) for group in _SHADES.values()])
    level = (np.arange(1 << _BITS) + 0.5) * (256 >> _BITS)
    cells = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    away = ((to_lab(cells)[:, None] - to_lab(shades)[None]) ** 2).sum(axis=-1)
    return name_of_shade[away.argmin(axis=1)].astype(np.uint8)


def name_counts(stretches: Stretches, segment_count: int, pixels: NDArray[np.uint8]) -> NDArray:
    """How many looked-at pixels of each segment have each colour name.

    Args:
        stretches: of the index map, 0 = void.
        pixels: [h, w, 3] the photo as RGB, the same view at any size.

    Returns:
        [segment_count, len(NAMES)] int.
    """
    width, height = stretches.size
    high, wide = pixels.shape[:2]
    step = -(-max(high, wide) // _MOST_SAMPLES)
    row, column = np.arange(step // 2, high, step), np.arange(step // 2, wide, step)
    seen = pixels[step // 2 :: step, step // 2 :: step]
    if not seen.size:  # of a photo of hardly more than a line no pixel may be looked at
        return np.zeros((segment_count, len(NAMES)), np.intp)
    level = seen >> (8 - _BITS)
    cell = level[..., 0].astype(np.uint16)
    for channel in (1, 2):
        cell <<= _BITS
        cell |= level[..., channel]
    name = _name_table().take(cell.T)  # [w, h], as the map lies
    at_row = ((row + 0.5) * height / high).astype(np.intp)
    at_column = ((column + 0.5) * width / wide).astype(np.intp)
    segment = stretches.some_columns(at_column).take(at_row, axis=1)
    pair = np.multiply(segment, len(NAMES), dtype=np.intp) + name
    counts = np.bincount(pair.ravel(), minlength=(segment_count + 1) * len(NAMES))
    return counts.reshape(segment_count + 1, -1)[1:]


if __name__ == "__main__":
    picture = Image.fromarray(nearest_names().reshape(1 << _BITS, -1))
    picture.putpalette([int(group[0][i : i + 2], 16) for group in _SHADES.values() for i in (1, 3, 5)])
    picture.save(_TABLE, optimize=True)
