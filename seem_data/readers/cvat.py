"""CVAT XML 1.1, for images and for video.

Format: https://docs.cvat.ai/docs/manual/advanced/xml_format/. Coordinates are pixels of the photo turned
upright by its EXIF orientation (as CVAT does since 2022; where the sizes tell otherwise, they decide); the
origin is the photo's outer corner.

Read: polygon, box (turned by ``rotation`` about its centre), ellipse, mask (``rle``: row by row inside its
own box, zeros first). ``z_order`` orders the drawing; ``group_id`` joins the parts of one object. Attributes
of input type "text", and those called description, caption, sentence, phrase or text, become sentences when
they hold words. ``subset`` gives the split, and in a project's export the folder of the photo. Of video
tasks the shapes of every frame for which there is a picture (``images/frame_000010.png``) are read, in a
project's export those of each task (of the second task of a subset it is ``frame_000010_1.png``); shapes
marked ``outside`` are not in it; label and ``group_id`` are those of the track. A polyline whose ends meet,
or nearly, is an outline (`_shapes.outline`). Left out, and told: open polylines, points, skeleton, cuboid.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element

import msgspec

from seem_data.annotations import NAME_OF_SENTENCES, Bitmap, ImageAnnotation, Polygon, Region, Sentence
from seem_data.problems import DataError, Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _photos, _shapes, _walk, _xml

_LABELS = ("meta/task/labels/label", "meta/project/labels/label", "meta/job/labels/label")
_TASK = "meta/project/tasks/task"
_PICTURES = (".PNG", ".png", ".jpg", ".jpeg")  #: the first is CVAT's own


class _Shape(msgspec.Struct):
    kind: str
    values: dict[str, str]
    sentences: list[str]


@dataclass(frozen=True, order=True, slots=True)
class _Frame:
    """A frame of a video; a project has several videos, each a task's."""

    subset: str
    task: str
    number: int


@dataclass(frozen=True, slots=True)
class _Task:
    subset: str = ""
    frames: float = math.inf


class _Payload(msgspec.Struct):
    """One photo's part of the file, as it travels to a worker."""

    size: tuple[int, int] | None
    shapes: list[_Shape]
    tags: list[str] = []


class Cvat:
    name = "cvat"
    title = "CVAT XML 1.1"
    recognised_by = "XML files whose root is 'annotations'"
    shapes = "polygon, box, ellipse, mask, closed polyline, tracks; points, skeleton and cuboid are left out"
    exif = "applied"

    def recognises(self, path: Path) -> bool:
        return any(_is_cvat(file) for file in _walk.first_files(path, (".xml",)))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _walk.annotation_files(source, (".xml",), problems, _is_cvat):
            with Spot(problems, str(path)):
                yield from self._items(path, photos, problems)

    def _items(self, path: Path, photos: _photos.Photos, problems: list[Problem]) -> Iterator[Item]:
        texts: set[tuple[str, str]] = set()  #: (label, attribute) of input type "text"
        frames: dict[_Frame, list[_Shape]] = defaultdict(list)
        tasks: dict[str, _Task] = {}
        split = _walk.split_by_name(path)
        for where, element in _xml.elements(path, *_LABELS, _TASK, "image", "track"):
            if where == "image":
                name = element.get("name", "")
                with Spot(problems, str(path), f"image {name!r}"):
                    shapes = [_shape(child, texts) for child in element if child.tag != "tag"]
                    tags = [child.get("label", "") for child in element if child.tag == "tag"]
                    payload = _Payload(_size(element), shapes, tags)
                    subset = element.get("subset", "").strip()
                    photo = photos.find(name, *_folders(path.parent, subset))
                    of_subset = _walk.split_by_word(subset)
                    yield photos.item(photo, path, msgspec.json.encode(payload), of_subset or split)
            elif where == "track":
                subset, task = (element.get(key, "").strip() for key in ("subset", "task_id"))
                tasks[task] = replace(tasks.get(task, _Task()), subset=subset)
                for child in element:
                    frame = child.get("frame", "")
                    is_outside = child.get("outside", "").lower() in ("1", "true")
                    if is_outside or child.tag in ("attribute", "track"):
                        continue
                    with Spot(problems, str(path), f"track {element.get('id', '')}"):
                        if not frame.isdecimal():
                            message = f"has a {child.tag} of frame {frame!r}, which is no number."
                            raise fault("bad-number", message, "Export it again.")
                        for key in ("label", "group_id"):
                            child.attrib.setdefault(key, element.get(key, ""))
                        frames[_Frame(subset, task, int(frame[:9]))].append(_shape(child, texts))
            elif where == _TASK:
                tasks[element.findtext("id", "").strip()] = _task(element)
            else:
                for attribute in element.iterfind("attributes/attribute"):
                    if attribute.findtext("input_type", "").strip() == "text":
                        texts.add((element.findtext("name", ""), attribute.findtext("name", "")))
        for frame in sorted(frames):
            with Spot(problems, str(path), f"frame {frame.number}"):
                photo = self._picture(photos, path, frame, _before(frame, tasks))
                of_subset = _walk.split_by_word(frame.subset)
                payload = msgspec.json.encode(_Payload(None, frames[frame]))
                yield photos.item(photo, path, payload, of_subset or split)

    def _picture(self, photos: _photos.Photos, path: Path, frame: _Frame, before: int) -> Path:
        """
        Args:
            before: how many earlier tasks of the subset have this frame, too: the first took the plain name.
        """
        name = f"frame_{frame.number:06d}" + (f"_{before}" if before else "")
        for ending in _PICTURES:
            try:
                return photos.find(
                    name + ending, *_folders(path.parent, frame.subset), path.parent / "images"
                )
            except DataError:
                continue
        message = f"has shapes, but there is no picture {name}.png of this frame."
        remedy = "Export the task with its images, or extract the video's frames under these names."
        raise fault("missing-image", message, remedy)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        shown = str(item.source)
        payload = _json.decode(item.content, _Payload, shown)
        annotation = item.annotation(payload.size, "applied")
        annotation.tags = tuple(tag for tag in payload.tags if tag)
        for index, shape in enumerate(payload.shapes):
            where = f"image {item.name!r}, {shape.kind} {index + 1}"
            with Spot(problems, shown, where) as place:
                annotation.regions.append(_region(shape, place))
        return annotation


