"""What exports share: photos and PNGs put in place, the split's own JSON files rewritten."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data.categories import Categories
from seem_data.files import copy, link_or_copy, make_folder, write_atomically
from seem_data.layout import (
    CATEGORIES_JSON,
    INSTANCES_JSON,
    Dataset,
    ImageRecord,
    Split,
    png,
    read_json,
    semantic_ignore,
)
from seem_data.problems import DataError, fault

#: What somebody said of segments, by the ids of image and segment.
Sentences = dict[tuple[int, int], tuple[str, ...]]


@dataclass(frozen=True)
class PlacingJob:
    """One export.

    Attributes:
        out: the folder to fill.
        link: put hard links in place of copies where the file system can.
        tolerance: of polygons, in pixels; 0 follows every pixel.
        done: to be called after each image.
    """

    dataset: Dataset
    out: Path
    link: bool = False
    tolerance: float = 0.0
    done: Callable[[], None] = lambda: None

    @cached_property
    def categories(self) -> Categories:
        """The dataset's categories, things first and among themselves by id: detectron2 numbers things from
        0, and its evaluators name them in the order of their ids."""
        things = [category for category in self.dataset.categories if category.isthing]
        stuff = [category for category in self.dataset.categories if not category.isthing]
        return Categories([*sorted(things, key=lambda category: category.id), *stuff])

    def write_json(self, name: str, content: object) -> None:
        """JSON whose rows may be `msgspec.Raw`: they are copied, not read."""
        path = self.out / name
        make_folder(path.parent)
        write_atomically(path, msgspec.json.encode(content))

    def write_categories(self) -> None:
        """In ASCII: modules that are written beside them read them on any machine."""
        rows = json.dumps(self.categories.as_coco(), separators=(",", ":"))
        write_atomically(self.out / CATEGORIES_JSON, rows.encode())

    def write_annotations(self, split: Split, panoptic: str, instances: str) -> None:
        """A split's panoptic and instances file, photos as `jpg_name`."""
        rows = raw_rows(split, INSTANCES_JSON)
        self.write_json(panoptic, panoptic_rows(split, self.categories, jpg_name))
        self.write_json(instances, instance_rows(split, rows, self.categories, jpg_name))

    def place(self, source: Path, target: Path) -> None:
        """
        Raises:
            DataError: the source cannot be read, or the target not be written.
        """
        try:
            (link_or_copy if self.link else copy)(source, target)
        except OSError as error:
            raise unreadable(source, error.strerror or str(error)) from None


def unreadable(path: Path, reason: str) -> DataError:
    remedy = "Run seem-data validate on the dataset first."
    return fault("unreadable", f"cannot be read ({reason}).", remedy, str(path))


def jpg_name(image: ImageRecord) -> str:
    """What detectron2's loaders and the original's open: they derive a photo's name from its panoptic
    PNG's. What kind of file it is they tell by its content, so that photos of any kind get this name."""
    return Path(image.panoptic_name).with_suffix(".jpg").name


def place_images(job: PlacingJob, split: Split, photos: Path, panoptic: Path, semantic: Path) -> None:
    """Photos as .jpg and both PNGs, under one stem an image; semantic ones numbered as `job.categories`."""
    for folder in (photos, panoptic, semantic):
        make_folder(folder)
    table = _renumbering(job.dataset.categories, job.categories)
    for image in split.images:
        job.place(split.image_path(image), photos / jpg_name(image))
        png_name = Path(image.panoptic_name).name
        job.place(split.panoptic_path(image), panoptic / png_name)
        if table is None:
            job.place(split.semantic_path(image), semantic / png_name)
        else:
            write_atomically(
                semantic / png_name, _renumbered(split.semantic_path(image), table), synced=False
            )
        job.done()


def _renumbering(old: Categories, new: Categories) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
    """The new value for each value of a semantic PNG, void included; None where nothing changes."""
    if old == new:
        return None
    void = semantic_ignore(len(old))
    table = np.full(void + 1, void, np.min_scalar_type(void))
    table[: len(old)] = [new.index_of[category.id] for category in old]
    return table


def _renumbered(path: Path, table: np.ndarray) -> bytes:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from None
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 2 or pixels.dtype != table.dtype:
        raise unreadable(path, f"no grey PNG of {8 * table.itemsize} bits")
    return png.encode(table[np.asarray(pixels, table.dtype)])


def image_rows(images: Sequence[ImageRecord], name: Callable[[ImageRecord], str]) -> list[dict[str, object]]:
    return [
        {"id": image.id, "file_name": name(image), "width": image.width, "height": image.height}
        for image in images
    ]


def panoptic_rows(
    split: Split,
    categories: Categories,
    name: Callable[[ImageRecord], str],
    said: Sentences | None = None,
) -> dict[str, object]:
    """A COCO panoptic file; segments that somebody described have ``sentences`` where `said` holds them."""
    return {
        "images": image_rows(split.images, name),
        "annotations": [
            {
                "image_id": image.id,
                "file_name": Path(image.panoptic_name).name,
                "segments_info": _described(image, said) if said else image.segments,
            }
            for image in split.images
        ],
        "categories": categories.as_coco(),
    }


def _described(image: ImageRecord, said: Sentences) -> list[object]:
    return [
        {**msgspec.to_builtins(segment), "sentences": as_rows(words)}
        if (words := said.get((image.id, segment.id)))
        else segment
        for segment in image.segments
    ]


def own_sentences(split: Split) -> Sentences:
    """What somebody wrote; sentences made by us are made anew where they are wanted."""
    return {
        (grounded.image_id, grounded.segment_id): said
        for grounded in split.grounding()
        if (said := tuple(s.raw for s in grounded.sentences if s.kind == "own"))
    }


def as_rows(sentences: Sequence[str]) -> list[dict[str, str]]:
    """As RefCOCO has them."""
    return [{"raw": sentence} for sentence in sentences]


class _Rows(msgspec.Struct):
    annotations: list[msgspec.Raw]


def raw_rows(split: Split, name: str) -> list[msgspec.Raw]:
    """The annotations of one of the split's own JSON files, as they stand there."""
    rows: _Rows = read_json(split.root / name, _Rows)
    return rows.annotations


def instance_rows(
    split: Split, rows: Sequence[object], categories: Categories, name: Callable[[ImageRecord], str]
) -> dict[str, object]:
    """A COCO instances file: its categories are the things, and no others, or COCO's evaluation counts stuff
    among the things that were never found."""
    return {
        "images": image_rows(split.images, name),
        "annotations": rows,
        "categories": [category.as_coco() for category in categories if category.isthing],
    }
