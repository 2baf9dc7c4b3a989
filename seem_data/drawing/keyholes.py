"""Rings with holes ─▶ one closed line, for formats whose polygons know no holes.

A bridge runs from the outer ring to each hole and back along the same way. Filled by the even-odd rule the
two ways of a bridge cancel exactly, so the line encloses the outer ring less its holes, to the last pixel.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def keyhole(outer: np.ndarray, holes: Sequence[np.ndarray]) -> np.ndarray:
    """The polygon as one ring.

    Args:
        outer: [N, 2] points of the outer ring.
        holes: [M, 2] points each.

    Returns:
        [N + Σ(M + 2), 2] points; for each hole, from left to right, its leftmost point is joined to the
        point of the line so far that is nearest to it.
    """
    line = outer
    leftmost = [int(hole[:, 0].argmin()) for hole in holes]
    starts = [hole[first].tolist() for hole, first in zip(holes, leftmost, strict=True)]
    for number in sorted(range(len(holes)), key=starts.__getitem__):
        hole, first = holes[number], leftmost[number]
        away = line - hole[first]
        near = int(np.einsum("ij,ij->i", away, away).argmin())
        line = np.concatenate([line[: near + 1], hole[first:], hole[: first + 1], line[near:]])
    return line
