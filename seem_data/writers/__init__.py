"""Masks out, as files that annotation tools open: the mirror of `readers`. One format a file.

Each format is a module of two things: `encode`, which makes a file's bytes, and `WRITER`, which fills a
folder photo by photo and is what `open_writer` gives. What is written is read back by the reader of the same
name (see `outlines` for how exactly).
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from seem_data.categories import Category
from seem_data.common.wording import did_you_mean
from seem_data.problems import fault

if TYPE_CHECKING:
    from seem_data.writers._folder import FolderWriter

#: How far, in pixels, a side of a polygon may lie from the mask's edge unless told otherwise.
TOLERANCE = 1.0


@dataclass(frozen=True, slots=True)
class WrittenPhoto:
    """
    Attributes:
        name: with extension; a path relative to the photos' folder, with forward slashes.
        size: (width, height) in pixels, upright.
        content: the photo's file, or its bytes, to be put beside what is written; None if it lies elsewhere.
    """

    name: str
    size: tuple[int, int]
    content: Path | bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class MarkedSegment:
    """A segment on its way to an annotation tool.

    Attributes:
        category: its name.
        mask: [h, w] bool, the whole photo or a window of it; one without a pixel is not written.
        left, top: where the window's first pixel lies in the photo.
        score: how sure a model was, 0 to 1; None for what people drew.
        sentences: words that mean this segment; the readers give them back.
        prompt: what it was asked for with, to be shown beside the score: ``"point 310,240"``.
        iscrowd: a crowd of objects that nobody separated. LabelMe and COCO can say so; the other formats
            leave crowds out.
    """

    category: str
    mask: NDArray[np.bool_]
    left: int = 0
    top: int = 0
    score: float | None = None
    sentences: tuple[str, ...] = ()
    prompt: str = ""
    iscrowd: bool = False

    @property
    def remark(self) -> str:
        """Score and prompt as one line that the readers know not to be a sentence; "" without a score."""
        if self.score is None:
            return ""
        return f"[score {self.score:.2f}{', ' if self.prompt else ''}{self.prompt}]"

    def whole(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """[h, w] the mask in the whole photo, of that (width, height)."""
        whole = np.zeros((size[1], size[0]), bool)
        height, width = self.mask.shape
        whole[self.top : self.top + height, self.left : self.left + width] = self.mask
        return whole

    def cropped(self) -> MarkedSegment:
        """The same with the smallest window, which is light to keep; without a pixel, one of no size."""
        import cv2

        x, y, width, height = cv2.boundingRect(self.mask.astype(np.uint8))
        window = self.mask[y : y + height, x : x + width].copy()
        return replace(self, mask=window, left=self.left + x, top=self.top + y)


FORMATS = ("labelme", "coco", "labelstudio", "cvat", "yolo")


def open_writer(
    name: str,
    folder: Path,
    categories: Sequence[Category],
    tolerance: float = TOLERANCE,
    *,
    link: bool = False,
) -> FolderWriter:
    """A writer of a format; the folder is made on first use.

    Args:
        name: one of `FORMATS`.
        categories: all that segments may have.
        tolerance: of polygons, in pixels; 0 follows every pixel.
        link: put hard links to the photos in place of copies where the file system can.

    Raises:
        DataError: there is no such format.
    """
    if name not in FORMATS:
        remedy = did_you_mean(name, FORMATS) or f"Use {', '.join(FORMATS)}."
        raise fault("bad-option", f"is {name!r}.", remedy, where="--as")
    return importlib.import_module(f"seem_data.writers.{name}").WRITER(
        folder, categories, tolerance, link=link
    )
