"""Label Studio's brush masks: run lengths packed bit by bit.

Format: ``rle-pack`` of @thi.ng/umbrella, which Label Studio uses for the RGBA pixels of a canvas, row by row.
A stream of bits, highest first: 32 bits the count of bytes to come, 5 bits the width of a value less one,
four times 4 bits the width of a run length less one. Then, until all bytes are there: 1 bit whether a run or
single values follow, 2 bits which of the four widths the length has, the length less one, and either the one
value of the run or as many values as the length says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seem_data.problems import DataError, fault
from seem_data.readers import _shapes


def decode_brush(rle: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """The painted pixels (alpha above 0) as a mask [height, width].

    Raises:
        DataError: the stream is cut off, or not of an image of this size.
    """
    _shapes.check_mask_size(height, width)
    stream = _Bits(rle)
    count, value_bits = stream.read(32), stream.read(5) + 1
    if count != 4 * height * width or value_bits != 8:
        raise _bad(f"is of {count} values of {value_bits} bits, not of {width}×{height} RGBA pixels")
    lengths = [stream.read(4) + 1 for _ in range(4)]
    values = np.empty(count, np.uint8)
    done = 0
    while done < count:
        is_run = stream.read(1)
        end = done + stream.read(lengths[stream.read(2)]) + 1
        if end > count:
            raise _bad(f"runs {end - count} values over its end")
        values[done:end] = stream.read(8) if is_run else stream.read_bytes(end - done)
        done = end
    return values[3::4].reshape(height, width) > 0


def _bad(message: str) -> DataError:
    return fault("bad-rle", f"has a brush mask that {message}.", "Export it again.")


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def _take(self, bits: int) -> tuple[bytes, int]:
        """The bytes that the next bits lie in, and how many bits of the first one are gone."""
        first, self._place = self._place, self._place + bits
        if self._place > 8 * len(self._data):
            raise _bad("is cut off")
        return self._data[first >> 3 : (self._place + 7) >> 3], first & 7

    def read(self, bits: int) -> int:
        data, _ = self._take(bits)
        return int.from_bytes(data, "big") >> (-self._place & 7) & ((1 << bits) - 1)

    def read_bytes(self, count: int) -> NDArray[np.uint8]:
        data, gone = self._take(8 * count)
        if not gone:
            return np.frombuffer(data, np.uint8)
        pair = np.frombuffer(data, np.uint8)
        return ((pair[:-1] << gone) | (pair[1:] >> (8 - gone))).astype(np.uint8)
