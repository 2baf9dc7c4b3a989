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
        value: [L] what each layer paints; 0 erases what lies below.
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
        event = np.concatenate([self.toggle, np.arange(0, pixel_count, height)])
        event <<= bits
        event |= np.arange(count + width)
        event.sort()
        position, toggle = event >> bits, event & ((1 << bits) - 1)
        # All layers end below a column; what an event ends with counts where the next one lies elsewhere.
        settled = np.empty(len(event), np.bool_)
        np.not_equal(position[1:], position[:-1], out=settled[:-1])
        settled[-1:] = True
        settled &= position < pixel_count
        settled = np.flatnonzero(settled)
        layer = np.concatenate([self.layer, np.full(width, -1)]).take(toggle)
        value = np.zeros(len(settled), np.int64)
        for lowest in range(0, len(self.value), _AT_ONCE):
            batch = len(self.value[lowest : lowest + _AT_ONCE])
            bit = np.zeros(len(self.value) + 1, np.int64)  # the last one is for where columns begin
            bit[lowest : lowest + batch] = 1 << np.arange(batch)
            # After each event, the set of layers that cover the pixels from there on, one bit each.
            covering = np.bitwise_xor.accumulate(bit.take(layer)).take(settled)
            # 0: none, k: the k-th of this batch. It is the exponent of the number, which floats hold in bits.
            topmost = np.maximum((covering.astype(np.float64).view(np.int64) >> 52) - _BIAS, 0)
            value_of = np.zeros(batch + 1, np.int64)
            value_of[1:] = self.value[lowest : lowest + _AT_ONCE]
            found = value_of.take(topmost)
            value = np.where(topmost > 0, found, value) if lowest else found
        toggle = toggle.take(settled)
        begins_column = toggle >= count
        toggle[begins_column] = -1
        kept = begins_column
        kept[1:] |= value[1:] != value[:-1]
        kept = np.flatnonzero(kept)
        return Stretches.of(value.take(kept), position.take(settled.take(kept)), toggle.take(kept), size)
