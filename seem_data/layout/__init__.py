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

`seem_train` imports this module and `seem_data.writers`, and nothing else of `seem_data`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data import categories as colour_map
from seem_data.annotations import Sentence
from seem_data.categories import Categories
from seem_data.files import atomic_file, make_folder, sha256_file, write_atomically
from seem_data.problems import DataError, Problem

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
    segmentation: dict[str, Any]
    area: float
    bbox: tuple[float, float, float, float]
    iscrowd: int


class SentenceRow(msgspec.Struct):
    raw: str
    kind: str = "own"


class GroundingRow(msgspec.Struct):
    """A row of `annotations` in grounding.json. `segmentation` holds disjoint polygons [x, y, x, y, …]."""

    id: int
    image_id: int
    segment_id: int
    category_id: int
    segmentation: list[list[float]]
    area: float
    bbox: tuple[float, float, float, float]
    sentences: list[SentenceRow]
    iscrowd: int = 0


class PanopticFile(msgspec.Struct):
    images: list[ImageRow]
    annotations: list[PanopticRow]
    categories: list[dict[str, Any]]


class InstancesFile(msgspec.Struct):
    images: list[ImageRow]
    annotations: list[InstanceRow]
    categories: list[dict[str, Any]]


class GroundingFile(msgspec.Struct):
    images: list[ImageRow]
    annotations: list[GroundingRow]
    categories: list[dict[str, Any]]


class _GroundingRow(msgspec.Struct):
    """The part of a grounding row that training reads."""

    image_id: int
    segment_id: int
    category_id: int
    sentences: list[SentenceRow]


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


def check_name(name: str, file: Path) -> None:
    """A name that a dataset's file gives, before it is joined to a folder: whoever made the dataset, it leads
    to nothing outside.

    Raises:
        DataError: it is empty or absolute, climbs out of its folder, or is no name to some system.
    """
    parts = name.replace("\\", "/").split("/")
    if not {"", ".", ".."} & set(parts) and not re.match(r"[A-Za-z]:", name) and "\0" not in name:
        return
    message = f"names the file {name!r}, which is not a name within its folder."
    remedy = "Do not use this dataset unless you know where it comes from; build it again."
    raise DataError(Problem("unsafe-path", message, remedy, str(file)))


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
            DataError: panoptic.json is missing or malformed, an image has no annotation, or a name leads out
                of its folder.
        """
        if self._images is None:
            file: PanopticFile = read_json(self.root / PANOPTIC_JSON, PanopticFile)
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
            for image in file.images:
                for name in (image.file_name, rows[image.id].file_name):
                    check_name(name, self.root / PANOPTIC_JSON)
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

    def files_of(self, image: ImageRecord) -> tuple[Path, Path, Path]:
        """Photo, panoptic PNG and semantic PNG."""
        return self.image_path(image), self.panoptic_path(image), self.semantic_path(image)

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
        from seem_data.encoding.panoptic import read_id_map

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

    def fingerprint(self) -> str:
        """The fingerprint of the split as it lies on disk; reads every file of it.

        Raises:
            DataError: a file is missing or cannot be read.
        """
        fingerprint = Fingerprint()
        try:
            for image in self.images:
                photo, panoptic, semantic = (sha256_file(path) for path in self.files_of(image))
                fingerprint.add_files(image.file_name, image.panoptic_name, (photo, panoptic, semantic))
            for name in ROW_FILES:
                fingerprint.add(name, sha256_file(self.root / name))
        except OSError as error:
            raise DataError(
                Problem("unreadable", f"cannot be read ({error.strerror}).", "", str(error.filename))
            ) from None
        return fingerprint.hexdigest()


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


class Fingerprint:
    """SHA-256 over name and SHA-256 of every file of a split: its images in order, then its JSON files."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, name: str, sha256: str) -> None:
        self._digest.update(f"{name} {sha256}\n".encode())

    def add_files(self, photo: str, png: str, sha256: tuple[str, str, str]) -> None:
        """The files of an image: names of photo and PNGs, and the SHA-256 of each in the order of FOLDERS."""
        for folder, name, digest in zip(FOLDERS, (photo, png, png), sha256, strict=True):
            self.add(f"{folder}/{name}", digest)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


@dataclass(slots=True)
class Counts:
    """How much a split holds, as dataset.json tells it."""

    images: int = 0
    segments: int = 0
    instances: int = 0
    grounded_segments: int = 0
    sentences: int = 0
    fingerprint: str = ""


