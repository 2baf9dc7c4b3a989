"""Predictions as a COCO panoptic result (``panoptic.json``, ``panoptic/*.png``), as panopticapi reads it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TypedDict

import cv2
import numpy as np

from seem_data.common.files import write_json
from seem_data.layout import Category, ImageRecord
from seem_train.files import make_folder, write_image
from seem_train.model.postprocess import PanopticSegment
from seem_train.output.draw import shade


class PhotoResult(TypedDict):
    width: int
    height: int
    file_name: str


class PanopticAnnotation(TypedDict):
    """The annotation of one image, and what is told of the image itself."""

    image_id: int
    file_name: str
    segments_info: list[dict[str, object]]
    image: PhotoResult


class PanopticFiles:
    """Writes one PNG an image as they come, and at the end the JSON that lists them.

    Args:
        folder: made if it is not there.
        categories: those of the dataset.
    """

    def __init__(self, folder: Path, categories: Sequence[Category]) -> None:
        self._folder = folder
        self._categories = categories
        make_folder(folder / "panoptic")

    def write(
        self, record: ImageRecord, id_map: np.ndarray, segments: Sequence[PanopticSegment]
    ) -> PanopticAnnotation:
        """One image.

        Args:
            id_map: [H, W], 1 … N for the N segments in their order.

        Returns:
            its annotation row for `finish`.
        """
        ids = self._ids(segments)
        values = np.array([0, *ids], np.int32)[id_map]
        path = self._folder / "panoptic" / record.panoptic_name
        coded = np.stack([values & 255, values >> 8 & 255, values >> 16], axis=-1).astype(np.uint8)
        write_image(path, coded)
        rows: list[dict[str, object]] = [
            {
                "id": id_,
                "category_id": self._categories[segment.category_index].id,
                "area": segment.area,
                "bbox": list(cv2.boundingRect((id_map == segment.id).astype(np.uint8))),
                "iscrowd": 0,
                "score": round(segment.score, 6),
            }
            for id_, segment in zip(ids, segments, strict=True)
        ]
        image: PhotoResult = {"width": record.width, "height": record.height, "file_name": record.file_name}
        return {
            "image_id": record.id,
            "file_name": record.panoptic_name,
            "segments_info": rows,
            "image": image,
        }

    def finish(self, rows: Sequence[PanopticAnnotation]) -> None:
        """Write panoptic.json from the rows of all images."""
        rows = sorted(rows, key=lambda row: row["image_id"])
        document = {
            "images": [{"id": row["image_id"], **row["image"]} for row in rows],
            "annotations": [
                {
                    "image_id": row["image_id"],
                    "file_name": row["file_name"],
                    "segments_info": row["segments_info"],
                }
                for row in rows
            ],
            "categories": [category.as_coco() for category in self._categories],
        }
        write_json(self._folder / "panoptic.json", document, indent=None)

    def _ids(self, segments: Sequence[PanopticSegment]) -> list[int]:
        """An id for each segment that, read as a colour, is a shade of its category's."""
        taken: set[int] = {0}
        ids = []
        for segment in segments:
            color = self._categories[segment.category_index].color
            shades = (_packed(shade(color, number)) for number in range(40))
            free = next((id_ for id_ in shades if id_ not in taken), None)
            ids.append(next(id_ for id_ in count(1) if id_ not in taken) if free is None else free)
            taken.add(ids[-1])
        return ids


def _packed(color: tuple[int, int, int]) -> int:
    return color[0] + 256 * color[1] + 256 * 256 * color[2]
