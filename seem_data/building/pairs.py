"""Polygons and painted masks of the same photo find each other, by the photo's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from seem_data.problems import Problem
from seem_data.readers import Item, _mask_names

Pair = tuple[Item | None, Item | None]


def pair(items: Iterable[Item], grounds: Iterable[Item], problems: list[Problem]) -> list[Pair]:
    """Each image's polygons and painted mask, at least one of both.

    They belong together if their names are equal but for the ending. What is left over then belongs together
    if its file names are, and occur once on either side: without ``--images`` a reader of polygons may call
    the photo ``images/001.jpg``, and the mask's reader, which has not seen the photo, ``001.png``. At last
    names are compared without the word that says what they are: ``001_mask.png``.

    Args:
        items: of ``--polys``, in their order.
        grounds: of ``--masks``.
        problems: gets masks that lay claim to the image of another mask.
    """
    by_path: dict[str, Item] = {}
    for ground in grounds:
        first = by_path.setdefault(_without_ending(ground.name), ground)
        if first is not ground:
            message = f"is of the same image as {first.source}; that one is used."
            problems.append(Problem("claimed-twice", message, "Remove one of both.", str(ground.source)))
    pairs: list[Pair] = [(item, by_path.pop(_without_ending(item.name), None)) for item in items]

    for of_item, of_ground in ((_stem, _stem), (_bare_stem, _bare_stem_of_mask)):
        lone_items = Counter(of_item(item) for item, ground in pairs if item and not ground)
        lone_grounds = Counter(map(of_ground, by_path.values()))
        by_stem = {
            stem: path for path, ground in by_path.items() if lone_grounds[stem := of_ground(ground)] == 1
        }
        for index, (item, ground) in enumerate(pairs):
            if item and not ground and lone_items[stem := of_item(item)] == 1 and stem in by_stem:
                pairs[index] = (item, by_path.pop(by_stem[stem]))
    return pairs + [(None, ground) for ground in by_path.values()]


def _without_ending(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _bare_stem(item: Item) -> str:
    return _mask_names.photo_stem(_stem(item))


def _bare_stem_of_mask(ground: Item) -> str:
    return _mask_names.mask_stem(_stem(ground))


def _stem(item: Item) -> str:
    return PurePosixPath(item.name).stem
