"""VGG Image Annotator (VIA), versions 1 to 3: projects and exports.

Format: https://www.robots.ox.ac.uk/~vgg/software/via/ and its CodeDoc. Coordinates are pixels of the photo as
the browser shows it: turned upright by its EXIF orientation.

Read: polygon, polyline whose ends meet, or nearly (`_shapes.outline`), rect, circle, ellipse (version 2:
turned by ``theta`` radians), and version 3's extreme rectangle (the box around four points); JSON as a
project, an export or a list of photos, and CSV. ``regions`` may be a list or a dictionary. VIA has no labels
of its own: the label is the region attribute whose values are categories, or else the one called label, class
or category, or else name, type or object, or else the only one there is; a region without is one without a
label. The text of attributes called description, caption, sentence, phrase or text becomes sentences. Left
out, and told: open polylines, line, point, extreme circle.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from seem_data.annotations import NAME_OF_SENTENCES, ImageAnnotation, Polygon, Region, Sentence
from seem_data.problems import Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _photos, _shapes, _walk
from seem_data.readers._json import Id, Number, text_of
from seem_data.readers._lenient import Needed

_T = TypeVar("_T")

#: Names of attributes that are the label, the surest first.
_LABELS = (
    re.compile(r"(label|class|category)(_?(name|label))?(s|es)?", re.IGNORECASE),
    re.compile(r"(name|type|object)(_?(name|type|class))?s?", re.IGNORECASE),
)
_CSV_MARKS = (b"region_shape_attributes", b"spatial_coordinates")
_SHAPES_OF_VERSION_3: dict[Number, str] = {
    1: "point", 2: "rect", 3: "circle", 4: "ellipse", 5: "line", 6: "polyline", 7: "polygon",
    8: "extreme_rect", 9: "extreme_circle",
}  # fmt: skip


class _Shape(msgspec.Struct):
    name: str
    all_points_x: Annotated[list[Number], Needed] = []
    all_points_y: Annotated[list[Number], Needed] = []
    x: Annotated[Number, Needed] = None
    y: Annotated[Number, Needed] = None
    width: Annotated[Number, Needed] = None
    height: Annotated[Number, Needed] = None
    cx: Annotated[Number, Needed] = None
    cy: Annotated[Number, Needed] = None
    r: Annotated[Number, Needed] = None
    rx: Annotated[Number, Needed] = None
    ry: Annotated[Number, Needed] = None
    theta: Number = 0.0


class _Region(msgspec.Struct):
    shape_attributes: _Shape
    region_attributes: dict[str, object] | None = None


class _Attributes(msgspec.Struct):
    region_attributes: dict[str, object] | None = None


class _Photo(msgspec.Struct):
    filename: str
    regions: Annotated[list[msgspec.Raw] | dict[str, msgspec.Raw] | None, Needed] = None

    @property
    def places(self) -> list[tuple[str | int, msgspec.Raw]]:
        regions = self.regions or []
        return list(regions.items() if isinstance(regions, dict) else enumerate(regions))


class _Payload(msgspec.Struct):
    """One photo's part of the file, and the attributes that may be the label, the surest first."""

    labels: list[str]
    photo: _Photo


class _File(msgspec.Struct):
    fname: str


class _View(msgspec.Struct):
    fid_list: list[Id] = []


class _Metadata(msgspec.Struct):
    vid: Id
    xy: Annotated[list[Number] | None, Needed] = None
    av: dict[str, object] | None = None


class _Attribute(msgspec.Struct):
    aname: str
    options: dict[str, object] | None = None


class _Version3(msgspec.Struct):
    file: dict[str, _File]
    view: dict[str, _View]
    metadata: dict[str, msgspec.Raw]
    attribute: dict[str, _Attribute] = {}


class Via:
    name = "via"
    title = "VGG Image Annotator"
    recognised_by = "JSON files with 'filename' and 'regions' per photo, or VIA's project keys; VIA's CSV"
    shapes = "polygon, closed polyline, rect, circle, ellipse; open lines and points are left out"
    exif = "applied"

    def recognises(self, path: Path) -> bool:
        return any(_is_via(file) for file in _walk.first_files(path, (".json", ".csv")))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _walk.annotation_files(source, (".json", ".csv"), problems, _is_via):
            shown = str(path)
            rows: list[tuple[str, _Photo]] = []
            with Spot(problems, shown):
                for place, raw in _rows(path, problems):
                    with Spot(problems, shown, place):
                        rows.append((place, _json.decode(raw, _Photo, shown, problems, place)))
            labels = _label_attributes([photo for _, photo in rows], source.known)
            for place, row in rows:
                with Spot(problems, shown, place):
                    photo = photos.find(row.filename, path.parent)
                    yield photos.item(photo, path, msgspec.json.encode(_Payload(labels, row)))

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        shown = str(item.source)
        payload = _json.decode(item.content, _Payload, shown)
        annotation = item.annotation(exif="applied")
        for key, raw in payload.photo.places:
            where = f"{Path(item.name).name}, regions[{key}]"
            with Spot(problems, shown, where) as place:
                row = _json.decode(raw, _Region, shown, problems, where)
                annotation.regions.append(_region(row, payload.labels, place))
        return annotation


