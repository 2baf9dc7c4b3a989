"""Counting pixels two label maps share, and sums of IoUs that do not depend on their order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# IoUs are summed as whole multiples of 2⁻⁴²: exact in any order and over any number of processes, off by at
# most 1.2e-13 an IoU, with room for two million of them in an int64.
_FIXED_POINT = 2.0**42


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
    changes = np.empty(len(first), bool)
    changes[0] = True
    np.not_equal(first[1:], first[:-1], out=changes[1:])
    changes[1:] |= second[1:] != second[:-1]
    starts = np.flatnonzero(changes)
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = len(first) - starts[-1]
    return first.take(starts), second.take(starts), lengths


def count_pairs(
    first: np.ndarray, second: np.ndarray, lengths: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Pixels that carry index i in the first map and j in the second, int64 of the given shape.

    Args:
        first, second, lengths: [R] runs as of `paired_runs`, values replaced by indices within `shape`.
    """
    keys = first.astype(np.intp) * shape[1] + second
    # Floats hold the sums exactly up to 2⁵³ pixels.
    counts = np.bincount(keys, weights=lengths, minlength=shape[0] * shape[1])
    return counts.astype(np.int64).reshape(shape)


def indices_of(values: np.ndarray, known: Sequence[int], void: int, other: int) -> np.ndarray:
    """Position of each value in `known`; `void` for the value 0 and `other` for those that are not known.

    Args:
        values: [R] whole numbers from 0 on.
        known: unique whole numbers from 1 on.
    """
    # Ids reach 2²⁴, but only a few occur: a modulus that keeps them apart makes a small table of them.
    names = [0, *known]
    modulus = max(2**12, 4 * len(names) ** 2) + 1
    while len({name % modulus for name in names}) < len(set(names)):
        modulus += 2
    slots = [name % modulus for name in names]
    index_at, name_at = np.full(modulus, other, np.int32), np.full(modulus, -1, np.int32)
    index_at[slots], name_at[slots] = [void, *range(len(known))], names
    at = values if values.max(initial=0) < modulus else values % modulus
    indices = index_at.take(at)
    strangers = name_at.take(at) != values
    if strangers.any():
        indices[strangers] = other
    return indices
