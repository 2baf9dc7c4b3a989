"""Predictions as a COCO panoptic result (``panoptic.json``, ``panoptic/*.png``), as panopticapi reads it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, count
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from seem_data.common.files import write_json
from seem_data.layout import Category, ImageRecord
from seem_train.files import make_folder, write_image
from seem_train.model.postprocess import PanopticSegment
from seem_train.output.draw import shade

#: An image's id, its row of `images` and its row of `annotations`.
PanopticRows: TypeAlias = tuple[int, dict[str, object], dict[str, object]]


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
    ) -> PanopticRows:
        """One image.

        Args:
            id_map: [H, W], 1 … N for the N segments in their order.

        Returns:
            its rows for `finish`.
        """
        ids = self._ids(segments)
        values = np.array([0, *ids], np.int32)[id_map]
        path = self._folder / "panoptic" / record.panoptic_name
        coded = np.stack([values & 255, values >> 8 & 255, values >> 16], axis=-1).astype(np.uint8)
        write_image(path, coded)
        found = [
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
        size = {"width": record.width, "height": record.height}
        return (
            record.id,
            {"id": record.id, **size, "file_name": record.file_name},
            {"image_id": record.id, "file_name": record.panoptic_name, "segments_info": found},
        )

    def finish(self, rows: Sequence[PanopticRows]) -> None:
        """Write panoptic.json from the rows of all images."""
        rows = sorted(rows, key=itemgetter(0))
        document = {
            "images": [image for _, image, _ in rows],
            "annotations": [annotation for _, _, annotation in rows],
            "categories": [category.as_coco() for category in self._categories],
        }
        write_json(self._folder / "panoptic.json", document, indent=None)

    def _ids(self, segments: Sequence[PanopticSegment]) -> list[int]:
        """An id for each segment that, read as a colour, is a shade of its category's."""
        taken: set[int] = {0}
        ids = []
        for segment in segments:
            color = self._categories[segment.category_index].color
            shades = (shade(color, number) for number in range(40))
            wanted = chain((red + 256 * green + 256**2 * blue for red, green, blue in shades), count(1))
            ids.append(next(id_ for id_ in wanted if id_ not in taken))
            taken.add(ids[-1])
        return ids
