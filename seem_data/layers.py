"""Layers that cover one another ─▶ which of them is seen at every pixel.

All layers are resolved together, as bits of one machine word per stretch of a pixel column, so the cost
follows the length of the outlines and not the number of pixels under them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seem_data.scan import Edges

_AT_ONCE = 52  #: as many bits as a float64 holds exactly, less one


@dataclass(frozen=True, slots=True, eq=False)
class Layers:
    """Layers from bottom to top.

    Attributes:
        value: [L] what each layer paints, above 0.
        toggle: [T] where the layers are entered and left (see `scan`), in any order.
        layer: [T] the layer of each toggle.
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
        place = np.full(len(self.value), -1)
        place[order] = np.arange(len(order))
        moved = place[self.layer]
        kept = moved >= 0
        return Layers(self.value[order], self.toggle[kept], moved[kept], self.edge[kept], self.edges)

    def paint(self, size: tuple[int, int]) -> NDArray[Any]:
        """[W, H] the topmost value of every pixel, columns one after another; 0 where there is no layer."""
        width, height = size
        pixel_count = width * height
        dtype = np.min_scalar_type(int(self.value.max(initial=0)))
        columns = np.zeros(pixel_count, dtype)
        for lowest in range(0, len(self.value), _AT_ONCE):
            layer = self.layer - lowest
            mine = (layer >= 0) & (layer < _AT_ONCE)
            event = self.toggle[mine] * 64 + layer[mine]
            event.sort()
            # After each event, the set of layers that cover the pixels from there on, one bit each.
            covering = np.bitwise_xor.accumulate(np.left_shift(1, event & 63))
            topmost = np.frexp(covering.astype(np.float64))[1]  # 0: none, k: the k-th of this batch
            value = np.append(0, self.value[lowest : lowest + _AT_ONCE])[topmost]
            length = np.diff(event >> 6, prepend=0, append=pixel_count)
            batch = np.repeat(np.append(0, value).astype(dtype), length)
            if lowest:
                np.copyto(columns, batch, where=batch > 0)
            else:
                columns = batch
        return columns.reshape(width, height)
