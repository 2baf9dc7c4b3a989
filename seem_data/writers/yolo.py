"""YOLO segmentation: one text file a photo, a line a segment, in fractions of the photo's size.

A line is one polygon; holes and further parts are joined to it by bridges, as ultralytics does. Numbers of
categories are their places in ``data.yaml``. There is no room for scores, sentences and crowds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import yaml

from seem_data.categories import Category
from seem_data.writers import TOLERANCE, MarkedSegment, WrittenPhoto
from seem_data.writers._folder import FolderWriter
from seem_data.writers.outlines import one_line, outlines

#: Decimals of fractions: a hundredth of a pixel in photos of 10,000.
_DECIMALS = 6


def encode(
    photo: WrittenPhoto,
    segments: Sequence[MarkedSegment],
    categories: Sequence[Category],
    tolerance: float = TOLERANCE,
) -> bytes:
    """The text file of a photo, to be put at its name with ``.txt`` for the ending, in ``labels/`` for
    ``images/``.

    Args:
        categories: in the order of ``data.yaml``.
        tolerance: of polygons, in pixels; 0 follows every pixel.
    """
    index_of = {category.name: index for index, category in enumerate(categories)}
    lines = []
    for segment, parts in zip(segments, outlines(segments, photo.size, tolerance, joined=True), strict=True):
        if parts:
            fractions = (one_line(parts) / photo.size).ravel().tolist()
            numbers = [f"{fraction:.{_DECIMALS}f}" for fraction in fractions]
            lines.append(" ".join([str(index_of[segment.category]), *numbers]))
    return "".join(f"{line}\n" for line in lines).encode()


class YoloWriter(FolderWriter):
    """``data.yaml``, ``images/`` and ``labels/``, of a split in a folder of its own in both."""

    def start(self) -> None:
        self._splits: dict[str, None] = {}

    def write(self, photo: WrittenPhoto, segments: Sequence[MarkedSegment], split: str) -> None:
        self._splits[split] = None
        name = PurePosixPath("labels", photo.name).with_suffix("").as_posix() + ".txt"
        self.write_file(name, encode(photo, segments, self.categories, self.tolerance))

    def close(self) -> None:
        places = {split or "train": f"{self.photos}/{split}".rstrip("/") for split in self._splits}
        config = {**places, "names": dict(enumerate(category.name for category in self.categories))}
        self.write_file("data.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode())


WRITER = YoloWriter
