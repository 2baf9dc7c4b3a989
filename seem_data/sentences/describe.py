"""Sentences about the segments of an image, made of facts that anyone can see in it.

Every generated sentence but the plain ``name`` holds for exactly one segment of its image, and with a margin:
the left cup is clearly left of the others, the largest is half as large again as the next. What is close is
not said.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import Sentence
from seem_data.drawing.raster import Drawing
from seem_data.sentences import colors

CLEAR_GAP = 0.06  #: how far centres lie apart at least, as a fraction of the image
CLEAR_RATIO = 1.5  #: of areas
OWN_COLOR = 0.6  #: share of a segment's pixels that have the colour said of it, at least
OTHERS_COLOR = 0.2  #: the same for the others of its name, at most
COLOR_SAMPLES = 16  #: pixels that a colour is told from, at least
NEAR = 0.35  #: how far neighbours are apart at most, as a fraction of the image
BESIDE = 0.5  #: how much of the smaller one's extent two neighbours share, at least
SIDE = 0.4  #: what lies on a side of the image has its centre within this fraction,
HALF = 0.55  #: and all of itself within this one

_SUFFIX = re.compile(r"(-(other|merged|stuff))+$")
_ORDINALS = ("second", "third", "fourth")

Ways = tuple[str, ...]  #: ways to say the same

#: Words for standing before and behind something, along x and along y.
_DIRECTIONS = ((("left of", "to the left of"), ("right of", "to the right of")), (("above",), ("below",)))


@cache
def noun(category_name: str) -> str:
    """A category's name as a word: ``wall-other-merged`` ─▶ ``wall``, ``potted_plant`` likewise."""
    return _SUFFIX.sub("", category_name).replace("_", " ").strip()


@dataclass(slots=True)  # not frozen: made for every segment, and frozen ones take three times as long to make
class Fact:
    """One segment as the sentences see it: places are fractions (x, y) of the image, y down."""

    index: int
    noun: str
    isthing: bool
    area: int
    center: tuple[float, float]
    low: tuple[float, float]
    high: tuple[float, float]
    extent: tuple[float, float]


@dataclass(slots=True)
class Claim:
    """Something that is true of one segment only."""

    index: int
    kind: str
    ways: Ways


def describe(
    drawing: Drawing, pixels: NDArray[np.uint8] | None, per_segment: int, seed: str
) -> list[tuple[Sentence, ...]]:
    """Up to `per_segment` generated sentences for each segment of a drawing, the first of kind ``name``.

    Args:
        pixels: [h, w, 3] the photo as RGB, the same view at any size; None: no colours are told.
        seed: decides which of the true sentences are taken, and how they are worded.
    """
    if per_segment <= 0:
        return [()] * len(drawing.segments)
    facts = facts_of(drawing)
    by_noun: dict[str, list[Fact]] = {}
    for fact in facts:
        by_noun.setdefault(fact.noun, []).append(fact)
    # A crowd's members are not told apart, so nothing of that name is unique beside it.
    crowds = {facts[i].noun for i, segment in enumerate(drawing.segments) if segment.iscrowd}
    shares = None if pixels is None else _color_shares(drawing, pixels)

    claims: list[list[Claim]] = [[] for _ in facts]
    landmarks = [group[0] for word, group in by_noun.items() if len(group) == 1 and word not in crowds]
    for word, group in by_noun.items():
        if word not in crowds:
            for claim in _claims(group, [mark for mark in landmarks if mark is not group[0]], shares):
                claims[claim.index].append(claim)

    draw = random.Random(seed)
    said = []
    for fact, known in zip(facts, claims, strict=True):
        chosen = _choose(known, per_segment - 1, draw)
        name = draw.choice(_names(fact.noun, len(by_noun[fact.noun]) == 1))
        said.append((Sentence(name, "name"), *[Sentence(draw.choice(c.ways), c.kind) for c in chosen]))
    return said


