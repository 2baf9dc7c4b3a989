"""Images dealt out to splits by share, so that each split gets its share of every category, too.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas, 2011) over the presence of categories: the rarest
category is dealt out first, each image to the split that still lacks the category, then to the one that needs
it most. Images of one group stay together. The outcome depends on groups, categories and the seed, never on
the order of the input.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Unit:
    """Images that stay together: their positions, and in how many of them each category is."""

    key: str
    images: list[int] = field(default_factory=list)
    categories: Counter[int] = field(default_factory=Counter)


def deal(
    groups: Sequence[str], categories: Sequence[frozenset[int]], shares: Mapping[str, float], seed: int
) -> list[str]:
    """The split of every image.

    Args:
        groups: of every image; those of one group stay together.
        categories: present in every image.
        shares: by split, adding up to 1.
    """
    units: dict[str, _Unit] = {}
    for position, (key, present) in enumerate(zip(groups, categories, strict=True)):
        unit = units.get(key) or units.setdefault(key, _Unit(key))
        unit.images.append(position)
        unit.categories.update(present)

    # Large groups first, while there is room for them; otherwise in an order that means nothing.
    def order(unit: _Unit) -> tuple[int, bytes]:
        return -len(unit.images), hashlib.sha256(f"{seed} {unit.key}".encode("utf-8", "replace")).digest()

    dealing = _Deal(sorted(units.values(), key=order), shares)
    dealing.run()
    return [dealing.chosen[key] for key in groups]


class _Deal:
    """Deals units out to splits."""

    def __init__(self, units: list[_Unit], shares: Mapping[str, float]) -> None:
        self.units = units
        self.splits = list(shares)
        self.chosen: dict[str, str] = {}
        total: Counter[int] = sum((unit.categories for unit in units), Counter())
        self.room = _seats(sum(len(unit.images) for unit in units), shares)
        self.need = {s: {c: n * share for c, n in total.items()} for s, share in shares.items()}
        self.has: dict[str, set[int]] = {split: set() for split in shares}
        self.left = total

    def run(self) -> None:
        holders: dict[int, list[_Unit]] = defaultdict(list)
        for unit in self.units:
            for category in unit.categories:
                holders[category].append(unit)
        while waiting := [(count, category) for category, count in self.left.items() if count > 0]:
            _, rarest = min(waiting)
            for unit in holders[rarest]:
                if unit.key not in self.chosen:
                    self._give(unit, rarest)
        for unit in self.units:
            if unit.key not in self.chosen:
                self._give(unit, None)

    def _give(self, unit: _Unit, category: int | None) -> None:
        size = len(unit.images)
        fitting = [split for split in self.splits if self.room[split] >= size]

        def claim(split: str) -> tuple[float, ...]:
            if category is None:
                return (self.room[split],)
            return category not in self.has[split], self.need[split][category], self.room[split]

        split = max(fitting, key=claim) if fitting else max(self.splits, key=self.room.__getitem__)
        self.chosen[unit.key] = split
        self.room[split] -= size
        self.has[split] |= unit.categories.keys()
        for held, count in unit.categories.items():
            self.need[split][held] -= count
            self.left[held] -= count


def _seats(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """`total` images in whole numbers by largest remainder, with one for every split if there are enough."""
    exact = {split: total * share for split, share in shares.items()}
    seats = {split: int(number) for split, number in exact.items()}
    by_remainder = sorted(shares, key=lambda split: seats[split] - exact[split])
    for split in by_remainder[: total - sum(seats.values())]:
        seats[split] += 1
    for split in shares:
        richest = max(seats, key=seats.__getitem__)
        if seats[split] == 0 and seats[richest] > 1:
            seats[richest] -= 1
            seats[split] += 1
    return seats
