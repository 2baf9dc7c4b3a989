"""Painted and numbered masks: one PNG a photo, its pixels in categories' colours or numbers.

Not a format of ``--polys`` but of ``--masks``: what is painted is the ground on which the polygons of the
same photo are drawn. `open_masks` tells masks and COCO panoptic PNGs apart. A mask lies at the same place in
the masks' folder as its photo in the photos' folder (``kitchen/001.png``, ``kitchen/001.jpg``), or has a name
that occurs once; its name may have a word more (`_mask_names`). Photos may lie beside the masks.

Colours must be exact. RGB and palette PNGs are read alike (a palette is looked up); black and transparent
pixels are unlabelled, and (224, 224, 192), the borders of Pascal VOC, is void if no category has it. Grey and
16-bit PNGs, and palettes in colours that no category has, are read as numbers where something says what they
mean: ``"value"`` in the colour map, or a table beside the masks (`_tables`); 255 (65535 of 16 bits) is then
void. Colours and numbers that no category has are unlabelled; each mask that has some is reported, with
counts and the nearest category. By default one category is one region; with ``instances="components"`` every
connected part (8-neighbourhood) of a thing category is an object of its own, and Cityscapes' instanceIds tell
objects apart themselves.
Masks are compared with the photo as stored (no EXIF), unless only the turned photo has their size.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import VOID, ImageAnnotation, Region
from seem_data.categories import Categories, Category
from seem_data.common.colors import Color
from seem_data.common.wording import a_few
from seem_data.problems import DataError, Problem, Spot
from seem_data.readers import Input, Item, Reader, _foreign, _mask_names, _paint, _photos, _tables, _walk
from seem_data.readers._tables import NameTable

_TOLD = 5
#: Where photos lie when they are not with the masks.
_BESIDE = (*_photos.PHOTO_FOLDERS, "leftImg8bit")
_SAID = (
    'Say what they mean: "value" in the colour map, or a _classes.csv or class_names.txt beside the masks.'
)


def open_masks(path: Path, categories: Categories, instances: Literal["one", "components"] = "one") -> Reader:
    """The reader for ``--masks``: COCO panoptic where there is such a JSON, masks otherwise.

    Its items bear the name of the photo where one is found, or that of the mask: join them with those of
    ``--polys`` by the name without its ending. Its regions have z = `_paint.GROUND_Z`.
    """
    from seem_data.readers.panoptic import PanopticDocument

    panoptic = PanopticDocument(is_ground=True)
    return panoptic if panoptic.recognises(path) else ColorMask(categories, instances)


@dataclass(frozen=True)
class ColorMask:
    """A `Reader` that knows the categories' colours, and the numbers that stand for them."""

    categories: Categories = field(default_factory=Categories)
    instances: Literal["one", "components"] = "one"

    name = "colormask"
    title = "painted or numbered masks"
    recognised_by = "given as --masks; PNG files"
    shapes = (
        "pixels in exactly a category's colour, or numbers that the colour map or a table beside them "
        "explains; things by connected components on request"
    )
    exif = "ignored"

    def recognises(self, path: Path) -> bool:
        return next(_walk.some_files(path, _paint.SUFFIXES), None) is not None

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        folder = source.polys if source.polys.is_dir() else source.polys.parent
        masks = mask_files(source, problems)
        places = _places(source, folder)
        tables: dict[Path, NameTable | None] = {}
        for path in masks:
            with Spot(problems, str(path)):
                inner = path.relative_to(folder)
                photo, name = None, inner.as_posix()
                for place in places:
                    found = _photo_at(place, path, inner, is_asked=source.images is not None)
                    if found is not None and found not in masks:
                        photo, name = found, place.name_of(found)
                        break
                if path.parent not in tables:
                    tables[path.parent] = table_of(path.parent, folder)
                table = self._with_values(tables[path.parent] or _tables.by_name(path))
                payload = msgspec.json.encode(table) if table else path
                files = (path,) if table else ()
                yield Item(name, payload, photo, path, _walk.split_by_folder(name), files)

    def _with_values(self, table: NameTable | None) -> NameTable | None:
        """The colour map's own numbers go before those of any table."""
        if not self.categories.values:
            return table
        colors, instances = (table.colors, table.instances) if table else ([], False)
        return NameTable({**(table.numbers if table else {}), **self.categories.values}, colors, instances)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        path = item.files[0] if item.files else item.file
        table = msgspec.json.decode(item.content, type=NameTable) if item.files else NameTable()
        numbers = _paint.read_numbers(path)
        if numbers is None and table.numbers:
            numbers = _paint.read_grey(path)
        if numbers is not None and self._are_numbers(path, numbers, table):
            values, labels, crowds = _numbered(numbers, table, problems, path)
        else:
            values, labels = self._painted(path, table, problems)
            crowds = set()
        height, width = values.shape
        annotation = item.annotation((width, height), image=item.image or path)
        for value in np.unique(values[values > 0]).tolist():
            label, where = labels[value]
            category = self.categories.find(label)
            region = _paint.cut(values, value)
            apart = self.instances == "components" and category is not None and category.isthing
            for bitmap in _paint.components(region) if apart else [region]:
                crowd = value in crowds and (category is None or category.isthing)
                annotation.regions.append(
                    Region(label, (bitmap,), z=_paint.GROUND_Z, iscrowd=crowd, where=where)
                )
        return annotation

    def _are_numbers(self, path: Path, numbers: NDArray[np.integer], table: NameTable) -> bool:
        """Whether a mask is to be read by number; where its palette is of categories' colours, they count."""
        if numbers.dtype == np.int32:  # 16 bits
            if table.numbers or numbers.max() > 255:
                return True
            table.numbers = {c.color[0]: c.name for c in self.categories if len(set(c.color)) == 1}
            return True
        codes = np.unique(_paint.read_codes(path)).tolist()
        colors = {_paint.colour_of(code) for code in codes} - {(0, 0, 0), (255, 255, 255)}
        is_grey = all(len(set(color)) == 1 for color in colors)
        if self.categories.values and is_grey:
            return True
        painted = self.categories.by_color.keys() | table.by_color.keys()
        return bool(table.numbers) and not (colors <= painted if colors and is_grey else colors & painted)

    def _painted(
        self, path: Path, table: NameTable, problems: list[Problem]
    ) -> tuple[NDArray[np.int32], dict[int, tuple[str, str]]]:
        """The pixels of a mask in colours as values from 1 on; the label and the place of each value."""
        colors = {
            _tables.VOC_VOID: VOID,
            **table.by_color,
            **{category.color: category.name for category in self.categories},
        }
        order = dict.fromkeys((*self.categories.by_color, *colors))
        numbered = {color: value for value, color in enumerate(order, start=1)}
        values, strangers = _paint.match(_paint.read_codes(path), numbered)
        if strangers:
            problems.append(self._unknown_colors(strangers, path))
        return values, {v: (colors[color], f"colour {list(color)}") for color, v in numbered.items()}

    def _unknown_colors(self, strangers: list[tuple[Color, int]], path: Path) -> Problem:
        told = []
        for color, count in strangers[:_TOLD]:
            nearest = min(self.categories, key=lambda category: _distance(category, color))
            told.append(f"{list(color)} ({count} pixels; nearest is {nearest.name!r} {list(nearest.color)})")
        more = f" and {len(strangers) - _TOLD} more" if len(strangers) > _TOLD else ""
        grey = all(len(set(color)) == 1 for color, _ in strangers)
        message = (
            f"has colours that no category has: {', '.join(told)}{more}; these pixels count as unlabelled."
        )
        remedy = (
            f"If these are numbers: {_SAID}"
            if grey
            else "Paint without anti-aliasing, or add the colours to the colour map."
        )
        return Problem("unknown-color", message, remedy, str(path), severity="warning")


