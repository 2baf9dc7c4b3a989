"""Supervisely JSON: one file a photo, in the folder ``ann`` beside the folder ``img``.

Format: https://docs.supervisely.com, "Supervisely annotation format". Coordinates are pixels of the photo
turned upright by its EXIF orientation, as Supervisely does on upload. Corners of polygons and rectangles are
taken as points of the photo, as written.

Read: polygon (``exterior`` and the ``interior`` rings cut out of it), bitmap and alpha mask (base64 of a
zlib-packed PNG, placed at ``origin``), rectangle (two corners). An object's ``description`` and its tags that
hold text become sentences, the photo's tags its tags. A hole of fewer than three points cuts nothing, and
is told; a line whose ends meet, or nearly, is an outline (`_shapes.outline`). Left out, and told: open lines,
point, graph, cuboid.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from seem_data.annotations import Bitmap, ImageAnnotation, Polygon, Region, Sentence
from seem_data.problems import Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _photos, _shapes, _walk
from seem_data.readers._json import Number
from seem_data.readers._lenient import Needed

_Points = list[tuple[Number, Number]]
_BESIDE = ("meta.json", "key_id_map.json", "obj_class_to_machine_color.json")  #: a project's other files


class _Size(msgspec.Struct):
    width: int
    height: int


class _Outline(msgspec.Struct):
    exterior: _Points
    interior: Annotated[list[_Points], Needed] = []


class _Bitmap(msgspec.Struct):
    data: str
    origin: tuple[int, int]


class _Tag(msgspec.Struct):
    name: str
    value: object = None


class _Object(msgspec.Struct):
    geometryType: str
    classTitle: str | None = None
    points: Annotated[_Outline | None, Needed] = None
    bitmap: Annotated[_Bitmap | None, Needed] = None
    description: str | None = None
    tags: list[_Tag] = []


class _File(msgspec.Struct):
    objects: list[msgspec.Raw] | None
    size: _Size | None = None
    tags: list[_Tag] = []


class Supervisely:
    name = "supervisely"
    title = "Supervisely JSON"
    recognised_by = "JSON files with 'objects' and 'size'"
    shapes = "polygon with holes, bitmap, rectangle, closed line; point, graph and cuboid are left out"
    exif = "applied"

    def recognises(self, path: Path) -> bool:
        return any(map(_fits, _walk.first_files(path)))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _json.files_of(source, _fits, problems, beside=_BESIDE):
            with Spot(problems, str(path)):
                inner = path.relative_to(source.polys).parent if source.polys.is_dir() else Path()
                beside = path.parent.parent / "img"
                photo = photos.find(path.stem, beside, path.parent, photos.root / inner)
                yield photos.item(photo, path)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        file = _json.read(item.file, _File, problems)
        size = (file.size.width, file.size.height) if file.size else None
        annotation = item.annotation(size, "applied")
        annotation.tags = tuple(tag.name for tag in file.tags)
        annotation.regions += _json.made_of(file.objects, _Object, _region, item.source, "objects", problems)
        return annotation


def _fits(path: Path) -> bool:
    kind, keys = _json.outline(path)
    return kind == "{" and {"objects", "size"} <= keys


def _region(row: _Object, place: Spot) -> Region:
    label, sentences = (row.classTitle or "").strip(), tuple(_sentences(row))
    return Region(label, (_part(row, place),), sentences=sentences, where=place.where)


def _part(row: _Object, place: Spot) -> Polygon | Bitmap:
    kind = row.geometryType.lower()
    if kind == "polygon" and row.points:
        holes = _shapes.usable(row.points.interior, _shapes.ring, "hole", place)
        return Polygon(_shapes.ring(row.points.exterior), tuple(holes))
    if kind == "rectangle" and row.points and len(row.points.exterior) == 2:
        return _shapes.rectangle(*row.points.exterior[0], *row.points.exterior[1])
    if kind in ("bitmap", "alpha_mask") and row.bitmap:
        left, top = row.bitmap.origin
        return _shapes.bitmap(_shapes.from_png(_unpacked(row.bitmap.data)), left, top)
    if kind in ("line", "polyline") and row.points:
        return _shapes.outline(row.points.exterior, kind, place)
    if kind in ("point", "graph", "cuboid", "cuboid_2d", "any_geometry"):
        raise _shapes.no_area(kind)
    message = f"is of kind {kind!r} without the fields it needs, or of a kind that is not read."
    raise fault("bad-shape", message, "Use polygon, bitmap or rectangle.")


def _unpacked(text: str) -> bytes:
    data = _shapes.from_base64(text)
    try:
        unpacker = zlib.decompressobj()
        return unpacker.decompress(data, 2**26)  # a packed PNG does not shrink further: a bomb would
    except zlib.error as error:
        raise fault(
            "bad-mask", f"has a bitmap that cannot be unpacked ({error}).", "Export it again."
        ) from None


def _sentences(row: _Object) -> Iterator[Sentence]:
    for text in [row.description, *(tag.value for tag in row.tags)]:
        if isinstance(text, str) and text.strip():
            yield Sentence(text.strip())


READER = Supervisely()
