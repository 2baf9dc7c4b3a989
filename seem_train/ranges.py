"""Numbers that a user gives, on the command line or from Python, checked before anything is opened; and how
large what is opened may be."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass

from seem_train.errors import UserError


@dataclass(frozen=True)
class Range:
    """The values a number may have, both ends included but for `above`; of a list, each of its numbers."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        ends = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {end:,g}" for word, end in ends.items() if end is not None)


#: of a photo, unless more are allowed (``--max-pixels``): about 1.3 GB while it is decoded
MAX_PIXELS = 128_000_000

COUNT = Range(least=1, most=10**9)
MANY = Range(least=0, most=10**9)
SHARE = Range(least=0, most=1)


def check_ranges(shares: Mapping[str, float | None], counts: Mapping[str, float | None]) -> None:
    """Shares must lie between 0 and 1, counts above 0; None is not given.

    Raises:
        UserError: all that do not, at once.
    """
    wrong = [
        f"{n} {v}: must lie between 0 and 1" for n, v in shares.items() if v is not None and not 0 <= v <= 1
    ]
    wrong += [f"{n} {v}: must be above 0" for n, v in counts.items() if v is not None and not v > 0]
    if wrong:
        raise UserError("\n".join(wrong))


def too_many_pixels(file: str | os.PathLike[str], height: int, width: int, most: int = MAX_PIXELS) -> str:
    """What to say of a photo of more than `most` pixels; "" of others."""
    pixels = height * width
    if pixels <= most:
        return ""
    return (
        f"{os.fspath(file)}: has {pixels:,} pixels, more than {most:,}; scale it down, or allow more "
        "with --max-pixels"
    )