class SplitWriter:
    """Writes the three JSON files of a split row by row. They appear when the ``with`` block ends well.

    Rows of instances and groundings are written as they come (see `encode_rows`), after ``id`` (counted from
    1 in each file) and ``image_id``.
    """

    def __init__(self, root: Path, categories: Categories) -> None:
        self.counts = Counts()
        self._root = make_folder(root)
        self._categories = msgspec.json.encode(categories.as_coco())
        self._fingerprint = Fingerprint()
        self._image_rows = bytearray()
        self._open_files = ExitStack()

    def __enter__(self) -> SplitWriter:
        with ExitStack() as stack:
            self._panoptic, self._instances, self._grounding = (
                _RowFile(stack.enter_context(atomic_file(self._root / name))) for name in ROW_FILES
            )
            self._open_files = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            for name, file in zip(ROW_FILES, (self._panoptic, self._instances, self._grounding), strict=True):
                self._fingerprint.add(name, file.finish(self._image_rows, self._categories))
            self.counts.fingerprint = self._fingerprint.hexdigest()
        self._open_files.__exit__(*error)

    def add(
        self,
        image: ImageRecord,
        instances: Iterable[msgspec.Raw],
        grounding: Iterable[msgspec.Raw],
        sentence_count: int,
        sha256: tuple[str, str, str],
    ) -> None:
        """The rows of one image.

        Args:
            instances: COCO instance rows without `id` and `image_id`.
            grounding: grounding rows without `id` and `image_id`.
            sentence_count: of all grounding rows together.
            sha256: of the photo, the panoptic and the semantic PNG.
        """
        counts = self.counts
        row = ImageRow(image.id, image.file_name, image.width, image.height)
        self._image_rows += (b",\n" if self._image_rows else b"") + msgspec.json.encode(row)
        panoptic = PanopticRow(image.id, image.panoptic_name, list(image.segments))
        self._panoptic.add(msgspec.json.encode(panoptic))
        for instance in instances:
            counts.instances += 1
            self._instances.add(_with_ids(instance, counts.instances, image.id))
        for segment in grounding:
            counts.grounded_segments += 1
            self._grounding.add(_with_ids(segment, counts.grounded_segments, image.id))
        counts.sentences += sentence_count
        counts.images += 1
        counts.segments += len(image.segments)
        self._fingerprint.add_files(image.file_name, image.panoptic_name, sha256)


def encode_rows(rows: Iterable[Mapping[str, Any]]) -> list[msgspec.Raw]:
    """Rows, none of them empty, as JSON: they are copied from then on, and not read and written again."""
    return [msgspec.Raw(msgspec.json.encode(row)) for row in rows]


def _with_ids(row: msgspec.Raw, number: int, image_id: int) -> bytes:
    return b'{"id":%d,"image_id":%d,' % (number, image_id) + memoryview(row)[1:]


class _RowFile:
    """A COCO-like JSON file, one row a line: annotations as they come, then images and categories."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._separator = b"\n"
        self._write(b'{"annotations":[')

    def add(self, row: bytes) -> None:
        self._write(self._separator + row)
        self._separator = b",\n"

    def finish(self, images: bytes | bytearray, categories: bytes) -> str:
        """Returns: the SHA-256 of the file."""
        self._write(b'\n],\n"images":[\n')
        self._write(images)
        self._write(b'\n],\n"categories":')
        self._write(categories)
        self._write(b"}\n")
        return self._digest.hexdigest()

    def _write(self, data: bytes | bytearray) -> None:
        self._file.write(data)
        self._digest.update(data)


def write_categories(root: Path, categories: Categories) -> None:
    rows = b",\n".join(msgspec.json.encode(row) for row in categories.as_coco())
    write_atomically(root / CATEGORIES_JSON, b"[\n" + rows + b"\n]\n")


def write_info(root: Path, name: str, options: Mapping[str, Any], splits: Mapping[str, Any]) -> None:
    """Write dataset.json; `splits` holds `Counts`. Two builds of the same input give the same bytes."""
    from seem_data import __version__

    info = {
        "name": name,
        "layout": VERSION,
        "built_with": f"seem-tools {__version__}",
        "options": dict(options),
        "splits": dict(splits),
    }
    write_atomically(root / DATASET_JSON, msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n")
