"""Categories at call time: a dataset's, COCO's 133, a file's, or any words a user names."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

from seem_data.common.colors import distinct_colors
from seem_data.layout import Category, parse_color
from seem_train.errors import UserError

#: a name; or a row with `name` and, as far as known, `id`, `isthing` and `color`; or a category
CategoryLike: TypeAlias = "str | Mapping[str, object] | Category"
#: several; or one string, names between commas; or a JSON file of them
CategoriesLike: TypeAlias = "Sequence[CategoryLike] | str | os.PathLike[str]"


@functools.cache
def coco_categories() -> tuple[Category, ...]:
    """The 80 things and 53 kinds of stuff of COCO panoptic, which the official checkpoints were trained on.

    Names, ids and colours are those of panopticapi's panoptic_coco_categories.json; the order is SEEM's.
    """
    file = files("seem_train.prediction") / "coco_categories.json"
    return as_categories(json.loads(file.read_text(encoding="utf-8")))


def as_categories(given: CategoriesLike, known: Sequence[Category] = ()) -> tuple[Category, ...]:
    """Categories from names and rows, and from a JSON file of them.

    What a name leaves open is taken from the known category of that name; else it is a thing, with a colour
    that no other has and the first free id.

    Raises:
        UserError: no category, an empty name, an id or colour that is none, two of one name or id, or a file
            that lists none.
    """
    if isinstance(given, os.PathLike) or (isinstance(given, str) and given.endswith(".json")):
        given = _listed(Path(given))
    elif isinstance(given, str):
        given = [name.strip() for name in given.split(",")]
    by_name = {category.name.casefold(): category for category in known}
    chosen: list[Category | dict[str, Any]] = []
    for entry in given:
        if isinstance(entry, Category):
            chosen.append(entry)
            continue
        row: dict[str, Any] = {"name": entry} if isinstance(entry, str) else dict(entry)
        name = row.get("name")
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"categories: {entry!r} is no name; give names such as ['mug', 'table']")
        row["name"] = name.strip()
        _check(row)
        like = by_name.get(row["name"].casefold())
        chosen.append(replace(like, name=row["name"]) if like is not None and set(row) == {"name"} else row)
    categories = _completed(chosen)
    for what in ("name", "id"):
        values = [getattr(category, what) for category in categories]
        if twice := sorted({str(v) for v in values if values.count(v) > 1}):
            raise UserError(f"categories: the {what} {', '.join(twice)} occurs more than once")
    if not categories:
        raise UserError("categories: none is named; give names such as ['mug', 'table']")
    return categories


def with_names(categories: Sequence[Category], names: Iterable[str]) -> tuple[Category, ...]:
    """The categories, and one for each name that none of them has."""
    known = {category.name.casefold() for category in categories}
    new = {name.casefold(): name for name in names if name.casefold() not in known}
    return as_categories([*categories, *new.values()])


def _listed(file: Path) -> Sequence[CategoryLike]:
    """What a dataset's categories.json lists, a colour map, or an annotation file of COCO's."""
    try:
        found: Any = json.loads(file.expanduser().read_bytes())
    except OSError as error:
        raise UserError(f"categories: {file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"categories: {file} is no JSON: {error}") from None
    if isinstance(found, dict):
        found = found.get("categories", found)
    if isinstance(found, dict):  # name ─▶ what is known of it, or its colour alone
        rows = ((name, of if isinstance(of, dict) else {"color": of}) for name, of in found.items())
        found = [{**of, "name": name} for name, of in rows]
    if not isinstance(found, list) or not all(isinstance(entry, (str, dict)) for entry in found):
        raise UserError(
            f"categories: {file} lists none; give a dataset's categories.json, a colour map, or names such "
            "as mug,table"
        )
    return found


def _check(row: dict[str, Any]) -> None:
    """Make what is given of id and colour a number and a colour."""
    try:
        row |= {"id": int(row["id"])} if "id" in row else {}
    except (TypeError, ValueError):
        raise UserError(
            f"categories: {row['name']!r} has the id {row['id']!r}; give a whole number, or leave ids out"
        ) from None
    if row.get("color"):
        if (color := parse_color(row["color"])) is None:
            raise UserError(
                f"categories: {row['name']!r} has the color {row['color']!r}; give [r, g, b] with 0 to 255 "
                'each or "#rrggbb", or leave colors out'
            )
        row["color"] = color


def _completed(chosen: Sequence[Category | dict[str, Any]]) -> tuple[Category, ...]:
    rows = [entry for entry in chosen if isinstance(entry, dict)]
    fixed = [entry for entry in chosen if isinstance(entry, Category)]
    ids = {c.id for c in fixed} | {row["id"] for row in rows if "id" in row}
    colors = {c.color for c in fixed} | {row["color"] for row in rows if row.get("color")}
    free_ids = (number for number in range(1, len(chosen) + len(ids) + 1) if number not in ids)
    free_colors = iter(distinct_colors(len(rows), taken=colors))
    return tuple(
        entry
        if isinstance(entry, Category)
        else Category(
            id=entry["id"] if "id" in entry else next(free_ids),
            name=entry["name"],
            color=entry.get("color") or next(free_colors),
            isthing=bool(entry.get("isthing", True)),
            supercategory=str(entry.get("supercategory", "")),
        )
        for entry in chosen
    )
