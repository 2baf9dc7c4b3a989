"""COCO instances JSON: one file for many photos.

A segment without holes is a list of polygons, one with holes or a crowd compressed RLE, which is exact.
``score`` is COCO's own field of results; sentences stand in ``sentences`` as RefCOCO has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    document = _Document(categories, tolerance)
    for photo, segments in photos:
        document.add(photo, segments)
    return document.encode()


class _Document:
    def __init__(self, categories: Sequence[Category], tolerance: float) -> None:
        self._categories, self._tolerance = categories, tolerance
        self._ids = {category.name: category.id for category in categories}
        self._images: list[dict[str, object]] = []
        self._annotations: list[dict[str, object]] = []

    def add(self, photo: WrittenPhoto, segments: Sequence[MarkedSegment]) -> None:
        number, (width, height) = len(self._images) + 1, photo.size
        self._images.append({"id": number, "file_name": photo.name, "width": width, "height": height})
        for segment, parts in zip(segments, outlines(segments, photo.size, self._tolerance), strict=True):
            if not parts:
                continue
            window = segment.cropped()
            row: dict[str, object] = {
                "id": len(self._annotations) + 1,
                "image_id": number,
                "category_id": self._ids[segment.category],
                "segmentation": _segmentation(segment, parts, photo.size),
                "area": int(np.count_nonzero(segment.mask)),
                "bbox": [window.left, window.top, *reversed(window.mask.shape)],
                "iscrowd": int(segment.iscrowd),
            }
            if segment.score is not None:
                row["score"] = round(segment.score, 4)
            if segment.sentences:
                row["sentences"] = [{"raw": sentence} for sentence in segment.sentences]
            self._annotations.append(row)

    def encode(self) -> bytes:
        categories = [category.as_coco() for category in self._categories]
        document = {"images": self._images, "annotations": self._annotations, "categories": categories}
        return msgspec.json.encode(document) + b"\n"


def _segmentation(segment: MarkedSegment, parts: Sequence[Polygon], size: tuple[int, int]) -> object:
    if not segment.iscrowd and not any(part.holes for part in parts):
        return [part.outer.ravel().tolist() for part in parts]
    packed = coco_mask.encode(np.asfortranarray(segment.whole(size), np.uint8))
    counts = packed["counts"]
    assert isinstance(counts, bytes)  # compressed; text only after decoding
    return {"size": list(packed["size"]), "counts": counts.decode("ascii")}


class CocoWriter(FolderWriter):
    """``annotations.json``, and the photos in ``images/``, upright: COCO's tools never look at EXIF."""

    upright = True
    knows_crowds = True

    def start(self) -> None:
        self._document = _Document(self.categories, self.tolerance)

    def write(self, photo: WrittenPhoto, segments: Sequence[MarkedSegment], split: str) -> None:  # noqa: ARG002
        self._document.add(photo, segments)

    def close(self) -> None:
        self.write_file("annotations.json", self._document.encode())


WRITER = CocoWriter