def _numbered(
    numbers: NDArray[np.integer], table: NameTable, problems: list[Problem], path: Path
) -> tuple[NDArray[np.int32], dict[int, tuple[str, str]], set[int]]:
    """The pixels of a mask of numbers as values from 1 on; label and place of each; which are crowds."""
    void = 65535 if numbers.dtype == np.int32 else 255
    labels: dict[int, tuple[str, str]] = {}
    crowds: set[int] = set()
    values = np.zeros(numbers.shape, np.int32)
    strangers: Counter[int] = Counter()
    present, counts = np.unique(numbers, return_counts=True)
    for number, count in zip(present.tolist(), counts.tolist(), strict=True):
        kind = number // 1000 if table.instances and number >= 1000 else number
        label = table.numbers.get(kind, VOID if number == void else "")
        if not label:
            if number:
                strangers[number] = count
            continue
        value = len(labels) + 1
        values[numbers == number] = value
        labels[value] = (label, f"number {number}")
        if table.instances and number < 1000:
            crowds.add(value)
    if strangers:
        told = a_few([f"{number} ({count} pixels)" for number, count in strangers.most_common()], _TOLD)
        message = f"has numbers that mean no category: {told}; these pixels count as unlabelled."
        problems.append(Problem("unknown-number", message, _SAID, str(path), severity="warning"))
    return values, labels, crowds


