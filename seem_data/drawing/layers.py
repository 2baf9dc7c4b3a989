"""Layers that cover one another ─▶ which of them is seen at every pixel.

All layers are resolved together, as bits of one machine word per stretch of a pixel column, so the cost
follows the length of the outlines and not the number of pixels under them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seem_data.drawing.runs import Stretches
from seem_data.drawing.scan import Edges

_AT_ONCE = 52  #: as many bits as a float64 holds exactly, less one
_BIAS = 1022  #: what a float64 of 0.5 … 1 has for its exponent


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """Layers from bottom to top.

    Attributes:
        value: [L] what each layer paints, above 0.
        toggle: [T] where the layers are entered and left (see `scan`), layer by layer.
        layer: [T] the layer of each toggle, growing.
        edge: [T] the polygon edge that each toggle lies on, or -1 for those of bitmaps.
        edges: the polygon edges.
    """

    value: NDArray[np.int64]
    toggle: NDArray[np.int64]
    layer: NDArray[np.int64]
    edge: NDArray[np.int64]
    edges: Edges

    def own_areas(self, pixel_count: int) -> NDArray[np.int64]:
        """[L] pixels of each layer, whatever lies on top."""
        key = np.sort(self.layer * (pixel_count + 1) + self.toggle)
        layer, lengths = key[::2] // (pixel_count + 1), key[1::2] - key[::2]
        return np.bincount(layer, lengths, len(self.value)).astype(np.int64)

    def take(self, order: NDArray[np.int64]) -> Layers:
        """Some of the layers, in another order."""
        if np.array_equal(order, np.arange(len(self.value))):
            return self
        place = np.full(len(self.value), -1)
        place[order] = np.arange(len(order))
        moved = place[self.layer]
        kept = np.argsort(moved, kind="stable")[np.count_nonzero(moved < 0) :]
        return Layers(self.value[order], self.toggle[kept], moved[kept], self.edge[kept], self.edges)

    def seen(self, size: tuple[int, int]) -> Stretches:
        """The topmost value everywhere; 0 where there is no layer."""
        width, height = size
        pixel_count, count = width * height, len(self.toggle)
        # Events, sorted by position and layer: the toggles, then the beginnings of columns.
        bits = (count + width).bit_length()
        event = np.append(self.toggle, np.arange(0, pixel_count, height)) << bits
        event |= np.arange(count + width)
        event.sort()
        position, toggle = event >> bits, event & ((1 << bits) - 1)
        layer = np.append(self.layer, np.full(width, -1))[toggle]
        value = np.zeros(len(event), np.int64)
        for lowest in range(0, len(self.value), _AT_ONCE):
            batch = len(self.value[lowest : lowest + _AT_ONCE])
            bit = np.zeros(len(self.value) + 1, np.int64)  # the last one is for where columns begin
            bit[lowest : lowest + batch] = 1 << np.arange(batch)
            # After each event, the set of layers that cover the pixels from there on, one bit each.
            covering = np.bitwise_xor.accumulate(bit[layer])
            # 0: none, k: the k-th of this batch. It is the exponent of the number, which floats hold in bits.
            topmost = np.maximum((covering.astype(np.float64).view(np.int64) >> 52) - _BIAS, 0)
            found = np.append(0, self.value[lowest : lowest + _AT_ONCE])[topmost]
            value = np.where(found > 0, found, value) if lowest else found
        settled = np.flatnonzero((position < pixel_count) & (position != np.append(position[1:], -1)))
        value, start, toggle = value[settled], position[settled], toggle[settled]
        kept = (value != np.append(-1, value[:-1])) | (toggle >= count)
        return Stretches.of(value[kept], start[kept], np.where(toggle < count, toggle, -1)[kept], size)
