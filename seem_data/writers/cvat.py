"""CVAT XML 1.1 for images: one file for many photos, to be uploaded to a task of photos of the same names.

A part without holes is a polygon, and the parts of a segment are one group; a segment with holes is a mask.
``z_order`` keeps which segment lies on top. Score and sentences are the attributes ``score`` and
``description``; CVAT drops those that a task's labels do not have, so ``labels.json`` holds labels that have
them (for the constructor's "Raw"), as the file's own head does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as xml

import msgspec
import numpy as np

from seem_data.annotations import Polygon
from seem_data.common.colors import as_hex
from seem_data.writers import MarkedSegment, WrittenPhoto
from seem_data.writers._folder import FolderWriter
from seem_data.writers.outlines import outlines

_ATTRIBUTES = ("score", "description")
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  #: characters that XML has not
_HEAD = 2  #: elements before the images: version and labels


class CvatWriter(FolderWriter):
    """``annotations.xml``, ``labels.json``, and the photos in ``images/``."""

    def start(self) -> None:
        self._root = xml.Element("annotations")
        xml.SubElement(self._root, "version").text = "1.1"
        labels = xml.SubElement(xml.SubElement(xml.SubElement(self._root, "meta"), "task"), "labels")
        for category in self.categories:
            label = xml.SubElement(labels, "label")
            xml.SubElement(label, "name").text = category.name
            xml.SubElement(label, "color").text = as_hex(category.color)
            attributes = xml.SubElement(label, "attributes")
            for name in _ATTRIBUTES:
                attribute = xml.SubElement(attributes, "attribute")
                xml.SubElement(attribute, "name").text = name
                xml.SubElement(attribute, "input_type").text = "text"

    def write(self, photo: WrittenPhoto, segments: Sequence[MarkedSegment], split: str) -> None:
        values = {
            "id": str(len(self._root) - _HEAD),
            "name": photo.name,
            **({"subset": split} if split else {}),
            "width": str(photo.size[0]),
            "height": str(photo.size[1]),
        }
        image = xml.SubElement(self._root, "image", values)
        groups = 0
        for z, (segment, parts) in enumerate(
            zip(segments, outlines(segments, photo.size, self.tolerance), strict=True)
        ):
            if not parts:
                continue
            with_holes = any(part.holes for part in parts)
            groups += len(parts) > 1 and not with_holes
            common = {"label": segment.category, "source": "auto", "occluded": "0", "z_order": str(z)}
            if with_holes:
                _add(image, "mask", {**common, **_mask(segment)}, segment)
            else:
                group = {"group_id": str(groups)} if len(parts) > 1 else {}
                for part in parts:
                    _add(image, "polygon", {**common, "points": _points(part), **group}, segment)

    def close(self) -> None:
        xml.indent(self._root)
        self.write_file("annotations.xml", xml.tostring(self._root, "utf-8", xml_declaration=True) + b"\n")
        text = {"mutable": True, "input_type": "text", "default_value": "", "values": [""]}
        attributes = [{"name": name, **text} for name in _ATTRIBUTES]
        labels = [
            {
                "name": category.name,
                "color": as_hex(category.color),
                "type": "any",
                "attributes": attributes,
            }
            for category in self.categories
        ]
        self.write_file("labels.json", msgspec.json.format(msgspec.json.encode(labels), indent=2) + b"\n")


def _add(image: xml.Element, kind: str, values: dict[str, str], segment: MarkedSegment) -> None:
    shape = xml.SubElement(image, kind, values)
    attributes = {
        "score": "" if segment.score is None else f"{segment.score:.4f}",
        "description": _NO_XML.sub(" ", "\n".join(segment.sentences)),
    }
    for name, value in attributes.items():
        if value:
            xml.SubElement(shape, "attribute", {"name": name}).text = value


def _points(part: Polygon) -> str:
    return ";".join(f"{x:.2f},{y:.2f}" for x, y in part.outer.tolist())


def _mask(segment: MarkedSegment) -> dict[str, str]:
    """The run lengths of a mask row by row in its own box, zeros first."""
    window = segment.cropped()
    changes = np.flatnonzero(np.diff(window.mask.ravel(), prepend=False))
    runs = np.diff(changes, prepend=0, append=window.mask.size)
    height, width = window.mask.shape
    return {
        "rle": ", ".join(map(str, runs.tolist())),
        "left": str(window.left),
        "top": str(window.top),
        "width": str(width),
        "height": str(height),
    }


WRITER = CvatWriter
