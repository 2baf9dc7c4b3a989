"""Label Studio JSON export: tasks in all the forms in which they are written (`_tasks`).

Format: https://labelstud.io/guide/export ("JSON", "JSON-MIN", and what is synchronised to a storage).
Coordinates are percent of ``original_width`` and ``original_height``, of the photo as the browser shows it:
turned upright by its EXIF orientation; where no row has these sizes, the photo's own are meant.

Read: polygon, brush (see `_brush`), bitmask, rectangle (turned by ``rotation`` about its top-left corner)
and ellipse (x and y are its centre), with labels of their own or of a separate control: of the rows of one
id that which has the shape is the shape, in whatever order they stand. Texts that belong to a region
(``meta.text``, per-region text areas) become sentences. Of several annotations of a task that of
``--annotator`` is used, or the ground truth, or the newest that marks anything and was not cancelled, and it
is told; predictions are read, with a note, where a file has no annotation at all; lines such as
``[score 0.93]`` are no sentences. Where a task has several photos, ``to_name`` and ``item_index`` say which
one a region is on. Photos are found by what is left of their address:
``/data/local-files/?d=kitchen/001.jpg``, ``s3://bucket/kitchen/001.jpg``, and uploads also without the eight
digits Label Studio puts before them. Left out, and told: key points, vectors, regions drawn while the photo
was turned in the tool.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from seem_data.annotations import Bitmap, ImageAnnotation, Polygon, Region, sentences_of
from seem_data.images import opening, read_header
from seem_data.problems import Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _photos, _shapes, _tasks, _walk
from seem_data.readers._brush import decode_brush
from seem_data.readers._json import Id, Number
from seem_data.readers._lenient import Needed

_SHAPES = ("polygon", "brush", "bitmask", "rectangle", "ellipse", "keypoint", "vector")
#: Controls whose results are about a region, or about the whole photo, and are no region themselves.
_WORDS = ("choices", "textarea", "rating", "taxonomy", "number", "datetime", "relation", "pairwise", "ranker")


class _Value(msgspec.Struct):
    points: Annotated[list[tuple[Number, Number]] | None, Needed] = None
    rle: Annotated[list[int] | None, Needed] = None
    imageDataURL: Annotated[str | None, Needed] = None
    x: Annotated[Number, Needed] = None
    y: Annotated[Number, Needed] = None
    width: Annotated[Number, Needed] = None
    height: Annotated[Number, Needed] = None
    radiusX: Annotated[Number, Needed] = None
    radiusY: Annotated[Number, Needed] = None
    rotation: Number = 0.0

    @property
    def is_shape(self) -> bool:
        if self.points is not None or self.rle is not None or self.imageDataURL is not None:
            return True
        return self.x is not None and (self.width is not None or self.radiusX is not None)


class _Result(msgspec.Struct):
    type: str | None = ""
    id: Id | None = None
    value: msgspec.Raw = msgspec.Raw(b"{}")
    original_width: int | None = None
    original_height: int | None = None
    image_rotation: Number = 0.0
    meta: dict[str, object] | None = None

    @property
    def kind(self) -> str:
        return (self.type or "").removesuffix("labels")

    @property
    def size(self) -> tuple[int, int] | None:
        width, height = self.original_width, self.original_height
        return (width, height) if width and height else None


class _Target(msgspec.Struct):
    """Which photo a result is about."""

    to_name: str | None = ""
    item_index: int | None = 0


class _Payload(msgspec.Struct):
    result: list[msgspec.Raw]


class LabelStudio:
    name = "labelstudio"
    title = "Label Studio JSON"
    recognised_by = (
        "JSON files of tasks with 'annotations' and 'data', JSON-MIN, or annotations with their 'task'"
    )
    shapes = "polygon, brush, bitmask, rectangle, ellipse; key points are left out"
    exif = "applied"

    def recognises(self, path: Path) -> bool:
        return any(map(_tasks.fits, _walk.first_files(path)))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        files = _tasks.together(_json.files_of(source, _tasks.fits, problems))
        for path, same in files.items():
            with Spot(problems, str(path)):
                for where, task in _tasks.tasks(path, problems):
                    for other in same[1:]:
                        with Spot(problems, str(other)):
                            for _, more in _tasks.tasks(other, problems):
                                task.annotations = task.done + more.done
                    with Spot(problems, str(path), where) as place:
                        annotation = _tasks.chosen(task, source.annotator, place)
                        yield from _items(task, annotation, photos, path)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        shown = str(item.source)
        annotation = item.annotation(exif="applied")
        regions = list(_by_region(_json.decode(item.content, _Payload, shown).result, item, problems))
        sizes = [row.size for _, rows in regions for row in rows if row.size]
        for where, rows in regions:
            with Spot(problems, shown, where):
                shape = _shape_of(rows)
                if shape is None:
                    continue  # a choice or a text about the whole photo
                row, value = shape
                size = next((row.size for row in (row, *rows) if row.size), sizes[0] if sizes else None)
                annotation.size = size or annotation.size
                size = size or read_header(annotation.image).size("applied")
                annotation.regions.append(_region(row, value, rows, size, where))
        return annotation


def _items(
    task: _tasks.Task, annotation: _tasks.Annotation, photos: _photos.Photos, path: Path
) -> Iterator[Item]:
    """An item for each photo of a task, with the results about it."""
    rows = annotation.result or []
    targets = [_json.decode(row, _Target, str(path), []) for row in rows]
    to_names = list(dict.fromkeys(target.to_name or "" for target in targets))
    pictures = _tasks.photos_of(task, to_names, photos, path.parent)
    for pages, tags in pictures:
        for page, photo in enumerate(pages):
            own = [
                row
                for row, target in zip(rows, targets, strict=True)
                if ((target.to_name or "") in tags or len(pictures) == 1)
                and (min(max(target.item_index or 0, 0), len(pages) - 1) == page)
            ]
            yield photos.item(photo, path, msgspec.json.encode(_Payload(own)))


def _by_region(
    results: list[msgspec.Raw], item: Item, problems: list[Problem]
) -> Iterator[tuple[str, list[_Result]]]:
    """Results of the same id tell about the same region: its shape, its label, its text."""
    regions: dict[Id, list[_Result]] = {}
    for index, raw in enumerate(results):
        where = f"{item.name}, result[{index}]"
        with Spot(problems, str(item.source), where):
            row = _json.decode(raw, _Result, str(item.source), problems, where)
            regions.setdefault(row.id if row.id is not None else where, []).append(row)
    for number, rows in regions.items():
        yield f"{item.name}, region {number}", rows


def _shape_of(rows: list[_Result]) -> tuple[_Result, _Value] | None:
    """The row that has the shape: one of a kind that draws, else one of labels, else any with an outline (the
    other rows of a region repeat it).

    Raises:
        DataError: there is none, though they are not about the whole photo.
    """
    for wanted in (_SHAPES, ("",), None):
        for row in rows:
            if wanted is None or row.kind in wanted:
                value = _json.decode(row.value, _Value, "")
                if value.is_shape:
                    return row, value
    others = [row.type for row in rows if row.kind not in _WORDS]
    if not others:
        return None
    if rows[0].kind in ("keypoint", "vector"):
        raise _shapes.no_area(rows[0].kind)
    raise fault("no-shape", f"is of type {others[0]!r} and has no shape.", "Draw it, or delete it.")


def _region(shape: _Result, value: _Value, rows: list[_Result], size: tuple[int, int], where: str) -> Region:
    if shape.image_rotation:
        message = f"was drawn while the photo was turned by {shape.image_rotation:g}° in Label Studio."
        raise fault("turned-photo", message, "Turn the photo itself and draw the region again.")
    part = _part(shape.kind, value, size)
    labels: list[str] = []
    choices: list[str] = []
    sentences: list[str] = []
    for row in rows:
        values = _json.decode(row.value, dict[str, object], "")
        for key, found in values.items():
            if key.endswith("labels") or key == "choices":
                words = [_json.text_of(word) for word in (found if isinstance(found, list) else [found])]
                (choices if key == "choices" else labels).extend(filter(None, words))
        for text in (values.get("text"), (row.meta or {}).get("text")):
            texts = text if isinstance(text, list) else [text]
            sentences += [line for line in texts if isinstance(line, str)]
    labels = list(dict.fromkeys(labels or choices)) or [""]
    if len(labels) > 1:
        message = f"has the labels {', '.join(labels)} where one belongs."
        raise fault("no-label", message, "Give it exactly one label.")
    return Region(labels[0], (part,), sentences=sentences_of(sentences), where=where)


def _part(kind: str, value: _Value, size: tuple[int, int]) -> Polygon | Bitmap:
    width, height = size
    if value.rle is not None:
        if not all(0 <= byte < 256 for byte in value.rle):
            raise fault("bad-rle", "has a brush mask of no bytes.", "Export it again.")
        return _shapes.bitmap(decode_brush(bytes(value.rle), height, width))
    if value.imageDataURL is not None:
        return _bitmask(value.imageDataURL, width, height)
    if kind in ("keypoint", "vector"):
        raise _shapes.no_area(kind)
    if value.points is not None:
        return Polygon(_shapes.ring([(_scaled(x, width), _scaled(y, height)) for x, y in value.points]))
    x, y, turn = _scaled(value.x, width), _scaled(value.y, height), value.rotation or 0.0
    if kind == "ellipse" or value.radiusX is not None:
        return _shapes.ellipse(x, y, _scaled(value.radiusX, width), _scaled(value.radiusY, height), turn)
    return _shapes.box(x, y, _scaled(value.width, width), _scaled(value.height, height), turn)


def _bitmask(address: str, width: int, height: int) -> Bitmap:
    """A picture of the mask: what is neither clear nor black."""
    with opening(_shapes.from_base64(address), "") as opened:
        if opened.size != (width, height):
            message = (
                f"has a mask of {opened.width}×{opened.height} pixels, but the photo has {width}×{height}."
            )
            raise fault("bad-mask-size", message, "Export the annotations again.")
        pixels = np.asarray(opened.convert("RGBA"))
    return _shapes.bitmap((pixels[..., 3] > 0) & (pixels[..., :3] > 0).any(axis=2))


def _scaled(percent: float | None, whole: int) -> float:
    return float("nan") if percent is None else percent * whole / 100  # NaN is refused by the shape


READER = LabelStudio()
