"""The neutral record every reader yields: one image and the regions somebody marked on it.

Coordinates are (x, y) pixels of the image *as its annotation tool showed it* (see `ImageAnnotation.exif`),
x to the right and y down; (0, 0) is the outer corner of the top-left pixel, so pixel (c, r) covers
[c, c+1] × [r, r+1], as in COCO.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

#: Label of a region nobody should be trained or scored on; it becomes 0 in panoptic, 255 in semantic PNGs.
VOID = "__ignore__"
#: Label of the ground nobody labelled, as LabelMe and ISAT draw it: what lies below gets a hole.
UNLABELED = "_background_"

Exif = Literal["applied", "ignored"]
Ring = NDArray[np.float64]  #: [N, 2] closed polygon line, the last point joined to the first


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """One part of a region: an outer ring and the rings cut out of it, filled by the even-odd rule."""

    outer: Ring
    holes: tuple[Ring, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Bitmap:
    """One part of a region as pixels: a boolean window [h, w] whose top-left pixel is (left, top)."""

    mask: NDArray[np.bool_]
    left: int = 0
    top: int = 0


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words that mean one segment. `kind`: ``own`` (an annotator's), ``name``, ``position``, ``size``,
    ``color``, ``relation`` (generated)."""

    raw: str
    kind: str = "own"


#: Attributes that hold sentences, in formats where an annotator names attributes.
NAME_OF_SENTENCES = re.compile(r"(description|caption|sentence|phrase|text)s?", re.IGNORECASE)
#: A line of a description that tells how sure a model was: no sentence. `MarkedSegment.remark` writes it.
_REMARK = re.compile(r"\[score [01]\.\d.*\]")


def sentences_of(lines: Iterable[str]) -> tuple[Sentence, ...]:
    """What an annotator wrote about a region, each line once, without those that are a model's remarks."""
    stripped = dict.fromkeys(line.strip() for line in lines)
    return tuple(Sentence(line) for line in stripped if line and not _REMARK.fullmatch(line))


@dataclass(frozen=True, slots=True)
class Region:
    """What an annotator marked in one go, under one label.

    Attributes:
        label: the category name as written in the file, or `VOID` / `UNLABELED`.
        parts: its polygons and bitmaps; their union is the region.
        group: regions of one image with equal label and equal group are parts of one object
            (None: an object of its own). Stuff regions are merged by category in any case.
        z: drawing order before list order; higher is drawn later, on top.
        iscrowd: a crowd of objects that nobody separated (COCO).
        sentences: the annotator's own words for it.
        where: where it stands in its file, e.g. ``"shapes[3]"``; used in problems.
    """

    label: str
    parts: tuple[Polygon | Bitmap, ...]
    group: str | int | None = None
    z: int = 0
    iscrowd: bool = False
    sentences: tuple[Sentence, ...] = ()
    where: str = ""


def spellings(image: str) -> tuple[str, str, str, str]:
    """How a user may call an image: by its path, by its file name, or by either without its ending."""
    path = PurePosixPath(image)
    return image, str(path.with_suffix("")), path.name, path.stem


@dataclass(slots=True)
class ImageAnnotation:
    """One image and its regions, in drawing order (later on top, unless `Region.z` says otherwise).

    Attributes:
        image: the photo's path, or its bytes where the annotation file embeds it.
        name: unique name of the image within the input: its path relative to the images folder, with
            forward slashes and extension, e.g. ``"kitchen/001.jpg"``.
        source: the annotation file, for problems.
        size: (width, height) the annotation file claims, if it does.
        exif: ``"applied"`` if the tool showed the image turned upright by its EXIF orientation and the
            coordinates mean that view, ``"ignored"`` if they mean the pixels as stored.
        split: the split the input assigns (sub-folder, image list, attribute), or None.
        tags: words about the whole image.
    """

    image: Path | bytes
    name: str
    source: Path
    size: tuple[int, int] | None = None
    regions: list[Region] = field(default_factory=list)
    exif: Exif = "ignored"
    split: str | None = None
    tags: tuple[str, ...] = ()
