"""Counting pixels two label maps share, and sums of IoUs that do not depend on their order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# IoUs are summed as whole multiples of 2⁻⁴²: exact in any order and over any number of processes, off by at
# most 1.2e-13 an IoU, with room for two million of them in an int64.
_FIXED_POINT = 2.0**42
_SMALL = 2**12  # ids below it are places in a table themselves
_MANY = 1000  # segments of an image, for which a table of larger ids grows too large


def to_fixed_point(ious: np.ndarray | float) -> np.ndarray:
    """IoUs as whole numbers that sum exactly, int64 of the same shape."""
    return np.rint(np.asarray(ious, np.float64) * _FIXED_POINT).astype(np.int64)


def from_fixed_point(total: np.ndarray | np.integer) -> np.ndarray:
    """The sums back as float64."""
    return np.asarray(total / _FIXED_POINT)


def paired_runs(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs of pixels, row by row, in which neither of two maps [H, W] changes.

    Label maps hold far fewer runs than pixels, so all that follows is cheap.

    Returns:
        value in the first map, value in the second, and length of every run, [R] each.
    """
    if first.shape != second.shape:
        raise ValueError(f"maps of different sizes: {first.shape} and {second.shape}")
    first, second = np.ravel(first), np.ravel(second)
    if not len(first):
        return first, second, np.zeros(0, np.int64)
    size = len(first)
    changes = np.zeros(-(-size // 8) * 8, bool)
    changes[0] = True
    np.not_equal(first[1:], first[:-1], out=changes[1:size])
    changes[1:size] |= second[1:] != second[:-1]
    starts = _places_of(changes)
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = size - starts[-1]
    return first.take(starts), second.take(starts), lengths


def _places_of(flags: np.ndarray) -> np.ndarray:
    """`np.flatnonzero` of bool [multiple of 8], twice as fast where few are set: first looks for eights."""
    words = flags.view(np.uint64)
    used = np.flatnonzero(words != 0)
    places = np.flatnonzero(words.take(used).view(bool))
    starts = used.take(places >> 3)
    starts <<= 3
    places &= 7
    starts += places
    return starts


def count_pairs(
    first: np.ndarray, second: np.ndarray, lengths: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Pixels that carry index i in the first map and j in the second, int64 of the given shape.

    Args:
        first, second, lengths: [R] runs as of `paired_runs`, values replaced by indices within `shape`.
    """
    keys = np.multiply(first, shape[1], dtype=np.intp)
    keys += second
    # Floats hold the sums exactly up to 2⁵³ pixels.
    counts = np.bincount(keys, weights=lengths, minlength=shape[0] * shape[1])
    return counts.astype(np.int64).reshape(shape)


def indices_of(values: np.ndarray, known: Sequence[int]) -> np.ndarray:
    """Position of each value in `known`; len(known) for the value 0, one more for those that are not known.

    Args:
        values: [R] whole numbers from 0 on.
        known: whole numbers from 1 on, below 2³¹; of one that occurs twice the last counts.
    """
    void, stranger = len(known), len(known) + 1
    largest = int(values.max(initial=0))
    if largest < _SMALL and values.min(initial=0) == 0:
        table = np.full(largest + 1, stranger, np.intp)
        table[0] = void
        for index, id_ in enumerate(known):
            if 0 < id_ <= largest:
                table[id_] = index
        return table.take(values)
    names = np.array([*known, 0, 0], np.result_type(values, np.int32))
    if len(known) > _MANY:
        order = np.argsort(names[:stranger])
        indices = order.take(np.searchsorted(names[:stranger], values, sorter=order), mode="clip")
    else:
        # Ids reach 2²⁴, but few occur: the top bits of their product with some odd number tell those apart,
        # which makes a small table of them.
        bits = 2 * stranger.bit_length() + 1
        different, factor, slots = len({0, *known}), 1, np.zeros(0, np.uint32)
        while len(set(slots.tolist())) < different:
            factor = (factor * 0x9E3779B1) % 2**32
            slots = _top_bits(names[:stranger], factor, bits)
        table = np.full(2**bits, stranger, np.intp)
        table[slots] = np.arange(stranger)
        indices = table.take(_top_bits(values, factor, bits))
    strange = names.take(indices) != values
    if strange.any():
        indices[strange] = stranger
    return indices


def _top_bits(values: np.ndarray, factor: int, bits: int) -> np.ndarray:
    return (values.astype(np.uint32) * np.uint32(factor)) >> np.uint32(32 - bits)
