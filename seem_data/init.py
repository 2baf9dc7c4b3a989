"""A colour map to begin with: the labels found in an input, in colours that are easy to tell apart."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np

from seem_data.annotations import UNLABELED, VOID
from seem_data.categories import Categories, Category, Color, parse_color
from seem_data.problems import DataError, Problem, collecting
from seem_data.readers import Input, Reader, detect, get

#: Words that name stuff more often than things. Only a first guess, for the user to correct.
_STUFF = frozenset((
    "background", "bush", "carpet", "ceiling", "cloud", "clouds", "dirt", "earth", "field", "floor", "fog",
    "foliage", "forest", "grass", "gravel", "ground", "hill", "land", "lawn", "mountain", "mud", "pavement",
    "railroad", "river", "road", "roof", "sand", "sea", "sidewalk", "sky", "snow", "soil", "tabletop",
    "terrain", "tree", "trees", "vegetation", "wall", "water",
))  # fmt: skip
_GRID = 12  #: levels per channel among which colours are chosen


def colour_map(
    source: Input, format: str | Reader = "auto", problems: list[Problem] | None = None
) -> Categories:
    """The labels of an input as categories.

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
        raise DataError(Problem("missing-input", message, "", str(source.images), where="--images"))
    reader = (
        format if not isinstance(format, str) else detect(source.polys) if format == "auto" else get(format)
    )
    labels: dict[str, str] = {}
    for item in reader.scan(source, problems):
        with collecting(problems, str(item.source)):
            for region in reader.load(item, problems).regions:
                if region.label.strip() not in ("", VOID, UNLABELED):
                    labels.setdefault(region.label.strip().casefold(), region.label.strip())
    if not labels:
        nothing = Problem("no-labels", "holds no labelled region.", "Label some objects.", str(source.polys))
        raise DataError([nothing, *(problem for problem in problems if problem.severity == "error")])
    known = reader.known_categories(source) if isinstance(reader, _Knowing) else []
    told = {str(record.get("name")).strip().casefold(): record for record in known}
    return _described(labels, told)


@runtime_checkable
class _Knowing(Protocol):
    def known_categories(self, source: Input) -> list[dict[str, Any]]: ...


def _described(labels: dict[str, str], told: dict[str, dict[str, Any]]) -> Categories:
    """Categories of the labels (by their casefolded form) with what is told of them, where it is usable."""
    keys = sorted(labels)
    records = [told.get(key, {}) for key in keys]
    ids = [number for record in records if type(number := record.get("id")) is int and 0 <= number < 2**31]
    if len(set(ids)) < len(keys):
        ids = list(range(1, len(keys) + 1))
    colors = [parse_color(record.get("color")) for record in records]
    colors = [
        color if color != (0, 0, 0) and color not in colors[:place] else None
        for place, color in enumerate(colors)
    ]
    free = iter(distinct_colors(colors.count(None), taken=[color for color in colors if color]))
    categories = []
    for place, (key, record) in enumerate(zip(keys, records, strict=True)):
        isthing = record.get("isthing")
        categories.append(
            Category(
                ids[place],
                labels[key],
                colors[place] or next(free),
                isthing=bool(isthing) if isthing in (0, 1) else not is_stuff(labels[key]),
                supercategory=str(record.get("supercategory") or ""),
            )
        )
    return Categories(sorted(categories, key=lambda category: category.id))


def is_stuff(name: str) -> bool:
    """Whether a name's last word is one of the common words for stuff: "brick wall", "sky-other"."""
    words = name.casefold().replace("-", " ").replace("_", " ").split()
    rest = [word for word in words if word not in ("other", "merged", "stuff")] or words
    return bool(rest) and rest[-1] in _STUFF


def distinct_colors(count: int, taken: Iterable[Color] = ()) -> list[Color]:
    """Colours as far apart as the eye sees them; the first ones do not depend on the count.

    Each next colour is the one farthest, in CIELAB, from all before it, from black and from white.
    """
    grid = _GRID
    while grid**3 < 2 * count + 64:
        grid *= 2
    levels = np.linspace(0, 255, grid).round().astype(np.uint8)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _to_lab(candidates)
    start = tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(0.97, 0.9, 0.86))
    colors: list[Color] = []
    avoided = [(0, 0, 0), (255, 255, 255), *taken]
    distance = np.full(len(candidates), np.inf)
    for color in avoided:
        distance = np.minimum(distance, _distance(lab, color))
    for number in range(count):
        red, green, blue = start if number == 0 and start not in avoided else candidates[distance.argmax()]
        color = (int(red), int(green), int(blue))
        colors.append(color)
        distance = np.minimum(distance, _distance(lab, color))
    return colors


def _to_lab(colors: np.ndarray) -> np.ndarray:
    return cv2.cvtColor((colors.reshape(1, -1, 3) / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]


def _distance(lab: np.ndarray, color: Color) -> np.ndarray:
    return np.linalg.norm(lab - _to_lab(np.array([color])), axis=1)
