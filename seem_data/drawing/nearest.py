"""Pixels that nobody labelled take the value of the nearest labelled one. OpenCV is loaded on first use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seem_data.drawing.runs import Stretches, stretches_of


def spread_to_nearest(stretches: Stretches, unlabeled: int, first: int) -> Stretches:
    """Give every unlabelled pixel the value of the labelled, not void, pixel nearest to it.

    Args:
        unlabeled: the value of unlabelled pixels.
        first: the least value of a segment; what lies between both is void.
    """
    import cv2

    columns = stretches.columns()
    ground = columns < first
    if ground.all():
        return stretches
    _, found = cv2.distanceTransformWithLabels(
        ground.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.asarray(found, np.int32)
    value_of = np.zeros(int(nearest.max()) + 1, columns.dtype)
    value_of[nearest[~ground]] = columns[~ground]
    spread = stretches_of(np.where(columns == unlabeled, value_of[nearest], columns))
    before = np.searchsorted(stretches.start, spread.start, "right") - 1
    known = stretches.start[before] == spread.start
    return replace(spread, toggle=np.where(known, stretches.toggle[before], -1))