def facts_of(drawing: Drawing) -> list[Fact]:
    """What is seen of each segment."""
    runs = drawing.runs
    if not drawing.segments:
        return []
    width, height = runs.size
    length = runs.bottom - runs.top
    first = runs.bounds[1:-1]
    areas = np.add.reduceat(length, first)
    x = np.add.reduceat(length * (2 * runs.column + 1), first) / (2 * areas * width)
    y = np.add.reduceat(length * (runs.top + runs.bottom), first) / (2 * areas * height)
    facts = []
    for index, (segment, *center) in enumerate(zip(drawing.segments, x.tolist(), y.tolist(), strict=True)):
        left, top, wide, high = segment.bbox
        low = (left / width, top / height)
        end = ((left + wide) / width, (top + high) / height)
        facts.append(
            Fact(
                index,
                noun(segment.category.name),
                segment.category.isthing,
                segment.area,
                (center[0], center[1]),
                low,
                end,
                (end[0] - low[0], end[1] - low[1]),
            )
        )
    return facts


def _names(word: str, unique: bool) -> Ways:
    if unique:
        return (word, f"the {word}")
    if word.endswith("s"):
        return (word,)
    return (word, f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}")


def _choose(claims: Sequence[Claim], count: int, draw: random.Random) -> list[Claim]:
    """Some of the claims, of as many kinds as there are before two of one kind."""
    if not claims:
        return []
    claims = list(claims)
    draw.shuffle(claims)
    if len({claim.kind for claim in claims}) == len(claims):
        return claims[:count]
    seen: dict[str, int] = {}
    turns = []
    for claim in claims:
        turns.append(seen.get(claim.kind, 0))
        seen[claim.kind] = turns[-1] + 1
    order = sorted(range(len(claims)), key=turns.__getitem__)
    return [claims[k] for k in order[:count]]


def _claims(group: list[Fact], landmarks: list[Fact], shares: list[list[float]] | None) -> Iterator[Claim]:
    rows = (sorted(group, key=lambda fact: fact.center[0]), sorted(group, key=lambda fact: fact.center[1]))
    if len(group) == 1:
        yield from _place_in_image(group[0])
    else:
        yield from _places_in_row(rows[0], 0, ("left", "right"))
        yield from _places_in_row(rows[1], 1, ("upper", "lower"))
        yield from _sizes(group)
    if shares is not None:
        yield from _colors(group, shares)
    yield from _relations(rows, landmarks)


# Position


def _place_in_image(fact: Fact) -> Iterator[Claim]:
    """Where the only one of its name lies in the image."""
    word = fact.noun
    for axis, before, after in ((0, "on the left", "on the right"), (1, "at the top", "at the bottom")):
        if fact.center[axis] <= SIDE and fact.high[axis] <= HALF:
            yield Claim(fact.index, "position", (f"the {word} {before}", f"{word} {before}"))
        if fact.center[axis] >= 1 - SIDE and fact.low[axis] >= 1 - HALF:
            yield Claim(fact.index, "position", (f"the {word} {after}", f"{word} {after}"))
    if all(abs(fact.center[axis] - 0.5) <= 0.1 and fact.extent[axis] <= HALF for axis in (0, 1)):
        yield Claim(fact.index, "position", (f"the {word} in the middle", f"{word} in the middle"))


def before(one: Fact, other: Fact, axis: int) -> bool:
    """Whether one is clearly left of (axis 0) or above (axis 1) another: its centre and both its ends are."""
    apart = other.center[axis] - one.center[axis]
    return (
        apart >= CLEAR_GAP
        and apart >= 0.25 * min(one.extent[axis], other.extent[axis])
        and one.low[axis] <= other.low[axis]
        and one.high[axis] <= other.high[axis]
    )


def _places_in_row(row: list[Fact], axis: int, words: tuple[str, str]) -> Iterator[Claim]:
    """Who of several of one name, in the order of their centres, is first, last or n-th along an axis."""
    word = row[0].noun
    count = len(row)
    for place in range(count) if count <= 8 else (*range(4), *range(count - 4, count)):
        fact = row[place]
        if _is_apart(fact, row, place, axis):
            yield Claim(fact.index, "position", _row_ways(word, place, count, words))
            if count == 3 and place == 1 and axis == 0 and _is_wide(row):
                yield Claim(fact.index, "position", (f"the middle {word}", f"the {word} in the middle"))


def _is_apart(fact: Fact, row: list[Fact], place: int, axis: int) -> bool:
    """Whether it is clearly behind all before it in a row, and before all others; the nearest, which mostly
    decide it, are asked first."""
    for other in reversed(row[:place]):
        if not before(other, fact, axis):
            return False
    for other in row[place + 1 :]:  # noqa: SIM110  (a plain loop is a good deal faster)
        if not before(fact, other, axis):
            return False
    return True


