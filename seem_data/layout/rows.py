"""What stands in the files of a dataset: names of files and folders, and the rows of the JSON files.

Nothing else in the project spells a path or a file name of a dataset.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from seem_data.annotations import Sentence
from seem_data.problems import fault

Row = TypeVar("Row")

VERSION = 1
DATASET_JSON = "dataset.json"
CATEGORIES_JSON = "categories.json"
PANOPTIC_JSON = "panoptic.json"
GROUNDING_JSON = "grounding.json"
INSTANCES_JSON = "instances.json"
PROBLEMS_JSON = "problems.json"  # what the last build left out or warned of; absent where all was well
IMAGES = "images"
PANOPTIC = "panoptic"
SEMANTIC = "semantic"
#: The working memory of builds in a dataset's folder, and the file in it that tells what is done.
FOLDER = ".build"
JOURNAL = "journal.jsonl"
#: The folders of a split; every image has one file in each.
FOLDERS = (IMAGES, PANOPTIC, SEMANTIC)
#: The JSON files of a split.
ROW_FILES = (PANOPTIC_JSON, INSTANCES_JSON, GROUNDING_JSON)
SPLITS = ("train", "val", "test")
#: Segment ids are 24 bits: the three channels of the panoptic PNG.
LARGEST_SEGMENT_ID = 2**24 - 1

#: Kinds of sentences that single one segment of the image out, and all kinds.
REFERRING_KINDS = ("position", "size", "color", "relation")
SENTENCE_KINDS = ("own", "name", *REFERRING_KINDS)

#: The value of pixels without a category in the semantic PNG, by its bit depth.
IGNORE_8BIT = 255
IGNORE_16BIT = 65535


def in_order(splits: Set[str]) -> list[str]:
    """train, val, test first, then any others by name."""
    return [name for name in SPLITS if name in splits] + sorted(splits - set(SPLITS))


def is_file_name(name: str) -> bool:
    """Whether what a file of a dataset calls a file is a name on every system, and no path that may lead
    elsewhere. Every such name is asked before it is used, whoever reads the file and whoever wrote it."""
    is_name = name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}
    return is_name and name[1:2] != ":" and len(name.encode("utf-8", "replace")) <= 255


def check_name(name: str, file: Path) -> None:
    """
    Args:
        name: of a file, as the dataset's `file` gives it.

    Raises:
        DataError: it is none, see `is_file_name`.
    """
    if not is_file_name(name):
        message = f"names the file {name!r}, which is not a name within its folder."
        remedy = "Do not use this dataset unless you know where it comes from; build it again."
        raise fault("unsafe-path", message, remedy, str(file))


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


class ImageRow(msgspec.Struct):
    """A row of `images` in all three JSON files of a split."""

    id: int
    file_name: str
    width: int
    height: int


class PanopticRow(msgspec.Struct):
    """A row of `annotations` in panoptic.json."""

    image_id: int
    file_name: str
    segments_info: list[Segment]


class InstanceRow(msgspec.Struct):
    """A row of `annotations` in instances.json. `segmentation` is COCO's compressed RLE."""

    id: int
    image_id: int
    segment_id: int
    category_id: int
    segmentation: dict[str, object]
    area: float
    bbox: tuple[float, float, float, float]
    iscrowd: int


class GroundingRow(msgspec.Struct):
    """A row of `annotations` in grounding.json. `segmentation` holds disjoint polygons [x, y, x, y, …]."""

    id: int
    image_id: int
    segment_id: int
    category_id: int
    segmentation: list[list[float]]
    area: float
    bbox: tuple[float, float, float, float]
    sentences: list[Sentence]
    iscrowd: int = 0


class RowFile(msgspec.Struct, Generic[Row]):
    """A JSON file of a split."""

    images: list[ImageRow]
    annotations: list[Row]
    categories: list[dict[str, object]]


PanopticFile = RowFile[PanopticRow]
InstancesFile = RowFile[InstanceRow]
GroundingFile = RowFile[GroundingRow]


@dataclass(slots=True)
class Counts:
    """How much a split holds, as dataset.json tells it."""

    images: int = 0
    segments: int = 0
    instances: int = 0
    grounded_segments: int = 0
    sentences: int = 0
    fingerprint: str = ""
