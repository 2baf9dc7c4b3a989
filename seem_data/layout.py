"""THE CONTRACT: where each file of a dataset lies and what is in it. Nothing else knows paths.

::

    dataset/
      dataset.json              name, layout version, options, counts, a fingerprint per split
      categories.json           [{id, name, supercategory, isthing, color}]
      train/  val/  test/       each split is complete in itself
        images/                 the photos, upright
        panoptic/*.png          id = R + 256·G + 256²·B, 0 = void (COCO panoptic)
        panoptic.json           COCO panoptic: images, annotations[segments_info], categories
        semantic/*.png          contiguous category index in the order of categories.json, 255 (65535) = void
        grounding.json          sentences for segments, with polygons (see `GroundedSegment`)
        instances.json          COCO instances of the things (RLE)

`seem_train` imports this module and nothing else of `seem_data`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data import categories as colour_map
from seem_data.annotations import Sentence
from seem_data.categories import Categories
from seem_data.problems import DataError, Problem

VERSION = 1
DATASET_JSON = "dataset.json"
CATEGORIES_JSON = "categories.json"
PANOPTIC_JSON = "panoptic.json"
GROUNDING_JSON = "grounding.json"
INSTANCES_JSON = "instances.json"
IMAGES = "images"
PANOPTIC = "panoptic"
SEMANTIC = "semantic"
SPLITS = ("train", "val", "test")

#: The value of pixels without a category in the semantic PNG, by its bit depth.
IGNORE_8BIT = 255
IGNORE_16BIT = 65535


def semantic_ignore(category_count: int) -> int:
    """The semantic PNG is 8 bit up to 255 categories (0…254 and 255 for void), 16 bit above."""
    return IGNORE_8BIT if category_count <= IGNORE_8BIT else IGNORE_16BIT


class Segment(msgspec.Struct, frozen=True):
    """One segment of a panoptic PNG: its id is the value of its pixels."""

    id: int
    category_id: int
    area: int
    bbox: tuple[int, int, int, int]  #: x, y, width, height in whole pixels
    iscrowd: int = 0


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image of a split and its segments; sizes in pixels."""

    id: int
    file_name: str
    width: int
    height: int
    panoptic_name: str  #: file name of both PNGs, panoptic and semantic
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class GroundedSegment:
    """The sentences of one segment of one image."""

    image_id: int
    segment_id: int
    category_id: int
    sentences: tuple[Sentence, ...]


# The files as they stand on disk. Fields that we do not read are left out here and survive unread.


class _ImageRow(msgspec.Struct):
    id: int
    file_name: str
    width: int
    height: int


class _PanopticRow(msgspec.Struct):
    image_id: int
    file_name: str
    segments_info: list[Segment]


class _PanopticFile(msgspec.Struct):
    images: list[_ImageRow]
    annotations: list[_PanopticRow]
    categories: list[dict[str, Any]]


class _SentenceRow(msgspec.Struct):
    raw: str
    kind: str = "own"


class _GroundingRow(msgspec.Struct):
    image_id: int
    segment_id: int
    category_id: int
    sentences: list[_SentenceRow]


class _GroundingFile(msgspec.Struct):
    annotations: list[_GroundingRow]