def _is_via(path: Path) -> bool:
    if path.suffix.lower() == ".csv":
        return any(mark in _walk.head(path, 1 << 12) for mark in _CSV_MARKS)
    kind, keys = _json.outline(path)
    if not kind or keys & {"shapes", "annotations"}:
        return False
    if keys & {"_via_settings", "_via_img_metadata"} or {"file", "config", "project"} <= keys:
        return True
    return _json.contains(path, b'"shape_attributes"') or (
        _json.contains(path, b'"filename"') and _json.contains(path, b'"regions"')
    )


def _label_attributes(photos: list[_Photo], known: Callable[[str], object] | None) -> list[str]:
    """The attributes of a file that may be the label: those whose values are categories before those whose
    name says so; the only one there is may have any name."""
    counts: Counter[str] = Counter()
    of_categories: Counter[str] = Counter()
    for photo in photos:
        for _, raw in photo.places:
            with Spot([]):
                for name, value in (_json.decode(raw, _Attributes, "", []).region_attributes or {}).items():
                    counts[name] += 1
                    of_categories[name] += known is not None and known(_word(value)) is not None
    names = [name for name in counts if NAME_OF_SENTENCES.fullmatch(name) is None]
    rank = {
        name: next((n for n, words in enumerate(_LABELS) if words.fullmatch(name)), None) for name in names
    }
    sure = [name for name in names if of_categories[name] or rank[name] is not None]
    if not sure:
        return names if len(names) == 1 else []
    return sorted(sure, key=lambda name: (-of_categories[name], rank[name] is None, rank[name] or 0))


def _rows(path: Path, problems: list[Problem]) -> Iterator[tuple[str, msgspec.Raw | bytes]]:
    """The photos of a file in any version's form, each as version 2 writes it, with its place."""
    shown = str(path)
    if path.suffix.lower() == ".csv":
        yield from _rows_of_csv(path, problems)
        return
    if _json.outline(path)[0] == "[":  # the values of an export, as tutorials keep them
        for index, raw in enumerate(_json.read(path, list[msgspec.Raw])):
            yield f"[{index}]", raw
        return
    top = _json.read(path, dict[str, msgspec.Raw])
    if "metadata" in top and "view" in top:
        yield from _rows_of_version_3(_json.read(path, _Version3, problems), shown, problems)
        return
    if "_via_img_metadata" in top:
        top = _json.decode(top["_via_img_metadata"], dict[str, msgspec.Raw], shown)
    for key, raw in top.items():
        if not key.startswith("_via_"):
            yield f"[{key!r}]", raw


def _rows_of_csv(path: Path, problems: list[Problem]) -> Iterator[tuple[str, bytes]]:
    """CSV has a line a region; of version 3 its header is a comment, and attributes are named by numbers."""
    text = _walk.read_text(path)
    shown = str(path)
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    if header := re.search(r"#\s*CSV_HEADER\s*=\s*(.*)", text):
        lines.insert(0, header[1].strip())
    regions: dict[str, list[dict[str, object]]] = {}
    try:
        rows = list(csv.DictReader(lines))
    except csv.Error as error:
        raise fault("bad-csv", f"is no CSV ({error}).", "Export it again.", shown) from None
    for row in rows:
        where = f"line {row.get('region_id') or row.get('metadata_id') or len(regions) + 1}"
        with Spot(problems, shown, where):
            cells = {str(key).lstrip("#"): value for key, value in row.items() if isinstance(value, str)}
            if "spatial_coordinates" in cells:
                names = _cell(cells, "file_list", list[str], shown)
                xy = _cell(cells, "spatial_coordinates", list[Number], shown)
                shape = _shape_of_version_3(xy) if xy else {}
                attributes = _cell(cells, "metadata", dict, shown)
            else:
                names = [cells.get("filename", "")]
                shape = _cell(cells, "region_shape_attributes", dict, shown)
                attributes = _cell(cells, "region_attributes", dict, shown)
            for name in names[:1]:
                found = regions.setdefault(name, [])
                if shape:
                    found.append({"shape_attributes": shape, "region_attributes": attributes})
    for name, found in regions.items():
        yield f"{name!r}", msgspec.json.encode({"filename": name, "regions": found})


