"""LabelMe JSON: one file a photo, beside it.

A part is a polygon; a segment of several parts is a group. A hole is cut out by a bridge, since LabelMe's
polygons know none. Sentences, then the score in brackets, stand in ``description``; ``score`` holds the
number itself, which LabelMe keeps. A crowd has the flag ``crowd``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import msgspec

from seem_data.annotations import Polygon
from seem_data.writers import TOLERANCE, MarkedSegment, WrittenPhoto
from seem_data.writers._folder import FolderWriter
from seem_data.writers.outlines import one_line, outlines

#: LabelMe warns of files whose major version is another than its own.
_VERSION = "5.5.0"


def encode(photo: WrittenPhoto, segments: Sequence[MarkedSegment], tolerance: float = TOLERANCE) -> bytes:
    """The JSON file of a photo, to be put beside it under its name with ``.json`` for the ending.

    Args:
        segments: later ones lie on top.
        tolerance: of polygons, in pixels; 0 follows every pixel.
    """
    document = {
        "version": _VERSION,
        "flags": {},
        "shapes": list(_shapes(segments, outlines(segments, photo.size, tolerance))),
        "imagePath": photo.name.rsplit("/", 1)[-1],
        "imageData": None,
        "imageHeight": photo.size[1],
        "imageWidth": photo.size[0],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _shapes(
    segments: Sequence[MarkedSegment], drawn: Sequence[Sequence[Polygon]]
) -> Iterator[dict[str, object]]:
    groups = 0
    for segment, parts in zip(segments, drawn, strict=True):
        groups += len(parts) > 1
        for part in parts:
            shape: dict[str, object] = {
                "label": segment.category,
                "points": one_line([part]).tolist(),
                "group_id": groups if len(parts) > 1 else None,
                "description": "\n".join(filter(None, (*segment.sentences, segment.remark))),
                "shape_type": "polygon",
                "flags": {"crowd": True} if segment.iscrowd else {},
                "mask": None,
            }
            if segment.score is not None:
                shape["score"] = round(segment.score, 4)
            yield shape


class LabelMeWriter(FolderWriter):
    """``NAME.jpg`` and ``NAME.json`` in one folder, of a split in a folder of its own."""

    photos = ""
    knows_crowds = True

    def write(self, photo: WrittenPhoto, segments: Sequence[MarkedSegment], split: str) -> None:  # noqa: ARG002
        name = PurePosixPath(photo.name).with_suffix("").as_posix() + ".json"
        self.write_file(name, encode(photo, segments, self.tolerance))


WRITER = LabelMeWriter
