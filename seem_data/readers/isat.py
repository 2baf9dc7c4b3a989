"""ISAT (Image Segmentation Annotation Tool): one JSON a photo.

Format: https://github.com/yatengLG/ISAT_with_segment_anything (``annotation.py``). Coordinates are pixels of
the photo turned upright by its EXIF orientation.

Read: ``segmentation`` as a polygon, ``layer`` as the drawing order, ``iscrowd``; objects of equal category
and ``group`` are parts of one object; ``__background__`` is a hole in what lies below, as in ISAT's own
masks. The ``note`` becomes a sentence. Reported: objects of fewer than three points.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from seem_data.annotations import UNLABELED, ImageAnnotation, Polygon, Region, sentences_of
from seem_data.problems import Problem, Spot
from seem_data.readers import Input, Item, _json, _photos, _shapes, _walk
from seem_data.readers._json import Number

_MOST_LAYERS = 2.0**30


class _Info(msgspec.Struct):
    name: str
    width: int | None = None
    height: int | None = None


class _Head(msgspec.Struct):
    info: _Info


class _File(msgspec.Struct):
    info: _Info
    objects: list[msgspec.Raw] | None


class _Object(msgspec.Struct):
    segmentation: list[tuple[Number, Number]]
    category: str | None = None
    group: int | str | None = None
    layer: float | None = 0.0
    iscrowd: bool | int | None = False
    note: str | None = None


class Isat:
    name = "isat"
    title = "ISAT JSON"
    recognised_by = "JSON files with 'info' and 'objects'"
    shapes = "polygons in layers and groups"
    exif = "applied"

    def recognises(self, path: Path) -> bool:
        return any(map(_fits, _walk.first_files(path)))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _json.files_of(source, _fits, problems):
            with Spot(problems, str(path)):
                yield photos.item(photos.find(_json.read(path, _Head, []).info.name, path.parent), path)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        file = _json.read(item.file, _File, problems)
        size = (file.info.width, file.info.height) if file.info.width and file.info.height else None
        annotation = item.annotation(size, "applied")
        annotation.regions += _json.made_of(file.objects, _Object, _region, item.source, "objects", problems)
        return annotation


def _fits(path: Path) -> bool:
    kind, keys = _json.outline(path)
    return kind == "{" and {"info", "objects"} <= keys and not keys & {"images", "items", "size"}


def _region(row: _Object, place: Spot) -> Region:
    label = (row.category or "").strip()
    layer = max(-_MOST_LAYERS, min(_MOST_LAYERS, row.layer or 0.0))
    return Region(
        UNLABELED if label == "__background__" else label,
        (Polygon(_shapes.ring(row.segmentation)),),
        group=row.group or None,
        z=int(layer),
        iscrowd=bool(row.iscrowd),
        sentences=sentences_of((row.note or "").splitlines()),
        where=place.where,
    )


READER = Isat()
