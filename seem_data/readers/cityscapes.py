"""Cityscapes' polygons: one JSON a photo, ``…_gtFine_polygons.json`` of ``…_leftImg8bit.png``.

Format: https://github.com/mcordts/cityscapesScripts (``annotation.py`` and ``createLabelImg.py``).
Coordinates are pixels of the photo as stored (no EXIF).

Read: polygons in the order of the file, later on top. A label such as ``cargroup`` is a crowd of ``car``; the
car that took the photo, the borders of its rectification and what is out of sight are void. Objects that are
marked as deleted are not read. Cityscapes' PNGs go in with ``--masks gtFine``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from seem_data.annotations import VOID, ImageAnnotation, Polygon, Region
from seem_data.problems import Problem, Spot
from seem_data.readers import Input, Item, _json, _photos, _shapes, _tables, _walk
from seem_data.readers._json import Number

_PHOTOS = "leftImg8bit"


class _Object(msgspec.Struct):
    polygon: list[tuple[Number, Number]]
    label: str | None = None
    deleted: bool | int | None = False


class _File(msgspec.Struct):
    objects: list[msgspec.Raw] | None
    imgWidth: int | None = None
    imgHeight: int | None = None


class Cityscapes:
    name = "cityscapes"
    title = "Cityscapes polygons JSON"
    recognised_by = "JSON files with 'imgHeight', 'imgWidth' and 'objects'"
    shapes = "polygons; groups are crowds; the camera's own car is void; deleted objects are left out"
    exif = "ignored"

    def recognises(self, path: Path) -> bool:
        return any(map(_fits, _walk.first_files(path)))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        folder = source.polys if source.polys.is_dir() else source.polys.parent
        photos = _photos.Photos(replace(source, images=source.images or _photo_folder(folder)))
        for path in _json.files_of(source, _fits, problems):
            with Spot(problems, str(path)):
                inner = path.relative_to(folder).with_suffix("")
                yield photos.item(photos.find_like(path, inner), path)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        file = _json.read(item.file, _File, problems)
        size = (file.imgWidth, file.imgHeight) if file.imgWidth and file.imgHeight else None
        annotation = item.annotation(size)
        annotation.regions += _json.made_of(file.objects, _Object, _region, item.source, "objects", problems)
        return annotation


def _fits(path: Path) -> bool:
    kind, keys = _json.outline(path)
    return kind == "{" and {"imgHeight", "imgWidth", "objects"} <= keys


def _photo_folder(folder: Path) -> Path | None:
    """Where Cityscapes keeps its photos: beside ``gtFine``, or beside a part of it (``gtFine/val``)."""
    for above in (folder, *folder.parents[:3]):
        photos = above.parent / _PHOTOS
        if photos.is_dir():
            same = photos / folder.relative_to(above)
            return same if same.is_dir() else photos
    return folder if next(folder.glob(f"**/*_{_PHOTOS}.png"), None) else None


def _region(row: _Object, place: Spot) -> Region | None:
    if row.deleted:
        return None
    label, iscrowd = _label((row.label or "").strip())
    return Region(label, (Polygon(_shapes.ring(row.polygon)),), iscrowd=iscrowd, where=place.where)


def _label(label: str) -> tuple[str, bool]:
    """A label, and whether it means a crowd."""
    if label in _tables.CITYSCAPES_VOID:
        return VOID, False
    one = label.removesuffix("group")
    return (one, True) if one != label and one in _tables.CITYSCAPES else (label, False)


READER = Cityscapes()
