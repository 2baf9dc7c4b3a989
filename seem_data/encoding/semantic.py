"""Panoptic ─▶ semantic PNG: every pixel the contiguous index of its category.

As panopticapi's ``panoptic2semantic_segmentation`` does it (things and stuff alike, void where there is no
segment), with the values that Mask2Former and SEEM read: the position of the category in the list, 0 … N-1,
and 255 for void (65535 in 16-bit files, which more than 255 categories need).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seem_data.categories import Categories
from seem_data.encoding.panoptic import PanopticImage, look_up
from seem_data.layout import IGNORE_8BIT, png, semantic_ignore


def encode(panoptic: PanopticImage, categories: Categories) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """[H, W] the category index of each pixel, and 255 (65535) for void."""
    return look_up(panoptic.drawing.labels, _table(panoptic, categories))


def encode_png(panoptic: PanopticImage, categories: Categories) -> bytes:
    """The same as a PNG file."""
    return png.encode_changes(panoptic.changes, _table(panoptic, categories))


def _table(panoptic: PanopticImage, categories: Categories) -> np.ndarray:
    """[K + 1] the category index of each value of the index map."""
    ignore = semantic_ignore(len(categories))
    indices = [categories.index_of[segment.category_id] for segment in panoptic.segments]
    return np.array([ignore, *indices], np.uint8 if ignore == IGNORE_8BIT else np.uint16)
