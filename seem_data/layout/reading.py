"""A dataset on disk, read: its categories, its splits, their rows and pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data.categories import Categories
from seem_data.categories import load as load_categories
from seem_data.common.files import sha256_file
from seem_data.files import read_regular
from seem_data.layout.pixels import read_id_map
from seem_data.layout.rows import (
    CATEGORIES_JSON,
    DATASET_JSON,
    FOLDERS,
    GROUNDING_JSON,
    IMAGES,
    PANOPTIC,
    PANOPTIC_JSON,
    ROW_FILES,
    SEMANTIC,
    GroundedSegment,
    ImageRecord,
    PanopticFile,
    check_name,
    in_order,
)
from seem_data.problems import DataError, fault

T = TypeVar("T")


class _GroundedSegments(msgspec.Struct):
    """The part of grounding.json that training reads."""

    annotations: list[GroundedSegment]


def read_json(path: Path, type: type[T]) -> T:
    """Decode a JSON file into a msgspec type.

    Raises:
        DataError: the file is missing, is not JSON or has a wrong field; the message shows the field's path.
    """
    try:
        return msgspec.json.decode(read_regular(path), type=type)
    except FileNotFoundError:
        code, message, remedy = "missing-file", "is missing.", "Build the dataset again with seem-data build."
    except RecursionError:
        code, message, remedy = "bad-json", "nests far too deeply.", "Build it again."
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        code, message, remedy = "bad-json", f"is not as the layout says: {error}.", "Build it again."
    except OSError as error:
        code, message, remedy = "unreadable", f"cannot be read ({error.strerror}).", "Check its permissions."
    raise fault(code, message, remedy, str(path))


def read_grounding(path: Path) -> list[GroundedSegment]:
    """The grounded segments of a grounding.json in file order.

    Raises:
        DataError: it is missing or malformed.
    """
    return read_json(path, _GroundedSegments).annotations


class Split:
    """One split on disk. Rows are read once, on first use; pixels only when asked for."""

    def __init__(self, root: Path, categories: Categories) -> None:
        self.root = root
        self.name = root.name
        self.categories = categories

    @cached_property
    def images(self) -> list[ImageRecord]:
        """The images in the order of panoptic.json.

        Raises:
            DataError: panoptic.json is missing or malformed, an image has no annotation, a segment has a
                category that is not there, or a name leads out of its folder.
        """
        path = self.root / PANOPTIC_JSON
        file = read_json(path, PanopticFile)
        rows = {row.image_id: row for row in file.annotations}
        if lost := [image.file_name for image in file.images if image.id not in rows]:
            message = f"has no annotation for {len(lost)} image(s), first {lost[0]}."
            remedy = "Build the dataset again, or run seem-data validate --fix."
            raise fault("image-without-annotation", message, remedy, str(path))
        for image in file.images:
            check_name(image.file_name, path)
            check_name(rows[image.id].file_name, path)
        self._check_categories({s.category_id for row in file.annotations for s in row.segments_info}, path)
        return [
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

    def _check_categories(self, used: set[int], path: Path) -> None:
        if strange := sorted(used - self.categories.by_id.keys()):
            message = f"has segments of category {strange[0]}, which {CATEGORIES_JSON} does not list."
            remedy = "Build the dataset again, or run seem-data validate."
            raise fault("unknown-category", message, remedy, str(path))

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
        return read_id_map(self.panoptic_path(image))

    @property
    def has_grounding(self) -> bool:
        return (self.root / GROUNDING_JSON).is_file()

    def grounding(self) -> Iterator[GroundedSegment]:
        """The grounded segments in file order; nothing where the split has no grounding.json."""
        if not self.has_grounding:
            return
        grounded = read_grounding(self.root / GROUNDING_JSON)
        self._check_categories({row.category_id for row in grounded}, self.root / GROUNDING_JSON)
        yield from grounded

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
            message = f"cannot be read ({error.strerror})."
            raise fault("unreadable", message, "", str(error.filename)) from None
        return fingerprint.hexdigest()


class Dataset:
    """A dataset folder: its categories and its splits.

    Example:
        >>> import seem_data
        >>> dataset = seem_data.Dataset("dataset")
        >>> dataset.split_names
        ['train', 'val']
        >>> image = dataset.split("val").images[0]
        >>> dataset.split("val").id_map(image).shape == (image.height, image.width)
        True
    """

    def __init__(self, root: Path | str) -> None:
        """
        Raises:
            DataError: the folder is no dataset; the message shows the expected tree.
        """
        self.root = Path(root)
        if not os.path.isfile(self.root / CATEGORIES_JSON):  # noqa: PTH113  (false for impossible names)
            message = f"is no dataset: there is no {CATEGORIES_JSON} in it."
            remedy = (
                f"Make one with: seem-data build --colors cats.json --polys annotations/ --out {self.root}"
            )
            raise fault("no-dataset", message, remedy, str(self.root))
        self.categories = load_categories(self.root / CATEGORIES_JSON)

    @property
    def split_names(self) -> list[str]:
        """The splits that are there: train, val, test first, then any others by name."""
        return in_order({path.parent.name for path in self.root.glob(f"*/{PANOPTIC_JSON}")})

    def split(self, name: str) -> Split:
        """
        Raises:
            DataError: there is no such split; the message lists those there are.
        """
        if name not in self.split_names:
            there = ", ".join(self.split_names) or "none"
            raise fault("no-split", f"has no split {name!r}; there are: {there}.", "", str(self.root))
        return Split(self.root / name, self.categories)

    def info(self) -> dict[str, object]:
        """What dataset.json says: options, counts, fingerprints."""
        return read_json(self.root / DATASET_JSON, dict[str, object])

    def fingerprint_told(self, split: str) -> str | None:
        """The fingerprint that dataset.json gives for a split; None where it gives none."""
        try:
            splits = self.info().get("splits")
        except DataError:
            return None
        counts = splits.get(split) if isinstance(splits, dict) else None
        told = counts.get("fingerprint") if isinstance(counts, dict) else None
        return told if isinstance(told, str) else None


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
