"""How a model hears the name of a category."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from seem_data.problems import Problem

BACKGROUND = "background"  #: what SEEM calls "no object"; a category of that name is spoken otherwise


def words_of(name: str) -> list[str]:
    """A category's name in words, less those that only tell merged classes apart: sky-other is the sky."""
    words = name.casefold().replace("-", " ").replace("_", " ").split()
    return [word for word in words if word not in ("other", "merged", "stuff")] or words


def clean_name(name: str) -> str:
    """A COCO panoptic category as it is spoken: without the suffixes that tell merged classes apart."""
    for suffix in ("-other", "-merged", "-stuff"):
        name = name.replace(suffix, "")
    return name


def heard_as(name: str) -> str:
    """What the tokenizer makes of a name: case and outer blanks are lost."""
    return clean_name(name).replace(",", "").replace("+", " ").strip().lower()


def spoken_otherwise(names: Iterable[str]) -> Iterator[Problem]:
    """A note for each category whose name a model takes for "no object"."""
    for name in names:
        if heard_as(name) == BACKGROUND:
            message = (
                f'the category {name!r} is spoken in another word in training, for "background" means '
                '"no object" to SEEM.'
            )
            remedy = "Nothing need be done; a name that says what is seen (wall, sky, sea) is learned better."
            yield Problem("background", message, remedy, severity="note")
