"""A colour map to begin with: the labels found in an input, in colours that people expect of them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from seem_data.annotations import UNLABELED, VOID
from seem_data.categories import Categories, Category, parse_color
from seem_data.common.colors import Color, distinct_colors
from seem_data.common.wording import a_few
from seem_data.expected_colors import expected_color
from seem_data.init_masks import labels_of_masks
from seem_data.names import spoken_otherwise, words_of
from seem_data.problems import DataError, Problem, Spot, fault
from seem_data.readers import Input, Reader, archive, detect, get, items
from seem_data.readers.colormask import ColorMask

#: Words that name stuff more often than things. Only a first guess, for the user to correct.
_STUFF = frozenset((
    "background", "bush", "carpet", "ceiling", "cloud", "clouds", "dirt", "earth", "field", "floor", "fog",
    "foliage", "forest", "grass", "gravel", "ground", "hill", "land", "lawn", "mountain", "mud", "pavement",
    "railroad", "river", "road", "roof", "sand", "sea", "sidewalk", "sky", "snow", "soil", "tabletop",
    "terrain", "tree", "trees", "vegetation", "wall", "water",
))  # fmt: skip


def colour_map(
    source: Input, format: str | Reader = "auto", problems: list[Problem] | None = None
) -> Categories:
    """The labels of an input as categories; of painted or numbered masks their colours and numbers.

    Labels that differ in letter case only are one category. What the input itself says about them (COCO's
    categories have ids, panoptic ones also colours and ``isthing``) is kept where it can be. Otherwise they
    are numbered in alphabetical order, and whether one is a thing is guessed from its name (wall, sky,
    grass, … are stuff): look it over before building.

    Args:
        source: the annotations and, where it is not theirs, the photos' folder.
        format: a name in `readers.FORMATS`, or ``"auto"``.
        problems: receives what is wrong with the input.

    Raises:
        DataError: the format is not recognised, or the input holds no label.
    """
    problems = [] if problems is None else problems
    if source.images is not None and not source.images.exists():
        message = "there is no such folder."
        raise fault("missing-input", message, "", str(source.images), where="--images")
    reader = _reader(source, format)
    if reader is None:
        return described(*labels_of_masks(source, problems), problems)
    labels: dict[str, str] = {}
    found: list[Problem] = []
    for item in items(reader, source, found):
        with Spot(found, str(item.source)):
            for region in reader.load(item, found).regions:
                if region.label.strip() not in ("", VOID, UNLABELED):
                    labels.setdefault(region.label.strip().casefold(), region.label.strip())
    known = reader.known_categories(source) if isinstance(reader, _Knowing) else []
    told = {str(record.get("name")).strip().casefold(): record for record in known}
    if not labels and told:  # the photos are elsewhere, the names are here
        labels = {key: str(record["name"]).strip() for key, record in told.items() if record.get("name")}
        message = "no image of it can be read; the categories are those that it lists."
        found = [Problem("listed-only", message, "", str(source.polys), severity="note")]
    problems += found
    if not labels:
        nothing = Problem("no-labels", "holds no labelled region.", "Label some objects.", str(source.polys))
        raise DataError([nothing, *(problem for problem in problems if problem.severity == "error")])
    return described(labels, told, problems)


def _reader(source: Input, format: str | Reader) -> Reader | None:
    """The reader of the annotations; None of a folder that holds masks alone.

    Raises:
        DataError: the format is not recognised.
    """
    if not isinstance(format, str):
        return format
    if packed := archive(source.polys):
        raise DataError(packed)
    if format != "auto":
        return get(format)
    try:
        return detect(source.polys)
    except DataError as error:
        if error.problems[0].code == "unknown-format" and ColorMask().recognises(source.polys):
            return None
        raise


@runtime_checkable
class _Knowing(Protocol):
    def known_categories(self, source: Input) -> list[dict[str, object]]: ...


def described(
    labels: dict[str, str], told: dict[str, dict[str, object]], problems: list[Problem]
) -> Categories:
    """Categories of the labels (by their casefolded form) with what is told of them, where it is usable.

    Args:
        problems: gets a note of what was guessed.
    """
    keys = sorted(labels)
    records = [told.get(key, {}) for key in keys]
    ids = [number for record in records if type(number := record.get("id")) is int and 0 <= number < 2**31]
    if len(set(ids)) < len(keys):
        ids = list(range(1, len(keys) + 1))
    colors = _colors([labels[key] for key in keys], [parse_color(record.get("color")) for record in records])
    categories = []
    guessed: dict[bool, list[str]] = {True: [], False: []}
    for id, key, color, record in zip(ids, keys, colors, records, strict=True):
        name, isthing = labels[key], record.get("isthing")
        if isthing not in (0, 1):
            isthing = not is_stuff(name)
            guessed[isthing].append(name)
        supercategory = str(record.get("supercategory") or "")
        categories.append(Category(id, name, color, bool(isthing), supercategory))
    if any(guessed.values()):
        stuff = (
            f"{a_few(guessed[False])} are taken for stuff" if guessed[False] else "none is taken for stuff"
        )
        message = f"guessed from the names: {stuff}, {a_few(guessed[True]) or 'none'} for things."
        problems.append(
            Problem("guessed", message, 'Correct "isthing" where that is wrong.', severity="note")
        )
    problems += spoken_otherwise(category.name for category in categories)
    values = {
        value: labels[key]
        for key, record in zip(keys, records, strict=True)
        if isinstance(value := record.get("value"), int)
    }
    return Categories(sorted(categories, key=lambda category: category.id), values)


def _colors(names: list[str], told: list[Color | None]) -> list[Color]:
    """A colour for each name, none twice: the one told, or the one expected of the name, or another one."""
    colors: list[Color | None] = [None] * len(names)
    for choices in (told, [expected_color(name) for name in names]):
        for place, color in enumerate(choices):
            if colors[place] is None and color not in (None, (0, 0, 0)) and color not in colors:
                colors[place] = color
    free = iter(distinct_colors(colors.count(None), taken=[color for color in colors if color]))
    return [color or next(free) for color in colors]


def is_stuff(name: str) -> bool:
    """Whether a name's last word is one of the common words for stuff: "brick wall", "sky-other"."""
    return any(word in _STUFF for word in words_of(name)[-1:])
