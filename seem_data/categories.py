"""The colour map: which categories exist, what colour each is painted in, which of them are things.

Read from COCO panoptic categories (a list, or under a ``categories`` key) or from the short form
``{"person": {"color": "#dc143c", "isthing": true}, …}``. ``"aliases"`` are further labels of a category,
``"value"`` is the number that stands for it in masks. Checked as a whole: all faults are told at once.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, TypedDict

from seem_data.common.colors import Color
from seem_data.common.wording import a_few, did_you_mean
from seem_data.problems import DataError, Problem, attempt, fault

Tell: TypeAlias = Callable[[str, str, str, str], None]  #: code, where, message, remedy

_KEYS = ("id", "name", "color", "isthing", "supercategory", "aliases", "value")
_HEX = re.compile(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")
_LARGEST_ID = 2**31 - 1
_INIT = "'seem-data init ANNOTATIONS > cats.json' writes one from the labels found."


class CategoryRow(TypedDict):
    """A category as COCO panoptic writes it."""

    id: int
    name: str
    supercategory: str
    isthing: int
    color: list[int]


@dataclass(frozen=True, slots=True)
class Category:
    """A name for pixels. Things are counted one by one; stuff (ground, wall, sky) is one mass an image."""

    id: int
    name: str
    color: Color
    isthing: bool
    supercategory: str = ""
    aliases: tuple[str, ...] = ()

    def as_coco(self) -> CategoryRow:
        """The category as COCO panoptic writes it."""
        return {
            "id": self.id,
            "name": self.name,
            "supercategory": self.supercategory or self.name,
            "isthing": int(self.isthing),
            "color": list(self.color),
        }


class Categories(tuple[Category, ...]):
    """The categories of a dataset in their order; the order decides the contiguous index (semantic PNGs).

    Attributes:
        values: the names by the numbers that stand for them in masks, where the colour map says so.
    """

    values: dict[int, str]

    def __new__(
        cls, categories: Iterable[Category] = (), values: Mapping[int, str] | None = None
    ) -> Categories:
        made = super().__new__(cls, categories)
        made.values = dict(values or {})
        return made

    @cached_property
    def by_id(self) -> dict[int, Category]:
        return {category.id: category for category in self}

    @cached_property
    def by_color(self) -> dict[Color, Category]:
        return {category.color: category for category in self}

    @cached_property
    def index_of(self) -> dict[int, int]:
        """Category id ─▶ contiguous index 0..N-1."""
        return {category.id: index for index, category in enumerate(self)}

    @cached_property
    def _by_name(self) -> dict[str, Category]:
        names = {alias.casefold().strip(): category for category in self for alias in category.aliases}
        # Names win over other categories' aliases.
        names.update({category.name.casefold().strip(): category for category in self})
        return names

    @property
    def names(self) -> list[str]:
        return [category.name for category in self]

    def find(self, label: str) -> Category | None:
        """The category of that name or alias, letter case and outer spaces aside."""
        return self._by_name.get(label.casefold().strip())

    def suggest(self, label: str) -> str:
        """``"Did you mean 'cat'?"`` or ""."""
        known = [word for category in self for word in (category.name, *category.aliases)]
        return did_you_mean(label, known)

    def as_coco(self) -> list[CategoryRow]:
        return [category.as_coco() for category in self]


def load(path: Path) -> Categories:
    """Read a colour map.

    Raises:
        DataError: with every fault of the file.
    """
    problems: list[Problem] = []

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        problems.extend(
            Problem("duplicate-key", f"has {key!r} twice in one object.", "Use each name once.", str(path))
            for key in twice
        )
        return dict(pairs)

    try:
        text = path.read_bytes()
        if not text.strip():
            raise fault("no-colour-map", "is empty.", _INIT, str(path))
        data = json.loads(text, object_pairs_hook=unique)  # UTF-16, too: PowerShell's > writes that
    except FileNotFoundError:
        raise fault("no-colour-map", "there is no such file.", _INIT, str(path)) from None
    except OSError as error:
        remedy = "Name the colour map's JSON file with --colors."
        raise fault("unreadable", f"cannot be read ({error.strerror}).", remedy, str(path)) from None
    except (ValueError, RecursionError) as error:
        message = f"cannot be read as JSON ({error})."
        raise fault("bad-json", message, "Mend or re-export it.", str(path)) from None
    categories = attempt(problems, parse, data, str(path))
    if problems or categories is None:
        raise DataError(problems)
    return categories


def parse(data: object, file: str = "") -> Categories:
    """The colour map in any of its forms, checked.

    Raises:
        DataError: with every fault found.
    """
    problems: list[Problem] = []

    def tell(code: str, where: str, message: str, remedy: str) -> None:
        problems.append(Problem(code, message, remedy, file, where))

    records = _records(data, tell)
    colorless = [r for r in records if isinstance(r, dict) and r.get("color") is None]
    if len(colorless) > 1:
        shown = a_few([str(record.get("name")) for record in colorless])
        tell("no-colors", "", f"gives no colour to {len(colorless)} categories: {shown}.", _INIT)
        records = [
            {**record, "color": "#ffffff"} if isinstance(record, dict) and record in colorless else record
            for record in records
        ]
    categories = [
        category
        for index, record in enumerate(records)
        if (category := _category(index, record, tell)) is not None
    ]
    if not problems and not categories:
        tell("no-categories", "", "holds no category.", "List at least one.")
    _check_unique(categories, tell, are_colored=len(colorless) < 2)
    values = _values(records, tell)
    if problems:
        raise DataError(problems)
    return Categories(categories, values)


def _records(data: object, tell: Tell) -> list[object]:
    """Any of the accepted forms as a list of records, all of which have an id if they are records at all."""
    if isinstance(data, dict) and isinstance(data.get("categories"), list):
        data = data["categories"]
    if isinstance(data, dict):
        data = [
            {"name": name, **(value if isinstance(value, dict) else {"color": value})}
            for name, value in data.items()
        ]
    if not isinstance(data, list):
        message = "is neither a list of categories nor a map of names to colours."
        tell("bad-colour-map", "", message, 'Write e.g. {"person": {"color": "#dc143c", "isthing": true}}.')
        return []
    taken = {r["id"] for r in data if isinstance(r, dict) and isinstance(r.get("id"), int)}
    free = (number for number in range(1, _LARGEST_ID) if number not in taken)
    return [
        {"id": next(free), **record} if isinstance(record, dict) and "id" not in record else record
        for record in data
    ]


def _category(index: int, record: object, tell: Tell) -> Category | None:
    if not isinstance(record, dict):
        tell("bad-category", f"[{index}]", f"is {record!r}, not a category.", "Give name, color and isthing.")
        return None
    name = record.get("name")
    where = f"category {name!r}" if isinstance(name, str) and name else f"[{index}]"
    for key in record:
        if key not in _KEYS:
            hint = did_you_mean(str(key), _KEYS) or f"Known keys: {', '.join(_KEYS)}."
            tell("unknown-key", where, f"has the unknown key {key!r}.", hint)
    if not isinstance(name, str) or not name.strip():
        tell("bad-name", where, f"has the name {name!r}.", "Give a name that is not empty.")
        return None
    number = record["id"]
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _LARGEST_ID:
        tell("bad-id", where, f"has the id {number!r}.", "Use a whole number from 0 on, or leave ids out.")
        number = None
    color = parse_color(record.get("color"))
    if color is None:
        message = f"has the colour {record.get('color')!r}." if "color" in record else "has no colour."
        tell("bad-color", where, message, 'Write "color" as [r, g, b] with 0 to 255 each or as "#rrggbb".')
    isthing = record.get("isthing")
    if isthing not in (0, 1, True, False) or isinstance(isthing, float):
        message = "does not say whether it is a thing." if isthing is None else f"has isthing {isthing!r}."
        remedy = 'Add "isthing": true for countable objects, false for stuff such as ground and wall.'
        tell("no-isthing", where, message, remedy)
        isthing = None
    aliases = record.get("aliases", ())
    if not isinstance(aliases, list | tuple) or not all(isinstance(alias, str) for alias in aliases):
        tell("bad-aliases", where, f"has aliases {aliases!r}.", 'Write e.g. "aliases": ["people", "human"].')
        aliases = ()
    if number is None or color is None or isthing is None:
        return None
    supercategory = record.get("supercategory") or ""
    return Category(number, name.strip(), color, bool(isthing), str(supercategory), tuple(aliases))


def _values(records: list[object], tell: Tell) -> dict[int, str]:
    """The names of the categories by their ``"value"``: the number that stands for each in masks."""
    values: dict[int, str] = {}
    for record in records:
        if not isinstance(record, dict) or record.get("value") is None:
            continue
        value, name = record["value"], str(record.get("name")).strip()
        where = f"category {name!r}"
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 65535:
            tell("bad-value", where, f"has the value {value!r}.", "Use a whole number from 0 to 65535.")
        elif (first := values.setdefault(value, name)) != name:
            tell("duplicate-value", where, f"has value {value}, as {first!r} has.", "Use each number once.")
    return values


def parse_color(value: object) -> Color | None:
    """``[r, g, b]`` or ``"#rrggbb"`` / ``"#rgb"`` as (r, g, b); None when it is neither."""
    if isinstance(value, str) and (match := _HEX.fullmatch(value.strip())):
        digits = match[1] if len(match[1]) == 6 else "".join(2 * digit for digit in match[1])
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    if not all(isinstance(v, int) and not isinstance(v, bool) and 0 <= v <= 255 for v in value):
        return None
    return value[0], value[1], value[2]


def _check_unique(categories: list[Category], tell: Tell, are_colored: bool) -> None:
    """Colours decide categories, ids name them in files, names find them: none may be used twice."""
    ids: dict[int, int] = {}
    names: dict[str, int] = {}
    colors: dict[Color, int] = {}
    for index, category in enumerate(categories):
        where = f"category {category.name!r}"
        if category.color == (0, 0, 0):
            tell("black", where, "is black (0, 0, 0), which means unlabelled.", "Give it another colour.")
        if (first := ids.setdefault(category.id, index)) != index:
            other = categories[first].name
            tell("duplicate-id", where, f"has id {category.id}, as {other!r} has.", "Give each its own id.")
        if are_colored and (first := colors.setdefault(category.color, index)) != index:
            message = f"has colour {list(category.color)}, as {categories[first].name!r} has."
            tell("duplicate-color", where, message, "Colours decide categories: give each its own.")
        for word in (category.name, *category.aliases):
            if (first := names.setdefault(word.casefold().strip(), index)) != index:
                message = f"uses the name {word!r}, as id {categories[first].id} does."
                tell("duplicate-name", where, message, "Use each name once.")
