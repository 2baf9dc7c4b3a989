"""COCO instances JSON: one file for many photos.

A segment without holes is a list of polygons, one with holes or a crowd compressed RLE, which is exact.
``score`` is COCO's own field of results; sentences stand in ``sentences`` as RefCOCO has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from seem_data.annotations import Polygon
from seem_data.categories import Category
from seem_data.writers import TOLERANCE, MarkedSegment, WrittenPhoto
from seem_data.writers._folder import FolderWriter
from seem_data.writers.outlines import outlines


def encode(
    photos: Iterable[tuple[WrittenPhoto, Sequence[MarkedSegment]]],
    categories: Sequence[Category],
    tolerance: float = TOLERANCE,
) -> bytes:
    """The JSON file of photos and their segments.

    Args:
        categories: all that the segments have.
        tolerance: of polygons, in pixels; 0 follows every pixel.
    """
    ids = {category.name: category.id for category in categories}
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number, (photo, segments) in enumerate(photos, start=1):
        images.append(_image(number, photo))
        annotations += _rows(number, photo, segments, ids, tolerance)
    return _document(images, annotations, categories)


def _image(number: int, photo: WrittenPhoto) -> dict[str, object]:
    return {"id": number, "file_name": photo.name, "width": photo.size[0], "height": photo.size[1]}


def _rows(
    image_id: int,
    photo: WrittenPhoto,
    segments: Sequence[MarkedSegment],
    ids: Mapping[str, int],
    tolerance: float,
) -> list[dict[str, object]]:
    """Annotations without ``id``, which `_document` counts."""
    rows = []
    for segment, parts in zip(segments, outlines(segments, photo.size, tolerance), strict=True):
        if not parts:
            continue
        window = segment.cropped()
        row: dict[str, object] = {
            "image_id": image_id,
            "category_id": ids[segment.category],
            "segmentation": _segmentation(segment, parts, photo.size),
            "area": int(np.count_nonzero(segment.mask)),
            "bbox": [window.left, window.top, *reversed(window.mask.shape)],
            "iscrowd": int(segment.iscrowd),
        }
        if segment.score is not None:
            row["score"] = round(segment.score, 4)
        if segment.sentences:
            row["sentences"] = [{"raw": sentence} for sentence in segment.sentences]
        rows.append(row)
    return rows


def _segmentation(segment: MarkedSegment, parts: Sequence[Polygon], size: tuple[int, int]) -> object:
    if not segment.iscrowd and not any(part.holes for part in parts):
        return [part.outer.ravel().tolist() for part in parts]
    packed = coco_mask.encode(np.asfortranarray(segment.whole(size), np.uint8))
    counts = packed["counts"]
    assert isinstance(counts, bytes)  # compressed; text only after decoding
    return {"size": list(packed["size"]), "counts": counts.decode("ascii")}


def _document(
    images: Sequence[dict[str, object]],
    annotations: Sequence[dict[str, object]],
    categories: Sequence[Category],
) -> bytes:
    document = {
        "images": images,
        "annotations": [{"id": number, **row} for number, row in enumerate(annotations, start=1)],
        "categories": [category.as_coco() for category in categories],
    }
    return msgspec.json.encode(document) + b"\n"


class CocoWriter(FolderWriter):
    """``annotations.json``, and the photos in ``images/``, upright: COCO's tools never look at EXIF."""

    upright = True
    knows_crowds = True

    def start(self) -> None:
        self._ids = {category.name: category.id for category in self.categories}
        self._images: list[dict[str, object]] = []
        self._annotations: list[dict[str, object]] = []

    def write(self, photo: WrittenPhoto, segments: Sequence[MarkedSegment], split: str) -> None:  # noqa: ARG002
        number = len(self._images) + 1
        self._images.append(_image(number, photo))
        self._annotations += _rows(number, photo, segments, self._ids, self.tolerance)

    def close(self) -> None:
        self.write_file("annotations.json", _document(self._images, self._annotations, self.categories))


WRITER = CocoWriter
