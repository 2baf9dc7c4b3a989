"""Painted masks: one PNG a photo, its pixels in the colours of the categories.

Not a format of ``--polys`` but of ``--masks``: what is painted is the ground on which the polygons of the
same photo are drawn. `open_masks` tells painted PNGs and COCO panoptic ones apart. A mask lies at the same
place in the masks' folder as its photo in the photos' folder (``kitchen/001.png``, ``kitchen/001.jpg``), or
has a name that occurs once.

Colours must be exact. RGB and palette PNGs are read alike (a palette is looked up); black and transparent
pixels are unlabelled. Pixels of colours that no category has are unlabelled too; each mask that has some is
reported, with counts and the nearest category. By default one category is one region; with
``instances="components"`` every connected part (8-neighbourhood) of a thing category is an object of its own.
Masks are compared with the photo as stored, unless only the turned photo has their size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from seem_data.annotations import ImageAnnotation, Region
from seem_data.categories import Categories, Category, Color
from seem_data.problems import Problem, collecting
from seem_data.readers import Input, Item, Reader, _paint, _photos, _walk

_COLOURS_TOLD = 5


def open_masks(path: Path, categories: Categories, instances: Literal["one", "components"] = "one") -> Reader:
    """The reader for ``--masks``: COCO panoptic where there is such a JSON, painted PNGs otherwise.

    Its items bear the name of the photo where one is found, or that of the mask: join them with those of
    ``--polys`` by the name without its ending. Its regions have z = `_paint.GROUND_Z`.
    """
    from seem_data.readers.panoptic import Panoptic

    panoptic = Panoptic(is_ground=True)
    return panoptic if panoptic.recognises(path) else ColorMask(categories, instances)


@dataclass(frozen=True)
class ColorMask:
    """A `Reader` that knows the categories' colours."""

    categories: Categories
    instances: Literal["one", "components"] = "one"

    name = "colormask"
    title = "painted masks"
    recognised_by = "given as --masks; PNG files"
    shapes = "pixels in exactly a category's colour; things by connected components on request"
    exif = "ignored"

    def recognises(self, path: Path) -> bool:
        return next(_walk.some_files(path, _paint.SUFFIXES), None) is not None

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        return _photos.unique(self._scan(source, problems), problems)

    def _scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _walk.annotation_files(source, _paint.SUFFIXES, problems):
            inner = path.relative_to(source.polys) if source.polys.is_dir() else Path(path.name)
            with collecting(problems, str(path)):
                photo = photos.find_like(path, inner.with_suffix("")) if source.images is not None else None
                name = photos.name_of(photo) if photo else inner.as_posix()
                yield Item(name, path, photo, path, _walk.split_by_folder(name))

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        assert isinstance(item.payload, Path)
        codes = _paint.read_codes(item.payload)
        table = {category.color: index for index, category in enumerate(self.categories, start=1)}
        values, strangers = _paint.match(codes, table)
        if strangers:
            problems.append(self._unknown_colors(strangers, item))
        height, width = values.shape
        photo = item.image or item.payload
        annotation = ImageAnnotation(photo, item.name, item.source, (width, height), split=item.split)
        for index in np.unique(values[values > 0]):
            category = self.categories[int(index) - 1]
            region = _paint.cut(values, int(index))
            apart = self.instances == "components" and category.isthing
            for bitmap in _paint.components(region) if apart else [region]:
                where = f"colour {list(category.color)}"
                annotation.regions.append(Region(category.name, (bitmap,), z=_paint.GROUND_Z, where=where))
        return annotation

    def _unknown_colors(self, strangers: list[tuple[Color, int]], item: Item) -> Problem:
        told = []
        for color, count in strangers[:_COLOURS_TOLD]:
            nearest = min(self.categories, key=lambda category: _distance(category, color))
            told.append(f"{list(color)} ({count} pixels; nearest is {nearest.name!r} {list(nearest.color)})")
        more = f" and {len(strangers) - _COLOURS_TOLD} more" if len(strangers) > _COLOURS_TOLD else ""
        return Problem(
            "unknown-color",
            f"has colours that no category has: {', '.join(told)}{more}; these pixels count as unlabelled.",
            "Paint without anti-aliasing, or add the colours to the colour map.",
            str(item.source),
            severity="warning",
        )


def _distance(category: Category, color: Color) -> int:
    return sum((a - b) ** 2 for a, b in zip(category.color, color, strict=True))
