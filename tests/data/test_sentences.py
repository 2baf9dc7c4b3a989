"""Generated sentences are true of one segment only: each is understood anew here, from the masks alone."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from drawing import CATEGORIES, box, draw, index_map
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from seem_data.annotations import Region
from seem_data.drawing.raster import Drawing
from seem_data.sentences.describe import describe, noun

#: Colours that nobody would call by another name.
PAINTS = {
    "red": (215, 20, 25),
    "green": (20, 150, 30),
    "blue": (20, 60, 220),
    "yellow": (250, 225, 30),
    "black": (12, 12, 12),
    "white": (250, 250, 250),
    "gray": (128, 128, 128),
    "orange": (255, 140, 10),
    "purple": (125, 30, 140),
    "pink": (255, 110, 180),
    "brown": (110, 60, 25),
}
WIDTH, HEIGHT = 120, 90


def scene(seed: int) -> tuple[Drawing, NDArray[np.uint8], list[str]]:
    """A table under a wall, and things on a grid of places or anywhere; each painted in one colour."""
    rng = np.random.default_rng(seed)
    horizon = int(rng.integers(20, 70))
    found = [
        Region("wall-other-merged", (box(0, 0, WIDTH, horizon),)),
        Region("table", (box(0, horizon, WIDTH, HEIGHT),)),
    ]
    for _ in range(rng.integers(1, 7)):
        x, y = rng.choice([6, 34, 62, 90]), rng.choice([5, 35, 65])
        if rng.random() < 0.5:
            x, y = rng.integers(0, 95), rng.integers(0, 70)
        wide, high = rng.integers(5, 26, 2)
        found.append(Region(["cup", "cup", "plate"][rng.integers(3)], (box(x, y, x + wide, y + high),)))
    drawing = draw(found, (WIDTH, HEIGHT))
    names = [str(name) for name in rng.choice(list(PAINTS), len(drawing.segments))]
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for number, name in enumerate(names, start=1):
        pixels[index_map(drawing) == number] = PAINTS[name]
    return drawing, pixels, names


class Looker:
    """Says which segments a sentence could mean, looking at masks; knows nothing of margins."""

    def __init__(self, drawing: Drawing, paints: list[str]) -> None:
        self.masks = [index_map(drawing) == k for k in range(1, len(drawing.segments) + 1)]
        self.nouns = [noun(segment.category.name) for segment in drawing.segments]
        self.paints = paints

    def center(self, segment: int, axis: int) -> float:
        return float(np.nonzero(self.masks[segment])[1 - axis].mean() + 0.5) / (WIDTH, HEIGHT)[axis]

    def meant(self, sentence: str) -> set[int]:
        words = re.sub(r"^the ", "", sentence)
        if match := re.fullmatch(
            r"(.+) (left of|right of|above|below) the (.+)", words.replace(" to the ", " ")
        ):
            subject, relation, landmark = match.groups()
            [mark] = self.called(landmark)
            axis = 0 if relation.endswith("of") else 1
            sign = 1 if relation in ("left of", "above") else -1
            return {
                k for k in self.called(subject) if sign * (self.center(mark, axis) - self.center(k, axis)) > 0
            }
        if match := re.fullmatch(r"(second|third|fourth) (.+) from the (left|right|top|bottom)", words):
            rank, subject, end = match.groups()
            row = self.row(subject, end)
            return {row[("first", "second", "third", "fourth").index(rank)]}
        if match := re.fullmatch(r"(.+) (?:on|at) the (left|right|top|bottom)", words):
            subject, side = match.groups()
            axis, first = self.direction(side)
            return {k for k in self.called(subject) if (self.center(k, axis) < 0.5) == first}
        if match := re.fullmatch(r"(.+) in the middle|middle (.+)", words):
            subject = match[1] or match[2]
            row = self.row(subject, "left")
            if len(row) == 3:
                return {row[1]}
            return {k for k in row if max(abs(self.center(k, 0) - 0.5), abs(self.center(k, 1) - 0.5)) < 1 / 6}
        if match := re.fullmatch(r"(.+) farthest to the (left|right)", words):
            return {self.row(match[1], match[2])[0]}
        adjective, subject = words.split(" ", 1)
        if adjective in PAINTS:
            return {k for k in self.called(subject) if self.paints[k] == adjective}
        if size := {"small": np.argmin, "larg": np.argmax, "bigg": np.argmax}.get(adjective.rstrip("erst")):
            named = self.called(subject)
            assert adjective.endswith("er") == (len(named) == 2)
            return {named[int(size([self.masks[k].sum() for k in named]))]}
        ends = {"upper": "top", "topmost": "top", "lower": "bottom", "lowest": "bottom"}
        return {self.row(subject, ends.get(adjective, adjective.removesuffix("most")))[0]}

    def called(self, word: str) -> list[int]:
        named = [k for k, name in enumerate(self.nouns) if name == word]
        assert named, f"nothing is called {word!r}"
        return named

    def direction(self, side: str) -> tuple[int, bool]:
        return {"left": (0, True), "right": (0, False), "top": (1, True), "bottom": (1, False)}[side]

    def row(self, word: str, end: str) -> list[int]:
        axis, first = self.direction(end)
        return sorted(self.called(word), key=lambda k: self.center(k, axis), reverse=not first)


@settings(max_examples=300)
@given(st.integers(0, 10**6))
def test_each_sentence_means_its_segment_and_no_other(seed):
    drawing, pixels, paints = scene(seed)
    looker = Looker(drawing, paints)
    for segment, said in enumerate(describe(drawing, pixels, 50, f"{seed}")):
        assert said[0].kind == "name"
        assert looker.nouns[segment] in said[0].raw
        for sentence in said[1:]:
            assert looker.meant(sentence.raw) == {segment}, sentence


def test_every_kind_and_wording_occurs():
    """… so that the test above tests something."""
    kinds: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for seed in range(200):
        drawing, pixels, _ = scene(seed)
        for said in describe(drawing, pixels, 50, f"{seed}"):
            kinds.update(sentence.kind for sentence in said)
            words.update(word for sentence in said for word in sentence.raw.split())
    assert set(kinds) == {"name", "position", "size", "color", "relation"}
    assert min(kinds.values()) > 50
    expected = "left leftmost farthest right rightmost upper lower topmost lowest second middle top bottom"
    expected += " smaller smallest larger largest bigger biggest above below of from on at in"
    assert not [word for word in expected.split() if not words[word]]


def test_what_is_close_is_not_said():
    drawing = draw([Region("cup", (box(x, 20, x + 3, 23),)) for x in (40, 44)], (WIDTH, HEIGHT))
    for said in describe(drawing, None, 9, ""):
        assert [sentence.kind for sentence in said] == ["name"]


def test_nothing_is_unique_beside_a_crowd_of_its_name():
    found = [
        Region("cup", (box(0, 0, 20, 20),)),
        Region("cup", (box(60, 50, 110, 80),), iscrowd=True),
        Region("plate", (box(30, 0, 50, 20),)),
    ]
    cup, crowd, plate = describe(draw(found, (WIDTH, HEIGHT)), None, 9, "")
    assert {sentence.kind for sentence in (*cup, *crowd)} == {"name"}
    assert plate
    assert not any("cup" in sentence.raw for sentence in plate)


def test_stuff_has_sentences_too():
    found = [
        Region("wall-other-merged", (box(0, 0, WIDTH, 40),)),
        Region("table", (box(0, 40, WIDTH, HEIGHT),)),
    ]
    wall, table = describe(draw(found, (WIDTH, HEIGHT)), None, 9, "")
    said = {sentence.raw for sentence in wall}
    assert said & {"wall at the top", "the wall at the top"}
    assert "the wall above the table" in said
    assert "the table below the wall" in {sentence.raw for sentence in table}


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_the_number_of_sentences_is_a_limit_and_kinds_alternate(count):
    drawing, pixels, _ = scene(5)
    everything = describe(drawing, pixels, 99, "x")
    for said, possible in zip(describe(drawing, pixels, count, "x"), everything, strict=True):
        assert len(said) == min(count, len(possible))
        assert len({s.kind for s in said}) == min(count, len({s.kind for s in possible}))
        assert len({s.raw for s in said}) == len(said)


def test_the_seed_decides_and_nothing_else():
    drawing, pixels, _ = scene(11)
    assert describe(drawing, pixels, 3, "0/a.jpg") == describe(drawing, pixels, 3, "0/a.jpg")
    ways = {str(describe(drawing, pixels, 3, f"{seed}/a.jpg")) for seed in range(10)}
    assert len(ways) > 1


def test_colours_are_told_from_a_smaller_photo_too():
    drawing, pixels, _ = scene(3)
    large, small = (describe(drawing, view, 50, "") for view in (pixels, pixels[1::3, 1::3]))
    assert {s.raw for said in large for s in said if s.kind == "color"} >= {
        s.raw for said in small for s in said if s.kind == "color"
    }


@pytest.mark.parametrize(
    ("category", "word"),
    [
        ("wall-other-merged", "wall"),
        ("mirror-stuff", "mirror"),
        ("potted_plant", "potted plant"),
        ("t-shirt", "t-shirt"),
        ("other", "other"),
    ],
)
def test_category_names_become_words(category, word):
    assert noun(category) == word


def test_articles_suit_their_nouns():
    assert CATEGORIES.find("cup") is not None
    cups = [Region("cup", (box(x, 0, x + 2, 2),)) for x in (0, 4)]
    said = {describe(draw(cups, (9, 9)), None, 1, f"{seed}")[0][0].raw for seed in range(20)}
    assert said == {"cup", "a cup"}
    single = {describe(draw(cups[:1], (9, 9)), None, 1, f"{seed}")[0][0].raw for seed in range(20)}
    assert single == {"cup", "the cup"}
