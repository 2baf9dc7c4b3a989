"""Segment Anything's dataset (SA-1B): one JSON a photo, masks without categories.

Format: https://segment-anything.com/dataset. Masks are of the photo as stored (no EXIF).

Read: each annotation's run lengths (or polygons), in the order of the file, later on top. There are no
labels: name the category of all of them with ``--unknown``; masks that lie in others are seen with
``--overlap small-on-top``. Reported: annotations without segmentation.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from seem_data.annotations import ImageAnnotation, Region
from seem_data.problems import Problem, Spot
from seem_data.readers import Input, Item, _json, _photos, _walk
from seem_data.readers._json import Id, Number
from seem_data.readers._lenient import Needed
from seem_data.readers._segmentation import RunLengthRow, parts_of


class _Image(msgspec.Struct):
    file_name: str
    width: int | None = None
    height: int | None = None


class _Head(msgspec.Struct):
    image: _Image


class _File(msgspec.Struct):
    image: _Image
    annotations: list[msgspec.Raw] | None


class _Annotation(msgspec.Struct):
    id: Id | None = None
    segmentation: Annotated[list[list[object] | Number] | RunLengthRow | None, Needed] = None


class Sa1b:
    name = "sa1b"
    title = "Segment Anything JSON (SA-1B)"
    recognised_by = "JSON files with 'image' and 'annotations' that have a 'segmentation'"
    shapes = "masks without label: --unknown names their category"
    exif = "ignored"

    def recognises(self, path: Path) -> bool:
        return any(map(_fits, _walk.first_files(path)))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _json.files_of(source, _fits, problems):
            with Spot(problems, str(path)):
                yield photos.item(photos.find(_json.read(path, _Head, []).image.file_name, path.parent), path)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        file = _json.read(item.file, _File, problems)
        size = (file.image.width, file.image.height) if file.image.width and file.image.height else None

        def region(row: _Annotation, place: Spot) -> Region:
            return Region("", parts_of(row.segmentation, size, place), where=place.where)

        annotation = item.annotation(size)
        annotation.regions += _json.made_of(
            file.annotations, _Annotation, region, item.source, "annotations", problems
        )
        return annotation


def _fits(path: Path) -> bool:
    kind, keys = _json.outline(path)
    of_sa1b = kind == "{" and {"image", "annotations"} <= keys and "images" not in keys
    return of_sa1b and _json.contains(path, b'"file_name"') and _json.contains(path, b'"segmentation"')


READER = Sa1b()