def read_json(path: Path, type: Any) -> Any:
    """Decode a JSON file into a msgspec type.

    Raises:
        DataError: the file is missing, is not JSON or has a wrong field; the message shows the field's path.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=type)
    except FileNotFoundError:
        problem = Problem(
            "missing-file", "is missing.", "Build the dataset again with seem-data build.", str(path)
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = Problem("bad-json", f"is not as the layout says: {error}.", "Build it again.", str(path))
    except OSError as error:
        problem = Problem(
            "unreadable", f"cannot be read ({error.strerror}).", "Check its permissions.", str(path)
        )
    raise DataError(problem)


class Split:
    """One split on disk. Rows are read once, on first use; pixels only when asked for."""

    def __init__(self, root: Path, categories: Categories) -> None:
        self.root = root
        self.name = root.name
        self.categories = categories
        self._images: list[ImageRecord] | None = None

    @property
    def images(self) -> list[ImageRecord]:
        """The images in the order of panoptic.json.

        Raises:
            DataError: panoptic.json is missing or malformed, or an annotation names an unknown image.
        """
        if self._images is None:
            file: _PanopticFile = read_json(self.root / PANOPTIC_JSON, _PanopticFile)
            rows = {row.image_id: row for row in file.annotations}
            lost = [image.file_name for image in file.images if image.id not in rows]
            if lost:
                raise DataError(
                    Problem(
                        "image-without-annotation",
                        f"has no annotation for {len(lost)} image(s), first {lost[0]}.",
                        "Build the dataset again, or run seem-data validate --fix.",
                        str(self.root / PANOPTIC_JSON),
                    )
                )
            self._images = [
                ImageRecord(
                    image.id,
                    image.file_name,
                    image.width,
                    image.height,
                    rows[image.id].file_name,
                    tuple(rows[image.id].segments_info),
                )
                for image in file.images
            ]
        return self._images

    def __len__(self) -> int:
        return len(self.images)

    def image_path(self, image: ImageRecord) -> Path:
        return self.root / IMAGES / image.file_name

    def panoptic_path(self, image: ImageRecord) -> Path:
        return self.root / PANOPTIC / image.panoptic_name

    def semantic_path(self, image: ImageRecord) -> Path:
        return self.root / SEMANTIC / image.panoptic_name

    def id_map(self, image: ImageRecord) -> NDArray[np.int32]:
        """The panoptic PNG as segment ids, int32 [height, width], 0 = void.

        Raises:
            DataError: the PNG is missing or cannot be decoded.
        """
        from seem_data.panoptic import read_id_map

        return read_id_map(self.panoptic_path(image))

    @property
    def has_grounding(self) -> bool:
        return (self.root / GROUNDING_JSON).is_file()

    def grounding(self) -> Iterator[GroundedSegment]:
        """The grounded segments in file order; nothing where the split has no grounding.json."""
        if not self.has_grounding:
            return
        file: _GroundingFile = read_json(self.root / GROUNDING_JSON, _GroundingFile)
        for row in file.annotations:
            sentences = tuple(Sentence(sentence.raw, sentence.kind) for sentence in row.sentences)
            yield GroundedSegment(row.image_id, row.segment_id, row.category_id, sentences)


class Dataset:
    """A dataset folder: its categories and its splits."""

    def __init__(self, root: Path | str) -> None:
        """
        Raises:
            DataError: the folder is no dataset; the message shows the expected tree.
        """
        self.root = Path(root)
        if not (self.root / CATEGORIES_JSON).is_file():
            raise DataError(
                Problem(
                    "no-dataset",
                    f"is no dataset: there is no {CATEGORIES_JSON} in it.",
                    "Make one with: seem-data build --colors cats.json --polys annotations/ --out "
                    f"{self.root}",
                    str(self.root),
                )
            )
        self.categories = colour_map.load(self.root / CATEGORIES_JSON)

    @property
    def split_names(self) -> list[str]:
        """The splits that are there: train, val, test first, then any others by name."""
        names = {path.parent.name for path in self.root.glob(f"*/{PANOPTIC_JSON}")}
        return [name for name in SPLITS if name in names] + sorted(names - set(SPLITS))

    def split(self, name: str) -> Split:
        """
        Raises:
            DataError: there is no such split; the message lists those there are.
        """
        if name not in self.split_names:
            there = ", ".join(self.split_names) or "none"
            raise DataError(
                Problem("no-split", f"has no split {name!r}; there are: {there}.", "", str(self.root))
            )
        return Split(self.root / name, self.categories)

    def info(self) -> dict[str, Any]:
        """What dataset.json says: options, counts, fingerprints."""
        return read_json(self.root / DATASET_JSON, dict[str, Any])
