"""COCO instances JSON: one file for many photos.

Format: https://cocodataset.org/#format-data. Coordinates are pixels of the photo as stored (pycocotools
never looks at EXIF), the origin is its outer corner.

Read: segmentations as polygons, as compressed and as uncompressed RLE (pycocotools', column-major);
``iscrowd``; ``sentences`` (RefCOCO's: texts, or objects with ``raw`` or ``sent``) and ``caption``. Polygons
of one annotation are united: COCO has no holes but in RLE; a part of fewer than three points costs the part
only. Order: that of the file, later on top. A folder is
read for its ``instances*.json`` if it has such, otherwise for all its COCO files with annotations. The split
is the word train, val or test in the photo's folder or the file's name. Reported and left out: annotations
without segmentation (boxes, keypoints, captions), of unknown image or category.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import msgspec

from seem_data.annotations import ImageAnnotation, Region, Sentence
from seem_data.problems import Problem, Spot, fault
from seem_data.readers import Input, Item, _json, _photos, _walk
from seem_data.readers._json import Id, Number, Said
from seem_data.readers._lenient import Needed
from seem_data.readers._segmentation import RunLengthRow, parts_of


class _Image(_json.CocoImage):
    width: int | None = None
    height: int | None = None


class _File(msgspec.Struct):
    images: Annotated[list[msgspec.Raw], Needed]
    annotations: Annotated[list[msgspec.Raw], Needed] = []
    categories: Annotated[list[msgspec.Raw], Needed] = []


class _Head(msgspec.Struct):
    image_id: Id


class _Annotation(msgspec.Struct):
    category_id: Id
    id: Id | None = None
    segmentation: Annotated[list[list[object] | Number] | RunLengthRow | None, Needed] = None
    iscrowd: int | bool | None = 0
    sentences: Said = None
    caption: Said = None


class _Payload(msgspec.Struct):
    """One photo's part of the file, as it travels to a worker."""

    image: _Image
    names: list[tuple[Id, str]]
    annotations: list[msgspec.Raw]


class Coco:
    name = "coco"
    title = "COCO instances JSON"
    recognised_by = "JSON files with 'images' and 'annotations', and no 'segments_info'"
    shapes = (
        "polygons, compressed and uncompressed RLE, crowds; annotations without segmentation are left out"
    )
    exif = "ignored"

    def recognises(self, path: Path) -> bool:
        return any(_is_coco(file) and not _walk.of_dataset(file) for file in _walk.first_files(path))

    def known_categories(self, source: Input) -> list[dict[str, object]]:
        return _json.categories_in(_chosen(source, []))

    def scan(self, source: Input, problems: list[Problem]) -> Iterator[Item]:
        photos = _photos.Photos(source)
        chosen = _chosen(source, problems)
        for path in chosen:
            with Spot(problems, str(path)):
                file = _json.read(path, _File)
                if file.annotations or len(chosen) < 2:
                    yield from self._items(file, path, photos, problems)

    def _items(
        self, file: _File, path: Path, photos: _photos.Photos, problems: list[Problem]
    ) -> Iterator[Item]:
        shown = str(path)
        images = _json.rows(file.images, _Image, shown, "images", problems)
        known = {_json.plain_id(image.id) for image in images}
        of_image: dict[Id, list[msgspec.Raw]] = defaultdict(list)
        for index, raw in enumerate(file.annotations):
            with Spot(problems, shown, f"annotations[{index}]"):
                image_id = _json.plain_id(_json.decode(raw, _Head, shown).image_id)
                if image_id not in known:
                    message = f"is of image {image_id!r}, which 'images' does not list."
                    raise fault("unknown-image", message, "List the image or delete the annotation.")
                of_image[image_id].append(raw)
        categories = _json.rows(file.categories, _json.CocoCategory, shown, "categories", problems)
        names = list(_json.names_by_id(categories).items())
        all_names = b',"names":' + msgspec.json.encode(names) + b',"annotations":'
        shared = _json.SharedIds(images)
        split = _walk.split_by_name(path)
        for image in images:
            with Spot(problems, shown, f"image {image.id}"):
                shared.check(image.id)
                photo = photos.find(image.file_name, path.parent)
                name = photos.name_of(photo)
                own = of_image.pop(_json.plain_id(image.id), [])
                head, rows = b'{"image":' + msgspec.json.encode(image), msgspec.json.encode(own) + b"}"
                yield Item(name, (head, all_names, rows), photo, path, _walk.split_by_folder(name) or split)

    def load(self, item: Item, problems: list[Problem]) -> ImageAnnotation:
        shown = str(item.source)
        payload = _json.decode(item.content, _Payload, shown)
        names = dict(payload.names)
        width, height = payload.image.width, payload.image.height
        size = (width, height) if width and height else None
        annotation = item.annotation(size)
        for index, raw in enumerate(payload.annotations):
            where = f"image {payload.image.id}, annotation {index + 1}"
            with Spot(problems, shown, where):
                row = _json.decode(raw, _Annotation, shown, problems, where)
                where = f"annotation {row.id if row.id is not None else index + 1}"
                with Spot(problems, shown, where) as place:
                    annotation.regions.append(_region(row, names, size, place))
        return annotation


def _chosen(source: Input, problems: list[Problem]) -> list[Path]:
    """The files to read: the one given, or a folder's instances*.json, or all its COCO files."""
    files = _walk.annotation_files(source, (".json",), problems, _is_coco)
    return [path for path in files if path.name.lower().startswith("instances")] or files


def _is_coco(path: Path) -> bool:
    """Other tools have 'annotations' or 'images', too; COCO's images have a file name, and no segments."""
    kind, keys = _json.outline(path)
    others = keys & {"shapes", "imagePath", "_via_settings", "_via_img_metadata", "items", "label_classes"}
    if kind != "{" or others or not keys & {"images", "annotations"}:
        return False
    return (
        _json.contains(path, b'"images"')
        and _json.contains(path, b'"file_name"')
        and not _json.contains(path, b'"segments_info"')
    )


def _region(row: _Annotation, names: dict[Id, str], size: tuple[int, int] | None, place: Spot) -> Region:
    label = _json.name_in(names, row.category_id)
    parts = parts_of(row.segmentation, size, place)
    said = chain(_json.sentences_in(row.sentences), _json.sentences_in(row.caption))
    sentences = tuple(map(Sentence, said))
    return Region(label, parts, iscrowd=bool(row.iscrowd), sentences=sentences, where=place.where)


READER = Coco()