def _cell(cells: dict[str, str], name: str, type: type[_T], shown: str) -> _T:
    text = cells.get(name, "").strip()
    return _json.decode(text.encode(), type, shown) if text else type()


def _rows_of_version_3(file: _Version3, shown: str, problems: list[Problem]) -> Iterator[tuple[str, bytes]]:
    """Version 3 keeps regions in one list for all photos, as ``[shape number, coordinates…]``."""
    regions: dict[str, list[dict[str, object]]] = defaultdict(list)
    for key, raw in file.metadata.items():
        where = f"metadata[{key!r}]"
        with Spot(problems, shown, where):
            row = _json.decode(raw, _Metadata, shown, problems, where)
            if not row.xy:
                continue  # a tag of the whole photo
            attributes = {}
            for number, value in (row.av or {}).items():
                attribute = file.attribute.get(number, _Attribute(number))
                attributes[attribute.aname] = (attribute.options or {}).get(text_of(value), value)
            shape = _shape_of_version_3(row.xy)
            regions[str(row.vid)].append({"shape_attributes": shape, "region_attributes": attributes})
    for lost in regions.keys() - file.view.keys():
        message = f"is not there, though {len(regions[lost])} region(s) are on it; they are left out."
        problems.append(
            Problem("unknown-image", message, "Export the project again.", shown, f"view[{lost!r}]")
        )
    for key, view in file.view.items():
        for number in view.fid_list[:1]:
            photo = file.file.get(str(number))
            if photo is not None:
                row = {"filename": photo.fname, "regions": regions.get(key, [])}
                yield f"view[{key!r}]", msgspec.json.encode(row)


def _shape_of_version_3(xy: list[Number]) -> dict[str, object]:
    number, values = xy[0], xy[1:]
    name = _SHAPES_OF_VERSION_3.get(number, f"shape {number}")
    keys = {"rect": ("x", "y", "width", "height"), "circle": ("cx", "cy", "r"),
            "ellipse": ("cx", "cy", "rx", "ry")}  # fmt: skip
    if name in keys:
        return {"name": name, **dict(zip(keys[name], values, strict=False))}
    return {"name": name, "all_points_x": values[::2], "all_points_y": values[1::2]}


def _region(row: _Region, labels: list[str], place: Spot) -> Region:
    attributes = row.region_attributes or {}
    label = next((word for name in labels if (word := _word(attributes.get(name)))), "")
    if attributes and not label:
        message = f"has no label (its attributes: {', '.join(attributes)})."
        place.tell("no-label", message, "Call the attribute with the category 'label', and fill it in.")
    lines = [text_of(value) for name, value in attributes.items() if NAME_OF_SENTENCES.fullmatch(name)]
    sentences = tuple(Sentence(line) for line in lines if line and line != label)
    return Region(label, (_part(row.shape_attributes, place),), sentences=sentences, where=place.where)


def _word(value: object) -> str:
    """An attribute's value as a word; of a checkbox, ``{"cat": true, "dog": false}``, the one that is set."""
    if isinstance(value, dict):
        chosen = [option for option, is_set in value.items() if is_set is True]
        value = chosen[0] if len(chosen) == 1 else None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return text_of(value)


def _part(shape: _Shape, place: Spot) -> Polygon:
    kind = shape.name.lower()
    if kind in ("polygon", "polyline", "extreme_rect"):
        xs, ys = shape.all_points_x, shape.all_points_y
        if len(xs) != len(ys):
            raise fault("bad-points", f"has {len(xs)} x but {len(ys)} y.", "Draw it again.")
        points = list(zip(xs, ys, strict=True))
        if kind == "polyline" and (len(points) < 4 or points[0] != points[-1]):
            return _shapes.outline(points, kind, place)
        line = _shapes.ring(points)
        if kind == "extreme_rect":
            return _shapes.rectangle(*line.min(axis=0), *line.max(axis=0))
        return Polygon(line)
    if kind == "rect":
        return _shapes.box(*_finite(shape, "x", "y", "width", "height"))
    if kind == "circle":
        cx, cy, radius = _finite(shape, "cx", "cy", "r")
        return _shapes.ellipse(cx, cy, radius, radius)
    if kind == "ellipse":
        cx, cy, rx, ry = _finite(shape, "cx", "cy", "rx", "ry")
        return _shapes.ellipse(cx, cy, rx, ry, math.degrees(shape.theta or 0.0))
    raise _shapes.no_area(kind)


def _finite(shape: _Shape, *keys: str) -> list[float]:
    values = [getattr(shape, key) for key in keys]
    if None in values:
        key = keys[values.index(None)]
        raise fault("not-finite", f"is a {shape.name} without finite {key}.", "Draw it again.")
    return values


READER = Via()
