"""Label Studio JSON: one list of tasks, whose segments are predictions that people accept or correct.

A segment of one part without holes is a polygon, any other a brush mask, which is exact. Sentences, then the
score in brackets, are the region's text; ``score`` is Label Studio's own field. ``label_config.xml`` is the
labelling interface that the tasks need. Photos are named as local files: serve the folder with
``LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED`` and ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import quote
from xml.etree import ElementTree as xml

import msgspec
import numpy as np

from seem_data.annotations import Polygon
from seem_data.categories import Category
from seem_data.common.colors import as_hex
from seem_data.readers._brush import decode_brush as decode_brush
from seem_data.writers import TOLERANCE, MarkedSegment, WrittenPhoto
from seem_data.writers._brush import encode_brush
from seem_data.writers._folder import FolderWriter
from seem_data.writers.outlines import one_line, outlines

SHAPES = ("polygon", "brush")  #: how a segment may be told
_MODEL = "seem-tools"
_DECIMALS = 6  #: of percent: less than a hundredth of a pixel


class LabelStudioWriter(FolderWriter):
    """``tasks.json``, ``label_config.xml``, and the photos in ``images/``."""

    def start(self) -> None:
        self._tasks: list[dict[str, object]] = []

    def write(self, photo: WrittenPhoto, segments: Sequence[MarkedSegment], split: str) -> None:  # noqa: ARG002
        results = encode(photo, segments, self.tolerance)
        scores = [segment.score for segment in segments if segment.score is not None]
        prediction: dict[str, object] = {"model_version": _MODEL, "result": results}
        if scores:
            prediction["score"] = round(float(np.mean(scores)), 4)
        self._tasks.append(
            {
                "data": {"image": f"/data/local-files/?d={quote(f'{self.photos}/{photo.name}')}"},
                "annotations": [],
                "predictions": [prediction],
            }
        )

    def close(self) -> None:
        self.write_file("tasks.json", msgspec.json.encode(self._tasks) + b"\n")
        self.write_file("label_config.xml", label_config(self.categories))


def encode(
    photo: WrittenPhoto,
    segments: Sequence[MarkedSegment],
    tolerance: float = TOLERANCE,
    shapes: Collection[str] = SHAPES,
) -> list[dict[str, object]]:
    """The ``result`` of a prediction, for a task's file or a machine learning backend.

    Args:
        segments: later ones lie on top.
        tolerance: of polygons, in pixels; 0 follows every pixel.
        shapes: of `SHAPES`, those that the labelling interface has. Without brushes a polygon holds all
            parts of a segment, joined by bridges.
    """
    drawn = outlines(segments, photo.size, tolerance, joined="brush" not in shapes)
    return [
        _result(number, segment, parts, photo.size, shapes)
        for number, (segment, parts) in enumerate(zip(segments, drawn, strict=True), start=1)
        if parts
    ]


def label_config(categories: Sequence[Category]) -> bytes:
    """The labelling interface with polygons and brushes of the categories."""
    view = xml.Element("View")
    xml.SubElement(view, "Image", {"name": "image", "value": "$image", "zoom": "true"})
    for kind, name in (("PolygonLabels", "polygon"), ("BrushLabels", "brush")):
        labels = xml.SubElement(view, kind, {"name": name, "toName": "image"})
        for category in categories:
            xml.SubElement(labels, "Label", {"value": category.name, "background": as_hex(category.color)})
    xml.indent(view)
    return xml.tostring(view, "utf-8") + b"\n"


def _result(
    number: int,
    segment: MarkedSegment,
    parts: Sequence[Polygon],
    size: tuple[int, int],
    shapes: Collection[str],
) -> dict[str, object]:
    result: dict[str, object] = {
        "id": f"segment-{number}",
        "to_name": "image",
        "original_width": size[0],
        "original_height": size[1],
        "image_rotation": 0,
    }
    is_simple = len(parts) == 1 and not parts[0].holes
    if "brush" not in shapes or (is_simple and "polygon" in shapes):
        percent = (one_line(parts) * 100 / size).round(_DECIMALS).tolist()
        value = {"points": percent, "closed": True, "polygonlabels": [segment.category]}
        result |= {"from_name": "polygon", "type": "polygonlabels", "value": value}
    else:
        rle = encode_brush(segment.whole(size))
        value = {"format": "rle", "rle": rle, "brushlabels": [segment.category]}
        result |= {"from_name": "brush", "type": "brushlabels", "value": value}
    if segment.score is not None:
        result["score"] = round(segment.score, 4)
    if text := [*segment.sentences, *filter(None, [segment.remark])]:
        result["meta"] = {"text": text}
    return result


WRITER = LabelStudioWriter
