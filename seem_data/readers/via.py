"""VGG Image Annotator (VIA) JSON: projects and exports of versions 1 and 2, projects of version 3.

Format: https://www.robots.ox.ac.uk/~vgg/software/via/ and its CodeDoc. Coordinates are pixels of the photo as
the browser shows it: turned upright by its EXIF orientation.

Read: polygon, polyline whose last point is its first, rect, circle, ellipse (version 2: turned by ``theta``
radians), and version 3's extreme rectangle (the box around four points). ``regions`` may be a list or a
dictionary. VIA has no labels of its own: the label is the region attribute called label, class, category,
name, type or object, or else the only one there is; the text of attributes called description, caption,
sentence, phrase or text becomes sentences. Left out, with a note: open polylines, line, point, extreme
circle.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from seem_data.annotations import ImageAnnotation, Polygon, Region, Sentence
from seem_data.problems import Problem, collecting
from seem_data.readers import Input, Item, _json, _photos, _shapes, _walk
from seem_data.readers._json import Id, Number, text_of

_LABEL = re.compile(r"(label|class|category|name|type|object)(_?name)?s?", re.IGNORECASE)
_SENTENCE = re.compile(r"(description|caption|sentence|phrase|text)s?", re.IGNORECASE)
_SHAPES_OF_VERSION_3: dict[Number, str] = {
    1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "line", 6: "polyline", 7: "polygon",
    8: "extreme_rect", 9: "extreme_circle",
}  # fmt: skip


class _Shape(msgspec.Struct):
    name: str
    all_points_x: list[Number] = []
    all_points_y: list[Number] = []
    x: Number = None
    y: Number = None
    width: Number = None
    height: Number = None
    cx: Number = None
    cy: Number = None
    r: Number = None
    rx: Number = None
    ry: Number = None
    theta: Number = 0.0


class _Region(msgspec.Struct):
    shape_attributes: _Shape
    region_attributes: dict[str, Any] = {}


class _Photo(msgspec.Struct):
    filename: str
    regions: list[msgspec.Raw] | dict[str, msgspec.Raw] = []


class _File(msgspec.Struct):
    id: Id
    fname: str


class _View(msgspec.Struct):
    fid_list: list[Id]


class _Metadata(msgspec.Struct):
    vid: Id
    xy: list[Number]
    av: dict[str, Any] = {}


class _Attribute(msgspec.Struct):
    aname: str
    options: dict[str, Any] = {}


class _Version3(msgspec.Struct):
    file: dict[str, _File]
    view: dict[str, _View]
    metadata: dict[str, msgspec.Raw]
    attribute: dict[str, _Attribute] = {}


class Via:
    name = "via"
    title = "VGG Image Annotator JSON"
    recognised_by = "JSON files with 'filename' and 'regions' per photo, or VIA's project keys"
    shapes = "polygon, closed polyline, rect, circle, ellipse; open lines and points are left out"
    exif = "applied"

    def recognises(self, path: Path) -> bool:
        return any(_is_via(file) for file in _walk.first(_walk.some_files(path, (".json",))))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        return _photos.unique(self._scan(source, problems), problems)

    def _scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _walk.annotation_files(source, (".json",), problems):
            if path != source.polys and not _is_via(path):
                continue
            with collecting(problems, str(path)):
                for place, raw in _rows(path, problems):
                    with collecting(problems, str(path), place):
                        name = _json.decode(raw, _Photo, str(path)).filename
                        photo = photos.find(name, path.parent)
                        name = photos.name_of(photo)
                        yield Item(name, bytes(raw), photo, path, _walk.split_by_folder(name))

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        assert isinstance(item.payload, bytes) and item.image is not None
        shown = str(item.source)
        regions = _json.decode(item.payload, _Photo, shown).regions
        annotation = ImageAnnotation(item.image, item.name, item.source, exif="applied", split=item.split)
        for key, raw in regions.items() if isinstance(regions, dict) else enumerate(regions):
            where = f"{Path(item.name).name}, regions[{key}]"
            with collecting(problems, shown, where):
                annotation.regions.append(_region(_json.decode(raw, _Region, shown), where))
        return annotation


def _is_via(path: Path) -> bool:
    kind, keys = _json.outline(path)
    if kind != "{" or keys & {"shapes", "annotations"}:
        return False
    if keys & {"_via_settings", "_via_img_metadata"} or {"file", "config", "project"} <= keys:
        return True
    return _json.contains(path, b'"shape_attributes"') or (
        _json.contains(path, b'"filename"') and _json.contains(path, b'"regions"')
    )


def _rows(path: Path, problems: list[Problem]) -> Iterator[tuple[str, msgspec.Raw | bytes]]:
    """The photos of a file in any version's form, each as version 2 writes it, with its place."""
    top = _json.read(path, dict[str, msgspec.Raw])
    if "metadata" in top and "view" in top:
        yield from _rows_of_version_3(_json.read(path, _Version3), str(path), problems)
        return
    if "_via_img_metadata" in top:
        top = _json.decode(top["_via_img_metadata"], dict[str, msgspec.Raw], str(path))
    for key, raw in top.items():
        yield f"[{key!r}]", raw