def mask_files(source: Input, problems: list[Problem]) -> dict[Path, None]:
    """The masks of an input, in order: its PNGs, less the photos among them, and of several forms of the same
    annotation the best.

    Raises:
        DataError: they are masks that no table explains, see `_foreign.pickled_names`.
    """
    files = _walk.annotation_files(source, _paint.SUFFIXES, problems)
    if pickled := _foreign.pickled_names(files):
        raise DataError(pickled)
    if not source.polys.is_dir():
        return dict.fromkeys(files)
    marked = {_mask_names.mask_stem(path.stem) for path in files if _mask_names.has_mask_word(path.stem)}
    groups: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in files:
        if _mask_names.has_mask_word(path.stem):
            groups[path.parent, _mask_names.mask_stem(path.stem)].append(path)
        elif not {path.stem.casefold(), _mask_names.photo_stem(path.stem)} & marked:
            groups[path.parent, path.stem.casefold() + path.suffix].append(path)
    masks = set()
    dropped: Counter[str] = Counter()
    for paths in groups.values():
        ranks = [_mask_names.rank(path.stem) for path in paths]
        for path, rank in zip(paths, ranks, strict=True):
            if rank == min(ranks):
                masks.add(path)
            else:
                dropped[path.stem.rpartition("_")[2]] += 1
    if dropped:
        kinds = ", ".join(f"{count} {kind}" for kind, count in dropped.items())
        message = f"holds each annotation in several forms; the one that says most is read, not: {kinds}."
        problems.append(Problem("other-forms", message, "", str(source.polys), severity="note"))
    return dict.fromkeys(path for path in files if path in masks)


def table_of(folder: Path, root: Path) -> NameTable | None:
    """The table that lies with the masks of a folder: there, or above, up to the root's parent."""
    above = [folder]
    while above[-1] != root and above[-1] != above[-1].parent:
        above.append(above[-1].parent)
    return _tables.beside([*above, root.parent])


def _places(source: Input, folder: Path) -> list[_photos.Photos]:
    """Where photos may lie, the likeliest first: where the user says, or with the masks, or beside them."""
    if source.images is not None:
        return [_photos.Photos(source)]
    beside = (folder.parent / name for name in _BESIDE)
    return [_photos.Photos(Input(source.polys, path)) for path in (folder, *filter(Path.is_dir, beside))]


def _photo_at(place: _photos.Photos, path: Path, inner: Path, is_asked: bool) -> Path | None:
    """
    Raises:
        DataError: the user says where photos lie, and this mask's is not there.
    """
    try:
        return place.find_like(path, inner.with_suffix(""))
    except DataError:
        if is_asked:
            raise
        return None


def _distance(category: Category, color: Color) -> int:
    return sum((a - b) ** 2 for a, b in zip(category.color, color, strict=True))