def _is_wide(row: list[Fact]) -> bool:
    """Whether a row from left to right is one: everyone stands at nearly the same height."""
    heights = [fact.center[1] for fact in row]
    return 3 * (max(heights) - min(heights)) <= row[-1].center[0] - row[0].center[0]


def _row_ways(word: str, place: int, count: int, words: tuple[str, str]) -> Ways:
    """Words for the place in a row, counted from the nearer end."""
    at_end = place > count - 1 - place
    rank, side = (count - 1 - place, words[1]) if at_end else (place, words[0])
    if rank:
        end = {"upper": "top", "lower": "bottom"}.get(side, side)
        return (f"the {_ORDINALS[rank - 1]} {word} from the {end}",)
    if count == 2:
        return (f"the {side} {word}", f"{side} {word}")
    if side in ("left", "right"):
        return (f"the {side}most {word}", f"the {word} farthest to the {side}")
    return (f"the {'topmost' if side == 'upper' else 'lowest'} {word}",)


# Size


def _sizes(group: list[Fact]) -> Iterator[Claim]:
    order = sorted(group, key=lambda fact: fact.area)
    word = order[0].noun
    degree = "er" if len(group) == 2 else "est"
    if order[1].area >= CLEAR_RATIO * order[0].area:
        yield Claim(order[0].index, "size", (f"the small{degree} {word}",))
    if order[-1].area >= CLEAR_RATIO * order[-2].area:
        yield Claim(order[-1].index, "size", (f"the larg{degree} {word}", f"the bigg{degree} {word}"))


# Colour


def _color_shares(drawing: Drawing, pixels: NDArray[np.uint8]) -> list[list[float]]:
    """[K][names] share of each colour name in each segment; NaN where too few pixels were looked at."""
    counts = colors.name_counts(drawing.stretches, len(drawing.segments), pixels)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total >= COLOR_SAMPLES, counts / np.maximum(total, 1), np.nan).tolist()


def _colors(group: list[Fact], shares: list[list[float]]) -> Iterator[Claim]:
    mine = [shares[fact.index] for fact in group]
    for fact, share in zip(group, mine, strict=True):
        most = max(share)
        if most >= OWN_COLOR:
            color = share.index(most)
            if sum(not other[color] <= OTHERS_COLOR for other in mine) == 1:
                words = f"{colors.NAMES[color]} {fact.noun}"
                yield Claim(fact.index, "color", (f"the {words}", words))


# Relation


def _relations(rows: tuple[list[Fact], list[Fact]], landmarks: list[Fact]) -> Iterator[Claim]:
    """Where a segment lies beside another one that is the only one of its name.

    Args:
        rows: those of the same name, in the order of their centres along x and along y.
    """
    thing = rows[0][0].isthing
    for mark in landmarks:
        if mark.isthing != thing:
            continue
        for axis in (0, 1) if thing else (1,):
            row, center = rows[axis], mark.center[axis]
            first, last = row[0], row[-1]
            lower = first.center[axis] < center and (len(row) == 1 or row[1].center[axis] >= center)
            upper = last.center[axis] >= center and (len(row) == 1 or row[-2].center[axis] < center)
            if lower and _stands_before(first, mark, axis):  # the only one that stands before the mark
                yield _relation(first, mark, _DIRECTIONS[axis][0])
            if upper and _stands_before(mark, last, axis):  # the only one that does not
                yield _relation(last, mark, _DIRECTIONS[axis][1])


def _relation(fact: Fact, mark: Fact, ways: Ways) -> Claim:
    return Claim(fact.index, "relation", tuple(f"the {fact.noun} {way} the {mark.noun}" for way in ways))


def _stands_before(one: Fact, other: Fact, axis: int) -> bool:
    """Whether one stands left of (above) another, beside it and near it."""
    gap = other.low[axis] - one.high[axis]
    if gap > NEAR or gap < -0.1 * min(one.extent[axis], other.extent[axis]):
        return False
    across = 1 - axis
    shared = min(one.high[across], other.high[across]) - max(one.low[across], other.low[across])
    beside = shared >= BESIDE * min(one.extent[across], other.extent[across])
    return beside and before(one, other, axis)