def _rows_of_version_3(file: _Version3, shown: str, problems: list[Problem]) -> Iterator[tuple[str, bytes]]:
    """Version 3 keeps regions in one list for all photos, as ``[shape number, coordinates…]``."""
    regions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for key, raw in file.metadata.items():
        with collecting(problems, shown, f"metadata[{key!r}]"):
            row = _json.decode(raw, _Metadata, shown)
            if not row.xy:
                continue  # a tag of the whole photo
            attributes = {}
            for number, value in row.av.items():
                attribute = file.attribute.get(number, _Attribute(number))
                attributes[attribute.aname] = attribute.options.get(text_of(value), value)
            shape = _shape_of_version_3(row.xy)
            regions[str(row.vid)].append({"shape_attributes": shape, "region_attributes": attributes})
    for key, view in file.view.items():
        for number in view.fid_list[:1]:
            photo = file.file.get(str(number))
            if photo is not None:
                found = regions.get(key, [])
                yield (
                    f"view[{key!r}]",
                    msgspec.json.encode({"filename": photo.fname, "regions": found}),
                )


def _shape_of_version_3(xy: list[Number]) -> dict[str, Any]:
    number, values = xy[0], xy[1:]
    name = _SHAPES_OF_VERSION_3.get(number, f"shape {number}")
    keys = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r"),
            "ellipse": ("cx", "cy", "rx", "ry")}  # fmt: skip
    if name in keys:
        return {"name": name, **dict(zip(keys[name], values, strict=False))}
    return {"name": name, "all_points_x": values[::2], "all_points_y": values[1::2]}


def _region(row: _Region, where: str) -> Region:
    label = _label(row.region_attributes)
    sentences = [
        text
        for name, value in row.region_attributes.items()
        if _SENTENCE.fullmatch(name) and (text := text_of(value)) and text != label
    ]
    return Region(
        label, (_part(row.shape_attributes),), sentences=tuple(map(Sentence, sentences)), where=where
    )


def _label(attributes: dict[str, Any]) -> str:
    known = [name for name in attributes if _LABEL.fullmatch(name)]
    others = [name for name in attributes if not _SENTENCE.fullmatch(name)]
    for name in known or (others if len(others) == 1 else ()):
        value = attributes[name]
        if isinstance(value, dict):  # a checkbox: {"cat": true, "dog": false}
            chosen = [option for option, is_set in value.items() if is_set is True]
            value = chosen[0] if len(chosen) == 1 else None
        if label := text_of(value):
            return label
    raise _shapes.fault(
        "no-label",
        f"has no label (its attributes: {', '.join(attributes) or 'none'}).",
        "Call the attribute with the category 'label', and fill it in.",
    )


def _part(shape: _Shape) -> Polygon:
    if shape.name in ("polygon", "polyline", "extreme_rect"):
        xs, ys = shape.all_points_x, shape.all_points_y
        if len(xs) != len(ys):
            raise _shapes.fault("bad-points", f"has {len(xs)} x but {len(ys)} y.", "Draw it again.")
        points = list(zip(xs, ys, strict=True))
        if shape.name == "polyline" and (len(points) < 4 or points[0] != points[-1]):
            raise _shapes.no_area("polyline that is not closed")
        line = _shapes.ring(points)
        if shape.name == "extreme_rect":
            return _shapes.rectangle(*line.min(axis=0), *line.max(axis=0))
        return Polygon(line)
    if shape.name == "rect":
        return _shapes.box(*_finite(shape, "x", "y", "width", "height"))
    if shape.name == "circle":
        cx, cy, radius = _finite(shape, "cx", "cy", "r")
        return _shapes.ellipse(cx, cy, radius, radius)
    if shape.name == "ellipse":
        cx, cy, rx, ry, theta = _finite(shape, "cx", "cy", "rx", "ry", "theta")
        return _shapes.ellipse(cx, cy, rx, ry, math.degrees(theta))
    raise _shapes.no_area(shape.name)


def _finite(shape: _Shape, *keys: str) -> list[float]:
    values = [getattr(shape, key) for key in keys]
    if None in values:
        key = keys[values.index(None)]
        raise _shapes.fault("not-finite", f"is a {shape.name} without finite {key}.", "Draw it again.")
    return values


READER = Via()