def _is_cvat(path: Path) -> bool:
    return re.search(r"<annotations[\s/>]", _xml.head(path)) is not None


def _folders(beside: Path, subset: str) -> Iterator[Path]:
    """Where a photo may lie: a project's export has the folders of its subsets."""
    if subset and not re.search(r"[\\/:\0]|^\.+$", subset):
        yield from (beside / "images" / subset, beside / subset)
    yield beside


def _task(element: Element) -> _Task:
    frames = element.findtext("size", "").strip()
    subset = element.findtext("subset", "").strip() or "default"
    return _Task(subset, int(frames[:9]) if frames.isdecimal() else math.inf)


def _before(frame: _Frame, tasks: dict[str, _Task]) -> int:
    earlier = itertools.takewhile(lambda task: task != frame.task, tasks)
    return sum(tasks[t].subset == frame.subset and tasks[t].frames > frame.number for t in earlier)


def _size(image: Element) -> tuple[int, int] | None:
    try:
        size = float(image.get("width", "")), float(image.get("height", ""))
        whole = int(size[0]), int(size[1])
        return whole if min(size) > 0 and size == whole else None
    except (ValueError, OverflowError):
        return None


def _shape(element: Element, texts: set[tuple[str, str]]) -> _Shape:
    label = element.get("label", "")
    sentences = []
    for attribute in element.iterfind("attribute"):
        name, value = attribute.get("name", ""), (attribute.text or "").strip()
        wordy = (label, name) in texts or NAME_OF_SENTENCES.fullmatch(name)
        if wordy and re.search(r"[^\W\d]{2}", value):
            sentences += [line.strip() for line in value.splitlines() if line.strip()]
    return _Shape(element.tag, dict(element.attrib), sentences)


def _region(shape: _Shape, place: Spot) -> Region:
    label = shape.values.get("label", "").strip()
    part = _part(shape, place)
    group = shape.values.get("group_id", "")
    return Region(
        label,
        (part,),
        group=None if group in ("", "0") else group,
        z=_z_order(shape, place),
        sentences=tuple(map(Sentence, shape.sentences)),
        where=place.where,
    )


def _z_order(shape: _Shape, place: Spot) -> int:
    try:
        return round(_number(shape, "z_order", "0"))
    except DataError:
        text = shape.values["z_order"]
        place.tell("odd-field", f"has z_order {text!r}, which is no number: it is drawn in the file's order.")
        return 0


def _part(shape: _Shape, place: Spot) -> Polygon | Bitmap:
    if shape.kind == "polygon":
        return Polygon(_shapes.ring(_points(shape.values.get("points", ""))))
    if shape.kind == "box":
        left, top, right, bottom = (_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr"))
        upright = _shapes.rectangle(left, top, right, bottom)
        centre = (left + right) / 2, (top + bottom) / 2
        return Polygon(_shapes.turned(upright.outer, centre, _number(shape, "rotation", "0")))
    if shape.kind == "ellipse":
        cx, cy, rx, ry = (_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
        return _shapes.ellipse(cx, cy, rx, ry, _number(shape, "rotation", "0"))
    if shape.kind == "mask":
        left, top, width, height = (
            int(_number(shape, key, most=1e6)) for key in ("left", "top", "width", "height")
        )
        counts = [int(run) for run in re.findall(r"\d{1,9}", shape.values.get("rle", ""))]
        return _shapes.bitmap(_shapes.from_runs(counts, height, width, column_major=False), left, top)
    if shape.kind == "polyline":
        return _shapes.outline(_points(shape.values.get("points", "")), shape.kind, place)
    raise _shapes.no_area(shape.kind)


def _points(text: str) -> list[list[float]]:
    try:
        return [[float(number) for number in point.split(",")] for point in text.strip("; \n").split(";")]
    except ValueError:
        raise fault(
            "bad-points", f"has points that are no numbers: {text[:40]!r}.", "Export it again."
        ) from None


def _number(shape: _Shape, key: str, default: str = "", most: float = 1e9) -> float:
    text = shape.values.get(key, "").strip() or default
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) <= most:
        raise fault("bad-number", f"has {key} {text!r}, which is no usable number.", "Export it again.")
    return number


READER = Cvat()
