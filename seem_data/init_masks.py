"""A colour map to begin with, of masks: their colours or numbers, named by a table beside them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from seem_data.annotations import UNLABELED, VOID
from seem_data.common.colors import Color
from seem_data.common.wording import a_few
from seem_data.images import read_header
from seem_data.problems import DataError, Problem, Spot
from seem_data.readers import Input, _paint, _tables
from seem_data.readers.colormask import mask_files, table_of

#: Colours that fewer of the labelled pixels have are those of blurred edges, once there are so many.
_MOST, _SHARE = 64, 0.001


def labels_of_masks(
    source: Input, problems: list[Problem]
) -> tuple[dict[str, str], dict[str, dict[str, object]]]:
    """The labels of masks by their casefolded form, and what is told of each.

    Args:
        problems: gets a note with the pixels of each colour or number, and what is wrong with masks.

    Raises:
        DataError: no mask holds anything but black.
    """
    folder = source.polys if source.polys.is_dir() else source.polys.parent
    pixels: Counter[int | Color] = Counter()
    names: dict[int | Color, str] = {}
    for path in mask_files(source, problems):
        with Spot(problems, str(path)):
            table = table_of(path.parent, folder) or _tables.by_name(path) or _tables.NameTable()
            counts = _counts(path, table)
            pixels.update(counts)
            colors = table.by_color
            for key in counts:
                name = table.numbers.get(key) if isinstance(key, int) else colors.get(key)
                if name:
                    names.setdefault(key, name)
    means: dict[int | Color, str] = {0: UNLABELED, _tables.VOC_VOID: VOID, **names}
    pixels = Counter({key: n for key, n in pixels.items() if means.get(key) not in (VOID, UNLABELED)})
    if not pixels:
        nothing = Problem("no-labels", "holds no mask with a labelled pixel.", "", str(source.polys))
        raise DataError([nothing, *problems])
    least = _SHARE * pixels.total() if len(pixels) > _MOST else 0
    rare = {key for key, count in pixels.items() if count < least}
    kept = [key for key, _ in pixels.most_common() if key not in rare]
    told = {key: names.get(key) or _placeholder(key) for key in kept}
    shown = a_few([f"{_shown(key)} {told[key]!r} ({pixels[key]:,} pixels)" for key in kept], most=30)
    more = f"; {len(rare)} rarer colours are left out (blurred edges?)" if rare else ""
    problems.append(Problem("found", f"holds {shown}{more}.", "", str(source.polys), severity="note"))
    labels = {told[key].casefold(): told[key] for key in kept}
    records: dict[str, dict[str, object]] = {
        told[key].casefold(): {"value": key} if isinstance(key, int) else {"color": list(key)}
        for key in reversed(kept)
    }
    return labels, records


def _placeholder(key: int | Color) -> str:
    return f"value {key}" if isinstance(key, int) else "color " + "".join(f"{channel:02x}" for channel in key)


def _shown(key: int | Color) -> str:
    return str(key) if isinstance(key, int) else str(list(key))


def _counts(path: Path, table: _tables.NameTable) -> dict[int | Color, int]:
    """The pixels of each number of a mask of numbers, or of each colour, but for black."""
    numbers = _paint.read_numbers(path)
    colored = numbers is not None and read_header(path).mode == "P" and not table.numbers
    if numbers is None or colored:
        codes, counts = np.unique(_paint.read_codes(path), return_counts=True)
        colors = {_paint.colour_of(c): n for c, n in zip(codes.tolist(), counts.tolist(), strict=True) if c}
        if not colored or any(len(set(color)) > 1 for color in colors):
            return {**colors}
        assert numbers is not None  # a palette of greys: numbers
    values, counts = np.unique(numbers, return_counts=True)
    found: Counter[int | Color] = Counter()
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        found[value // 1000 if table.instances and value >= 1000 else value] += count
    return found
