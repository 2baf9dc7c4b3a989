"""A mask as Label Studio's brush: run lengths packed bit by bit, as ``readers/_brush.py`` describes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LENGTH_BITS = np.array([3, 4, 8, 16])  #: the widths of run lengths that Label Studio itself writes
_LONGEST = 1 << 16
_VALUE_BITS = 8


def encode_brush(mask: NDArray[np.bool_]) -> list[int]:
    """The bytes of a mask [height, width]: opaque white where it is, transparent elsewhere."""
    flat = mask.ravel()
    begins = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    lengths = 4 * np.diff(np.append(begins, flat.size))  # red, green, blue and alpha are equal
    blocks = -(-lengths // _LONGEST)
    value = np.repeat(np.where(flat[begins], 255, 0), blocks)
    length = np.full(len(value), _LONGEST)
    length[np.cumsum(blocks) - 1] = (lengths - 1) % _LONGEST + 1

    choice = np.searchsorted(1 << _LENGTH_BITS, length)
    bits = _LENGTH_BITS[choice]
    # Of each block: 1 for a run, 2 bits for the width of its length, the length less one, the value.
    words = (((1 << 2 | choice) << bits | (length - 1)) << _VALUE_BITS) | value
    header = [(4 * flat.size, 32), (_VALUE_BITS - 1, 5), *((int(width) - 1, 4) for width in _LENGTH_BITS)]
    words = np.append([word for word, _ in header], words)
    bits = np.append([width for _, width in header], bits + 3 + _VALUE_BITS)
    return np.packbits(_bits(words, bits)).tolist()


def _bits(words: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The lowest bits of each word, highest first, one after the other."""
    ends = np.cumsum(widths)
    stream = np.zeros(int(ends[-1]), np.uint8)
    for place in range(int(widths.max())):
        wide = np.flatnonzero(widths > place)
        stream[ends[wide] - 1 - place] = (words[wide] >> place) & 1
    return stream
