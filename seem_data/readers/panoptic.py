"""COCO panoptic: a JSON and a folder of PNGs whose colours are segment ids.

Format: https://cocodataset.org/#format-data, section 4; ``id = R + 256·G + 256²·B``, 0 is unlabelled. As an
input of ``--polys`` an existing panoptic dataset can be split, mapped and coloured anew; as ``--masks`` it is
the ground under polygons. Masks mean the photo as stored (panopticapi never looks at EXIF).

Read: every segment as one bitmap under its category's name, ``iscrowd``. The PNGs lie in a folder named like
the JSON, beside it, or anywhere below the input. Of a dataset that seem-data built, its splits and the
annotator's sentences are read, too; generated ones are made anew. A segment's ``sentences`` are read as those
of COCO instances (`--to coco` writes them). Reported: segments that are in the JSON or
in the PNG only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data.annotations import ImageAnnotation, Region, Sentence
from seem_data.layout import GROUNDING_JSON, IMAGES, read_grounding
from seem_data.problems import Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _paint, _photos, _walk
from seem_data.readers._json import Id, Said
from seem_data.readers._lenient import Needed


class _Segment(msgspec.Struct):
    id: int
    category_id: Id
    iscrowd: int | bool | None = 0
    sentences: Said = None  #: not COCO's but RefCOCO's; of our datasets from grounding.json


class _Row(msgspec.Struct):
    image_id: Id
    file_name: str
    segments_info: list[_Segment]


class _File(msgspec.Struct):
    annotations: list[msgspec.Raw]
    images: Annotated[list[msgspec.Raw], Needed] = []
    categories: Annotated[list[msgspec.Raw], Needed] = []


class _Payload(msgspec.Struct):
    names: list[tuple[Id, str]]
    segments: list[_Segment]


@dataclass(frozen=True)
class PanopticDocument:
    is_ground: bool = False  #: read for ``--masks``: drawn under everything, photos may lie elsewhere

    name = "panoptic"
    title = "COCO panoptic JSON and PNG"
    recognised_by = "JSON files with 'annotations' that have 'segments_info'"
    shapes = "segments of the PNGs, crowds; sentences of datasets that seem-data built"
    exif = "ignored"

    def recognises(self, path: Path) -> bool:
        return any(_is_panoptic(file) for file in _walk.first_files(path))

    def known_categories(self, source: Input) -> list[dict[str, object]]:
        return _json.categories_in(_walk.annotation_files(source, (".json",), [], _is_panoptic))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        for path in _walk.annotation_files(source, (".json",), problems, _is_panoptic):
            with Spot(problems, str(path)):
                yield from self._items(path, source, photos, problems)

    def _items(
        self, path: Path, source: Input, photos: _photos.Photos, problems: list[Problem]
    ) -> Iterator[Item]:
        file = _json.read(path, _File)
        shown = str(path)
        categories = _json.rows(file.categories, _json.CocoCategory, shown, "categories", problems)
        images = _json.rows(file.images, _json.CocoImage, shown, "images", problems)
        encoded = msgspec.json.encode(list(_json.names_by_id(categories).items()))
        names = b'{"names":' + encoded + b',"segments":'
        shared = _json.SharedIds(images)
        photo_names = {_json.plain_id(image.id): image.file_name for image in images}
        root = source.polys if source.polys.is_dir() else path.parent
        masks = _photos.Photos(Input(root, root))
        split = _walk.split_by_name(path)
        sentences = _sentences(path) if (own := _walk.of_dataset(path)) else {}
        for index, raw in enumerate(file.annotations):
            where = f"annotations[{index}]"
            with Spot(problems, shown, where):
                row = _json.decode(raw, _Row, shown, problems, where)
                image_id = _json.plain_id(row.image_id)
                shared.check(row.image_id)
                mask = masks.find_mask(row.file_name, path.with_suffix(""), path.parent)
                photo_name = photo_names.get(image_id)
                if own and photo_name:
                    photo = photos.find(photo_name, path.parent / IMAGES)
                    name = photo_name
                    for segment in row.segments_info:
                        segment.sentences = [*sentences.get((image_id, segment.id), ())]
                elif self.is_ground and source.images is None:
                    photo, name = None, _walk.plain_name(photo_name or row.file_name)
                elif photo_name:
                    photo = photos.find(photo_name, path.parent, but=mask)
                    name = photos.name_of(photo)
                elif photo_names:
                    message = f"is of image {row.image_id!r}, which 'images' does not list."
                    raise fault("unknown-image", message, "List the image or delete the annotation.")
                else:
                    photo = photos.find_like(mask, Path(row.file_name).with_suffix(""))
                    name = photos.name_of(photo)
                payload = (names, msgspec.json.encode(row.segments_info) + b"}")
                subset = path.parent.name if own else _walk.split_by_folder(name) or split
                yield Item(name, payload, photo, path, subset, files=(mask,))

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        payload = _json.decode(item.content, _Payload, str(item.source))
        mask = item.files[0]
        told = {segment.id for segment in payload.segments}
        ids = _ids(mask, told)
        height, width = ids.shape
        annotation = item.annotation((width, height), image=item.image or mask)
        names = dict(payload.names)
        there = {int(number) for number in np.unique(ids)} - {0}
        for segment in payload.segments:
            where = f"segment {segment.id}"
            with Spot(problems, str(mask), where):
                if segment.id not in there:
                    raise fault("lost-segment", "has no pixel in the PNG.", "Export it again.")
                label = _json.name_in(names, segment.category_id)
                there.discard(segment.id)
                annotation.regions.append(
                    Region(
                        label,
                        (_paint.cut(ids, segment.id),),
                        z=_paint.GROUND_Z if self.is_ground else 0,
                        iscrowd=bool(segment.iscrowd),
                        sentences=tuple(map(Sentence, _json.sentences_in(segment.sentences))),
                        where=where,
                    )
                )
        if lost := sorted(there - told):
            message = (
                f"has {len(lost)} segment(s) that the JSON does not list, first {lost[0]}; "
                "their pixels count as unlabelled."
            )
            remedy = "Export it again."
            problems.append(Problem("unknown-segment", message, remedy, str(mask), severity="warning"))
        return annotation


def _ids(mask: Path, listed: set[int]) -> NDArray[np.int32]:
    """The segment ids of a PNG, int32 [height, width]: of its colours; of a grey one the numbers, if they are
    16-bit or if they are those that the JSON lists."""
    numbers = _paint.read_numbers(mask)
    if numbers is not None and (numbers.dtype == np.int32 or listed & set(np.unique(numbers).tolist())):
        return numbers.astype(np.int32)
    codes = _paint.read_codes(mask)
    return (codes >> 16) | (codes & 0xFF00) | ((codes & 0xFF) << 16)


def _sentences(path: Path) -> dict[tuple[Id, int], list[str]]:
    """The annotator's sentences that lie beside a panoptic.json of ours, by image and segment id."""
    file = path.with_name(GROUNDING_JSON)
    return {
        (row.image_id, row.segment_id): own
        for row in (read_grounding(file) if file.is_file() else ())
        if (own := [sentence.raw for sentence in row.sentences if sentence.kind == "own"])
    }


def _is_panoptic(path: Path) -> bool:
    kind, _ = _json.outline(path)
    return kind == "{" and _json.contains(path, b'"segments_info"')


READER = PanopticDocument()
