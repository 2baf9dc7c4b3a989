"""Label Studio JSON export: a list of tasks.

Format: https://labelstud.io/guide/export ("JSON"; JSON-MIN lacks what is needed). Coordinates are percent of
``original_width`` and ``original_height``, of the photo as the browser shows it: turned upright by its EXIF
orientation.

Read: polygon, brush (see `_brush`), rectangle (turned by ``rotation`` about its top-left corner) and ellipse
(x and y are its centre), with labels of their own or of a separate control. Texts that belong to a region
(``meta.text``, per-region text areas) become sentences. Of several annotations of a task the ground truth,
or else the newest that was not cancelled, is used. Predictions are read, with a note, where a file has no
annotation at all; lines such as ``[score 0.93]`` are no sentences. Photos are found by what is left of
their address: ``/data/local-files/?d=kitchen/001.jpg``, ``s3://bucket/kitchen/001.jpg``, and uploads also
without the eight digits Label Studio puts before their name. Left out, with a note: key points, vectors;
reported: regions drawn while the photo was turned in the tool.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from seem_data.annotations import Bitmap, ImageAnnotation, Polygon, Region, sentences_of
from seem_data.problems import DataError, Problem, collecting
from seem_data.readers import Input, Item, _json, _photos, _shapes, _walk
from seem_data.readers._brush import decode_brush
from seem_data.readers._json import Id, Number

_IMAGE = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp|gif|jfif|avif)$", re.IGNORECASE)
_UPLOAD = re.compile(r"^[0-9a-f]{8}-", re.IGNORECASE)


class _Value(msgspec.Struct):
    points: list[tuple[Number, Number]] | None = None
    rle: list[int] | None = None
    x: Number = None
    y: Number = None
    width: Number = None
    height: Number = None
    radiusX: Number = None
    radiusY: Number = None
    rotation: Number = 0.0
    text: Any = None


class _Result(msgspec.Struct):
    type: str = ""
    id: Id | None = None
    value: msgspec.Raw = msgspec.Raw(b"{}")
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: Number = 0.0
    meta: dict[str, Any] | None = None


class _Annotation(msgspec.Struct):
    result: list[msgspec.Raw] = []
    was_cancelled: bool | None = False
    ground_truth: bool | None = False
    updated_at: str | None = ""


class _Task(msgspec.Struct):
    data: dict[str, Any] = {}
    annotations: list[_Annotation] | None = None
    completions: list[_Annotation] | None = None  #: so called before version 1.0
    predictions: list[_Annotation] | None = None
    file_upload: str | None = None


class LabelStudio:
    name = "labelstudio"
    title = "Label Studio JSON"
    recognised_by = "JSON files that hold a list of tasks with 'annotations' and 'data'"
    shapes = "polygon, brush, rectangle, ellipse; key points are left out"
    exif = "applied"

    def recognises(self, path: Path) -> bool:
        return any(_fits(kind, keys) for kind, keys in _json.outlines(path))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        return _photos.unique(self._scan(source, problems), problems)

    def _scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _walk.annotation_files(source, (".json",), problems):
            if path != source.polys and not _fits(*_json.outline(path)):
                continue
            with collecting(problems, str(path)):
                tasks = _json.read(path, list[msgspec.Raw])
                if proposed := _are_proposals(tasks):
                    problems.append(_not_looked_at(path))
                for index, raw in enumerate(tasks):
                    with collecting(problems, str(path), f"[{index}]"):
                        task = _json.decode(raw, _Task, str(path))
                        annotation = _chosen(task, proposed)
                        photo = _photo(task, photos, path.parent)
                        name = photos.name_of(photo)
                        payload = msgspec.json.encode(annotation)
                        yield Item(name, payload, photo, path, _walk.split_by_folder(name))

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        assert isinstance(item.payload, bytes) and item.image is not None
        shown = str(item.source)
        annotation = ImageAnnotation(item.image, item.name, item.source, exif="applied", split=item.split)
        for where, rows in _by_region(_json.decode(item.payload, _Annotation, shown), item, problems):
            with collecting(problems, shown, where):
                shape = next((row for row in rows if row.original_width and row.original_height), None)
                if shape is None or not _has_shape(shape):
                    continue  # a choice or a text about the whole photo
                annotation.size = (shape.original_width or 0, shape.original_height or 0)
                annotation.regions.append(_region(shape, rows, annotation.size, where))
        return annotation


def _fits(kind: str, keys: set[str]) -> bool:
    return (
        kind == "[" and bool(keys & {"annotations", "completions"}) and bool(keys & {"data", "file_upload"})
    )


def _are_proposals(tasks: list[msgspec.Raw]) -> bool:
    """Whether a model has predicted on some of the tasks, and nobody has annotated any."""
    proposed = False
    for raw in tasks:
        with collecting([]):
            task = _json.decode(raw, _Task, "")
            if _done(task):
                return False
            proposed |= bool(task.predictions)
    return proposed


def _not_looked_at(path: Path) -> Problem:
    return Problem(
        "predictions",
        "holds predictions of a model and no annotation; the predictions are read.",
        "Correct them in Label Studio first, and export the annotations.",
        str(path),
        severity="note",
    )


def _done(task: _Task) -> list[_Annotation]:
    return [row for row in task.annotations or task.completions or [] if not row.was_cancelled]


def _chosen(task: _Task, proposed: bool) -> _Annotation:
    done = (task.predictions or []) if proposed else _done(task)
    if not done:
        raise DataError(Problem("not-annotated", "is a task without annotation.", severity="note"))
    return max(done, key=lambda row: (bool(row.ground_truth), row.updated_at or ""))


def _photo(task: _Task, photos: _photos.Photos, beside: Path) -> Path:
    addresses = [value for value in task.data.values() if isinstance(value, str)]
    names = [task.file_upload, *map(_path_in, addresses)]
    names = [name for name in names if name and _IMAGE.search(name)]
    names += [_UPLOAD.sub("", Path(name).name) for name in names if _UPLOAD.match(Path(name).name)]
    failure = DataError(
        Problem("no-image-path", "does not name its photo.", 'Export with "data" and its address.')
    )
    for name in names:
        try:
            return photos.find(name, beside)
        except DataError as error:
            failure = error
    raise failure


def _path_in(address: str) -> str:
    """What an address says about the place of a file: less its server, bucket, query and escapes."""
    if "?d=" in address:  # local files are served as /data/local-files/?d=PATH
        address = address.split("?d=", 1)[1]
    elif scheme := re.match(r"[a-z][a-z0-9+.-]+://[^/]*/", address, re.IGNORECASE):
        address = address[scheme.end() :].split("?")[0].split("#")[0]
    return unquote(address)


def _by_region(
    annotation: _Annotation, item: Item, problems: list[Problem]
) -> Iterator[tuple[str, list[_Result]]]:
    """Results of the same id tell about the same region: its shape, its label, its text."""
    regions: dict[Id, list[_Result]] = {}
    for index, raw in enumerate(annotation.result):
        where = f"{item.name}, result[{index}]"
        with collecting(problems, str(item.source), where):
            row = _json.decode(raw, _Result, str(item.source))
            regions.setdefault(row.id if row.id is not None else where, []).append(row)
    for number, rows in regions.items():
        yield f"{item.name}, region {number}", rows


def _has_shape(row: _Result) -> bool:
    return row.type.removesuffix("labels") not in ("", "choices", "textarea", "rating", "taxonomy", "number")


def _region(shape: _Result, rows: list[_Result], size: tuple[int, int], where: str) -> Region:
    if shape.image_rotation:
        raise _shapes.fault(
            "turned-photo",
            f"was drawn while the photo was turned by {shape.image_rotation:g}° in Label Studio.",
            "Turn the photo itself and draw the region again.",
        )
    part = _part(shape, size)
    labels: list[str] = []
    sentences: list[str] = []
    for row in rows:
        values = _json.decode(row.value, dict[str, Any], "")
        for key, value in values.items():
            if key.endswith("labels") and isinstance(value, list):
                labels += [label for label in value if isinstance(label, str)]
        for text in (values.get("text"), (row.meta or {}).get("text")):
            texts = text if isinstance(text, list) else [text]
            sentences += [line for line in texts if isinstance(line, str)]
    if len(labels) != 1:
        raise _shapes.fault(
            "no-label",
            f"has the labels {', '.join(labels)} where one belongs." if labels else "has no label.",
            "Give it exactly one label.",
        )
    return Region(labels[0], (part,), sentences=sentences_of(sentences), where=where)


def _part(row: _Result, size: tuple[int, int]) -> Polygon | Bitmap:
    width, height = size
    value = _json.decode(row.value, _Value, "")
    kind = row.type.removesuffix("labels")
    if value.rle is not None:
        if not all(0 <= byte < 256 for byte in value.rle):
            raise _shapes.fault("bad-rle", "has a brush mask of no bytes.", "Export it again.")
        return _shapes.bitmap(decode_brush(bytes(value.rle), height, width))
    if value.points is not None:
        return Polygon(_shapes.ring([(_scaled(x, width), _scaled(y, height)) for x, y in value.points]))
    x, y, turn = _scaled(value.x, width), _scaled(value.y, height), value.rotation or 0.0
    if kind in ("rectangle", ""):
        return _shapes.box(x, y, _scaled(value.width, width), _scaled(value.height, height), turn)
    if kind == "ellipse":
        return _shapes.ellipse(x, y, _scaled(value.radiusX, width), _scaled(value.radiusY, height), turn)
    raise _shapes.no_area(kind)


def _scaled(percent: float | None, whole: int) -> float:
    return float("nan") if percent is None else percent * whole / 100  # NaN is refused by the shape


READER = LabelStudio()
