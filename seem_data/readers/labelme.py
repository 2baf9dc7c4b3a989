"""LabelMe JSON: one file a photo.

Format: https://github.com/wkentaro/labelme (``labelme/_label_file.py`` and its examples). Coordinates are
pixels, the origin is the photo's outer corner. LabelMe turns photos upright by their EXIF orientation.

Read: polygon, rectangle (two corners in any order, or four), circle (centre and a point of the rim; becomes
a polygon within a fiftieth of a pixel), mask (a PNG in the box from ``points[0]`` on), X-AnyLabeling's
rotation and quadrilateral (four corners), and linestrip where its ends meet, or nearly (`_shapes.outline`).
Shapes with equal label and ``group_id`` are parts of one object. The lines of ``description`` and the flags
that are set become sentences ("red" on a cup: "red cup"), except that the flag ``crowd`` makes a crowd and a
line ``[score 0.93]`` is a model's; the photo's own flags become tags. ``imagePath`` may use backslashes;
where that photo is missing, or no photo, the embedded ``imageData`` is used. ``__ignore__`` is void,
``_background_`` a hole in what lies below, as in LabelMe's own masks. Left out, and told: line, open
linestrip, point, points: they enclose no area.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import dist
from pathlib import Path, PurePosixPath
from typing import Annotated

import msgspec

from seem_data.annotations import Bitmap, ImageAnnotation, Polygon, Region, Sentence, sentences_of
from seem_data.images import read_header
from seem_data.problems import DataError, Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _photos, _shapes, _walk
from seem_data.readers._json import Number
from seem_data.readers._lenient import Needed

_CROWD = "crowd"  #: the flag of many objects that nobody separated
_NULL = msgspec.Raw(b"null")


class _Head(msgspec.Struct):
    shapes: msgspec.Raw = _NULL
    imagePath: str | None = None
    imageData: msgspec.Raw = _NULL  #: megabytes of base64: looked at only when it is needed


class _File(msgspec.Struct):
    shapes: Annotated[list[msgspec.Raw], Needed] = []
    imageData: msgspec.Raw = _NULL
    imageWidth: int | None = None
    imageHeight: int | None = None
    flags: dict[str, bool | None] | None = None


class _Shape(msgspec.Struct):
    points: list[tuple[Number, Number]]
    label: str | None = None
    shape_type: Annotated[str | None, Needed] = "polygon"
    group_id: int | str | None = None
    description: str | None = None
    flags: dict[str, bool | None] | None = None
    mask: Annotated[str | None, Needed] = None


class LabelMe:
    name = "labelme"
    title = "LabelMe JSON"
    recognised_by = "JSON files with 'shapes' and 'imagePath' or 'version'"
    shapes = "polygon, rectangle, circle, mask, rotation, closed linestrip; lines and points are left out"
    exif = "applied"

    def recognises(self, path: Path) -> bool:
        return any(
            kind == "{" and "shapes" in keys and keys & {"imagePath", "version", "flags", "imageData"}
            for kind, keys in map(_json.outline, _walk.first_files(path))
        )

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _walk.annotation_files(source, (".json",), problems):
            with Spot(problems, str(path)):
                if path != source.polys and _json.outline(path)[0] == "[":
                    raise _no_labelme()
                head = _json.read(path, _Head, [])
                if bytes(head.shapes) == b"null":
                    raise _no_labelme()
                inner = path.relative_to(source.polys) if source.polys.is_dir() else Path(path.name)
                try:
                    photo = self._photo(photos, path, inner, head.imagePath)
                    name = photos.name_of(photo)
                except DataError:
                    if bytes(head.imageData) in (b"null", b'""'):
                        raise
                    photo = None
                    ending = PurePosixPath((head.imagePath or "").replace("\\", "/")).suffix or ".png"
                    name = inner.with_suffix(ending).as_posix()
                yield Item(name, path, photo, path, _walk.split_by_folder(name))

    def _photo(self, photos: _photos.Photos, path: Path, inner: Path, name: str | None) -> Path:
        if name:
            return photos.find(name, path.parent, photos.root / inner.parent)
        with Spot([]):  # the photo that is called like the file
            return photos.find_like(path, inner.with_suffix(""))
        raise fault("no-image-path", "does not name its photo.", 'Add "imagePath".', where="imagePath")

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        shown = str(item.source)
        file = _json.read(item.file, _File, problems)
        size = (file.imageWidth, file.imageHeight) if file.imageWidth and file.imageHeight else None
        annotation = item.annotation(size, "applied", item.image or _embedded(file.imageData, shown))
        annotation.tags = tuple(flag for flag, is_set in (file.flags or {}).items() if is_set)
        annotation.regions += _json.made_of(file.shapes, _Shape, _region, shown, "shapes", problems)
        return annotation


def _no_labelme() -> DataError:
    """A JSON of another kind among the annotations, such as the colour map."""
    return fault("other-json", "has no 'shapes', is no LabelMe file, and is left out.", severity="note")


def _embedded(raw: msgspec.Raw, shown: str) -> bytes:
    image = _shapes.from_base64(_json.decode(raw, str, f"{shown} imageData"), "photo")
    read_header(image, f"{shown} imageData")
    return image


def _region(shape: _Shape, place: Spot) -> Region:
    return Region(
        (shape.label or "").strip(),
        (_part(shape, place),),
        group=shape.group_id,
        iscrowd=bool((shape.flags or {}).get(_CROWD)),
        sentences=_sentences(shape),
        where=place.where,
    )


def _part(shape: _Shape, place: Spot) -> Polygon | Bitmap:
    kind, points = (shape.shape_type or "polygon").lower(), shape.points
    if kind == "polygon" or (kind in ("rotation", "quadrilateral") and len(points) == 4):
        return Polygon(_shapes.ring(points))
    if kind == "rectangle" and len(points) in (2, 4):
        return (
            _shapes.rectangle(*points[0], *points[1]) if len(points) == 2 else Polygon(_shapes.ring(points))
        )
    if kind == "circle" and len(points) == 2:
        (cx, cy), (x, y) = points
        if None not in (cx, cy, x, y):
            radius = dist((cx, cy), (x, y))  # pyright: ignore[reportArgumentType]
            return _shapes.ellipse(cx, cy, radius, radius)  # pyright: ignore[reportArgumentType]
        raise fault("not-finite", "has a centre or rim that is not finite.", "Draw it again.")
    if kind == "mask" and points and shape.mask:
        left, top = points[0]
        if left is None or top is None or max(abs(left), abs(top)) > 2**31:
            raise fault("not-finite", "has a mask without a finite place.", "Paint it again.")
        return _shapes.bitmap(_shapes.from_png(_shapes.from_base64(shape.mask)), int(left), int(top))
    if kind == "linestrip":
        return _shapes.outline(points, kind, place)
    if kind in ("line", "point", "points"):
        raise _shapes.no_area(kind)
    message = (
        f"is a {kind!r} with {len(points)} point{'' if len(points) == 1 else 's'}"
        f"{' and no mask' if kind == 'mask' and not shape.mask else ''}, which cannot be read."
    )
    raise fault("bad-shape", message, "Use polygon, rectangle, circle or mask.")


def _sentences(shape: _Shape) -> tuple[Sentence, ...]:
    label = (shape.label or "").strip()
    flags = [flag.replace("_", " ").strip() for flag, is_set in (shape.flags or {}).items() if is_set]
    named = [flag if label in flag else f"{flag} {label}" for flag in flags if flag not in ("", _CROWD)]
    return sentences_of([*(shape.description or "").splitlines(), *named])


READER = LabelMe()
