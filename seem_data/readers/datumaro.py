"""Datumaro's own JSON: ``annotations/<subset>.json`` beside ``images/<subset>/``.

Format: https://open-edge-platform.github.io/datumaro ("Datumaro"). Coordinates are pixels of the photo as
stored (no EXIF).

Read: polygon, mask (COCO's run lengths), ellipse (its box's corners), bbox as an upright rectangle where no
outline has its ``group``. ``z_order`` orders the drawing; annotations of equal label and ``group`` are parts
of one object; ``is_crowd`` makes a crowd; a polyline whose ends meet, or nearly, is an outline. The name of
the file is the subset, which gives the split. Left out, and told: points, open polylines, cuboids. Labels
and captions of whole photos are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from seem_data.annotations import Bitmap, ImageAnnotation, Polygon, Region
from seem_data.problems import Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _photos, _shapes, _walk
from seem_data.readers._json import Id, Number
from seem_data.readers._lenient import Needed
from seem_data.readers._segmentation import RunLengthRow, parts_of

_WHOLE = ("label", "caption", "hash_key", "feature_vector")  #: kinds about the whole photo


class _Label(msgspec.Struct):
    name: str


class _Labels(msgspec.Struct):
    labels: Annotated[list[_Label], Needed] = []


class _Categories(msgspec.Struct):
    label: Annotated[_Labels | None, Needed] = None


class _Media(msgspec.Struct):
    path: str | None = None
    size: tuple[int, int] | None = None  #: height, width


class _Item(msgspec.Struct):
    id: str
    annotations: Annotated[list[msgspec.Raw], Needed] = []
    image: _Media | None = None
    media: _Media | None = None


class _File(msgspec.Struct):
    items: list[msgspec.Raw]
    categories: Annotated[_Categories | None, Needed] = None


class _Annotation(msgspec.Struct):
    type: str
    label_id: Id | None = None
    group: int | None = 0
    z_order: int | None = 0
    points: Annotated[list[Number] | None, Needed] = None
    bbox: Annotated[list[Number] | None, Needed] = None
    rle: Annotated[RunLengthRow | None, Needed] = None
    attributes: dict[str, object] | None = None


class _Payload(msgspec.Struct):
    size: tuple[int, int] | None
    names: list[str]
    annotations: list[msgspec.Raw]


class Datumaro:
    name = "datumaro"
    title = "Datumaro JSON"
    recognised_by = "JSON files with 'categories' and 'items'"
    shapes = "polygon, mask, ellipse, boxes as rectangles; points and open polylines are left out"
    exif = "ignored"

    def recognises(self, path: Path) -> bool:
        return any(map(_fits, _walk.first_files(path)))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _json.files_of(source, _fits, problems):
            with Spot(problems, str(path)):
                file = _json.read(path, _File, problems)
                labels = file.categories.label.labels if file.categories and file.categories.label else []
                encoded = msgspec.json.encode([label.name for label in labels])
                names = b',"names":' + encoded + b',"annotations":'
                for index, raw in enumerate(file.items):
                    where = f"items[{index}]"
                    with Spot(problems, str(path), where):
                        row = _json.decode(raw, _Item, str(path), problems, where)
                        yield self._item(row, names, path, photos)

    def _item(self, row: _Item, names: bytes, path: Path, photos: _photos.Photos) -> Item:
        media = row.image or row.media or _Media()
        images = path.parent.parent / "images"
        folders = (images / path.stem, images, path.parent)
        photo = photos.find(media.path or f"{row.id}.jpg", *folders)
        size = (media.size[1], media.size[0]) if media.size else None
        head, rows = b'{"size":' + msgspec.json.encode(size), msgspec.json.encode(row.annotations) + b"}"
        return photos.item(photo, path, (head, names, rows), _walk.split_by_name(path))

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        shown = str(item.source)
        payload = _json.decode(item.content, _Payload, shown)
        annotation = item.annotation(payload.size)
        rows: list[tuple[str, _Annotation]] = []
        for index, raw in enumerate(payload.annotations):
            where = f"image {item.name!r}, annotations[{index}]"
            with Spot(problems, shown, where):
                rows.append((where, _json.decode(raw, _Annotation, shown, problems, where)))
        outlined = {row.group for _, row in rows if row.group and row.type in ("polygon", "mask")}
        for where, row in rows:
            with Spot(problems, shown, where) as place:
                if row.type in _WHOLE:
                    continue
                if row.type == "bbox" and row.group in outlined:
                    message = "is the box of an object that has an outline."
                    place.tell("box-of-outline", message, severity="note")
                else:
                    annotation.regions.append(_region(row, payload, place))
        return annotation


def _fits(path: Path) -> bool:
    kind, keys = _json.outline(path)
    return kind == "{" and {"categories", "items"} <= keys and "images" not in keys


def _region(row: _Annotation, payload: _Payload, place: Spot) -> Region:
    parts = _parts(row, payload.size, place)
    number = _json.plain_id(row.label_id) if row.label_id is not None else None
    if number is not None and not (isinstance(number, int) and 0 <= number < len(payload.names)):
        message = f"has label_id {number!r}, but there are {len(payload.names)} labels."
        raise fault("unknown-category-id", message, "Add the label or correct the id.")
    return Region(
        payload.names[number] if isinstance(number, int) else "",
        parts,
        group=row.group or None,
        z=row.z_order or 0,
        iscrowd=bool((row.attributes or {}).get("is_crowd")),
        where=place.where,
    )


def _parts(row: _Annotation, size: tuple[int, int] | None, place: Spot) -> tuple[Polygon | Bitmap, ...]:
    points = row.points or []
    if row.type == "polygon":
        return (Polygon(_shapes.flat_ring(points)),)
    if row.type == "mask":
        return parts_of(row.rle, size, place)
    if row.type == "bbox" and len(row.bbox or ()) == 4:
        x, y, width, height = (float("nan") if number is None else number for number in row.bbox or ())
        return (_shapes.rectangle(x, y, x + width, y + height),)
    if row.type == "ellipse" and len(points) == 4:
        corners = np.array(points, np.float64)
        (cx, cy), (rx, ry) = (corners[:2] + corners[2:]) / 2, abs(corners[2:] - corners[:2]) / 2
        return (_shapes.ellipse(cx, cy, rx, ry),)
    if row.type == "polyline":
        return (_shapes.outline(list(zip(points[::2], points[1::2], strict=False)), row.type, place),)
    raise _shapes.no_area(row.type)


READER = Datumaro()
