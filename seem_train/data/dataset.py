"""The dataset layout ─▶ samples: an image, its segments as one id map, and what is said about them.

Reads through `seem_data.layout` alone. Works without ``grounding.json`` and without stuff.
"""

from __future__ import annotations

import io
import shlex
import stat
import threading
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from seem_data.layout import Dataset, ImageRecord, Sentence, Split
from seem_train.errors import UserError, told_by_data
from seem_train.ranges import MAX_PIXELS, too_many_pixels

_SHOWN = 12  #: problems listed one by one
_THREAD = threading.local()
_REDUCED = {
    8: cv2.IMREAD_REDUCED_COLOR_8,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    1: cv2.IMREAD_COLOR,
}


@dataclass(frozen=True)
class SampleSegment:
    """One segment of a sample. The n-th segment of a sample has the value n + 1 in its id map."""

    id: int  #: in the panoptic PNG
    category: int  #: index into the categories of the dataset
    iscrowd: bool = False


@dataclass(frozen=True)
class Phrase:
    """What is said about one segment."""

    segment: int  #: index into the sample's segments
    sentences: tuple[Sentence, ...]  #: alternatives, each with its kind; at least one


@dataclass(frozen=True)
class Sample:
    """One image with everything known about it."""

    image: Tensor  #: [3, H, W] uint8 RGB
    id_map: Tensor  #: [H, W] int32; 0 where nobody labelled, n + 1 for segment n
    segments: tuple[SampleSegment, ...]
    phrases: tuple[Phrase, ...]
    file: str  #: the photo, for messages

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The image as OpenCV and people have it, [H, W, 3] RGB."""
        return np.ascontiguousarray(self.image.permute(1, 2, 0).numpy())


class SegmentationSet:
    """One split of a dataset, checked: `len` images, each read on demand as a `Sample`.

    Checking reads the JSON files and looks for the pixel files without opening them. Raises UserError with
    all problems in one list, photos of more than `max_pixels` among them.
    """

    def __init__(self, root: Path | str, split: str, max_pixels: int = MAX_PIXELS) -> None:
        with told_by_data():
            dataset = Dataset(root)
            self.split: Split = dataset.split(split)
            self.categories = dataset.categories
            self.images: list[ImageRecord] = self.split.images
            grounded = list(self.split.grounding())
        self._index = {category.id: place for place, category in enumerate(self.categories)}
        self._sentences: dict[tuple[int, int], list[Sentence]] = {}
        for row in grounded:
            self._sentences.setdefault((row.image_id, row.segment_id), []).extend(row.sentences)
        self.max_pixels = max_pixels
        self._check()

    def __len__(self) -> int:
        return len(self.images)

    @property
    def folder(self) -> Path:
        """Of the dataset."""
        return self.split.root.parent

    @property
    def names(self) -> list[str]:
        """Names of all categories, in their order; also of those that no image shows."""
        return [category.name for category in self.categories]

    @property
    def things(self) -> list[bool]:
        return [category.isthing for category in self.categories]

    def segments_of_categories(self) -> Counter[int]:
        """How many segments (crowds left out) each category has, by its index."""
        return Counter(
            self._index[s.category_id] for image in self.images for s in image.segments if not s.iscrowd
        )

    def absent(self) -> list[str]:
        """Names of categories without a segment in this split."""
        present = self.segments_of_categories()
        return [name for place, name in enumerate(self.names) if not present[place]]

    def repeat_factors(self, threshold: float) -> NDArray[np.float64]:
        """How often each image should be seen an epoch so that rare categories are not starved, ≥ 1: [N].

        An image counts as its rarest category, max(1, √(threshold / share of images that show it)) (LVIS,
        arXiv:1908.03195, appendix).
        """
        shown = [{self._index[s.category_id] for s in image.segments} for image in self.images]
        images_with = Counter(category for categories in shown for category in categories)
        factor = {c: max(1.0, (threshold * len(shown) / n) ** 0.5) for c, n in images_with.items()}
        return np.array([max((factor[c] for c in categories), default=1.0) for categories in shown])

    def load(self, index: int, at_least: tuple[int, int] | None = None) -> Sample:
        """Read one image whole.

        With `at_least` (height, width) both may come smaller, but not below that: the photo where its format
        can be decoded at a fraction of its size (JPEG: ½, ¼, ⅛), the id map at exactly that size. Raises
        UserError where a file cannot be decoded or does not have the size that panoptic.json states.
        """
        record = self.images[index]
        path = self.split.image_path(record)
        shrink = _shrink(path, record, at_least)
        image = _decode(path, (record.height, record.width), shrink)
        with told_by_data():
            ids = self.split.id_map(record)
        if ids.shape != (record.height, record.width):
            raise UserError(
                f"{self.split.panoptic_path(record)} is {ids.shape[1]} × {ids.shape[0]} pixels, "
                f"panoptic.json says {record.width} × {record.height}; build the dataset again"
            )
        if at_least is not None and at_least[0] * at_least[1] < ids.size:
            ids = np.asarray(cv2.resize(ids, at_least[::-1], interpolation=cv2.INTER_NEAREST_EXACT), np.int32)
        segments = tuple(
            SampleSegment(s.id, self._index[s.category_id], bool(s.iscrowd)) for s in record.segments
        )
        said = (self._sentences.get((record.id, s.id)) for s in record.segments)
        return Sample(
            image=torch.from_numpy(image).permute(2, 0, 1),
            id_map=torch.from_numpy(renumber(ids, [s.id for s in record.segments])),
            segments=segments,
            phrases=tuple(Phrase(place, tuple(own)) for place, own in enumerate(said) if own),
            file=str(path),
        )

    def _check(self) -> None:
        root = self.split.root
        problems: list[str] = []
        large: list[str] = []
        if not self.images:
            problems.append(f"{root / 'panoptic.json'}: the split has no image")
        if not len(self.categories):
            problems.append(f"{root.parent / 'categories.json'}: there is no category")
        photos = _names(root / "images")
        pngs = _names(root / "panoptic")
        known = set()
        for image in self.images:
            if image.file_name not in photos:
                problems.append(f"{self.split.image_path(image)}: the photo is missing")
            if image.panoptic_name not in pngs:
                problems.append(f"{self.split.panoptic_path(image)}: the panoptic PNG is missing")
            path = self.split.image_path(image)
            if refused := too_many_pixels(path, image.height, image.width, self.max_pixels):
                large.append(refused)
            for segment in image.segments:
                known.add((image.id, segment.id))
                if segment.category_id not in self._index:
                    problems.append(
                        f"{root / 'panoptic.json'}: {image.file_name}, segment {segment.id}: category "
                        f"{segment.category_id} is not in categories.json"
                    )
        problems += [
            f"{root / 'grounding.json'}: image {image}, segment {segment}: panoptic.json has no such segment"
            for image, segment in self._sentences
            if (image, segment) not in known
        ]
        if told := problems + large:
            more = f"\n… and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
            folder = shlex.quote(str(root.parent))
            advice = f"\nRun: seem-data validate {folder} --fix, or build the dataset again."
            raise UserError("\n".join(told[:_SHOWN]) + more + (advice if problems else ""))


def renumber(ids: NDArray[np.int32], order: list[int]) -> NDArray[np.int32]:
    """Segment ids [H, W] (0 … 2²⁴ − 1) to 1, 2, … in the order given; 0 and ids not in the list become 0."""
    if not hasattr(_THREAD, "places"):
        _THREAD.places = np.zeros(1 << 24, np.int32)  # kept: making it anew costs more than looking up
    places: NDArray[np.int32] = _THREAD.places
    places[order] = np.arange(1, len(order) + 1)
    places[0] = 0
    renumbered = places[ids]
    places[order] = 0
    return renumbered


def _shrink(path: Path, record: ImageRecord, at_least: tuple[int, int] | None) -> int:
    if at_least is None or path.suffix.lower() not in (".jpg", ".jpeg"):
        return 1
    height, width = at_least
    fits = (s for s in _REDUCED if record.height >= height * s and record.width >= width * s)
    return next(fits, 1)


def _decode(path: Path, size: tuple[int, int], shrink: int) -> NDArray[np.uint8]:
    """[H, W, 3] RGB, at 1/`shrink` of the (height, width) that it must have: checked before it is decoded.

    The layout's photos are upright, so orientation tags are not looked at.
    """
    damaged = UserError(f"{path} cannot be decoded: it is damaged or no image; build the dataset again")
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a named pipe would wait for ever
            raise UserError(f"{path} is no regular file; build the dataset again")
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as opened:
                width, height = opened.size
    except Image.DecompressionBombError:
        raise UserError(f"{path}: has more than 178 million pixels; scale it down") from None
    except Exception:  # Pillow's parsers raise whatever they run into
        raise damaged from None
    if (height, width) != size:
        raise UserError(
            f"{path} is {width} × {height} pixels, panoptic.json says {size[1]} × {size[0]}; "
            "build the dataset again"
        )
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _REDUCED[shrink] | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None or image.shape[:2] != (-(-height // shrink), -(-width // shrink)):
        raise damaged
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _names(folder: Path) -> set[str]:
    """Paths of all files below a folder, relative to it, with forward slashes."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*")} if folder.is_dir() else set()
