"""Panoptic ─▶ semantic PNG: every pixel the contiguous index of its category.

As panopticapi's ``panoptic2semantic_segmentation`` does it (things and stuff alike, void where there is no
segment), with the values that Mask2Former and SEEM read: the position of the category in the list, 0 … N-1,
and 255 for void (65535 in 16-bit files, which more than 255 categories need).
"""

from __future__ import annotations

import numpy as np

from seem_data.categories import Categories
from seem_data.encoding.panoptic import PanopticImage
from seem_data.layout import png, semantic_ignore


def encode(panoptic: PanopticImage, categories: Categories) -> bytes:
    """The PNG file."""
    ignore = semantic_ignore(len(categories))
    indices = [categories.index_of[segment.category_id] for segment in panoptic.segments]
    table = np.array([ignore, *indices], np.min_scalar_type(ignore))
    return png.encode_changes(panoptic.changes, table)
