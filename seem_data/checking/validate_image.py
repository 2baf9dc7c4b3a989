"""One image of a dataset, checked: its three files against each other and against its rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from seem_data import images, layout
from seem_data.categories import Categories
from seem_data.common.files import sha256_file
from seem_data.encoding.segment_map import FoundSegment, SegmentMap
from seem_data.files import read_regular
from seem_data.layout import GroundingRow, ImageRow, InstanceRow, PanopticRow, Segment, png
from seem_data.layout.pixels import read_id_map
from seem_data.limits import QUERIES, check_pixels
from seem_data.problems import DataError, Problem, Severity

Row = TypeVar("Row", GroundingRow, InstanceRow)

_LEAST_IOU = 0.99  #: between a segment and its polygons in grounding.json
BUILD_AGAIN = "Build the dataset again."
FIX = "seem-data validate --fix repairs it."


@dataclass(frozen=True, slots=True)
class Rows:
    """All that the JSON files of a split say of one image."""

    image: ImageRow
    panoptic: PanopticRow
    instances: list[InstanceRow] = field(default_factory=list)
    grounding: list[GroundingRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ImageFindings:
    """What was found, and the SHA-256 of photo, panoptic and semantic PNG ("" for one that is not there)."""

    image_id: int
    problems: list[Problem]
    sha256: tuple[str, str, str]


def check_images(
    root: Path, categories: Categories, max_megapixels: float, rows: list[Rows]
) -> list[ImageFindings]:
    """Check images of the split in a folder. What a worker does."""
    return [_ImageCheck(root, categories, max_megapixels, row).run() for row in rows]


class Inspection:
    """What is wrong below a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[Problem] = []

    def add(
        self,
        code: str,
        file: Path | str,
        message: str,
        remedy: str = FIX,
        where: str = "",
        severity: Severity = "error",
    ) -> None:
        """
        Args:
            file: its name below the folder, or its path.
        """
        file = self.root / file if isinstance(file, str) else file
        self.problems.append(Problem(code, message, remedy, str(file), where, severity))


class _ImageCheck(Inspection):
    def __init__(self, root: Path, categories: Categories, max_megapixels: float, rows: Rows) -> None:
        super().__init__(root)
        self.max_megapixels = max_megapixels
        self.categories = categories
        self.rows = rows
        self._told = {segment.id: segment for segment in rows.panoptic.segments_info}
        self.photo = root / layout.IMAGES / rows.image.file_name
        self.panoptic = root / layout.PANOPTIC / rows.panoptic.file_name
        self.semantic = root / layout.SEMANTIC / rows.panoptic.file_name

    def run(self) -> ImageFindings:
        self._check_photo()
        self._check_segments()
        id_map = self._read_panoptic()
        if id_map is not None:
            found = SegmentMap.of(id_map)
            self._check_against_pixels(found)
            self._check_semantic(found)
            self._check_instances(found)
            self._check_grounding(found)
        hashes = [_sha256(path) for path in (self.photo, self.panoptic, self.semantic)]
        return ImageFindings(self.rows.image.id, self.problems, (hashes[0], hashes[1], hashes[2]))

    @property
    def _size(self) -> tuple[int, int]:
        return self.rows.image.width, self.rows.image.height

    def _check_photo(self) -> None:
        if not self.photo.is_file():
            self.add("missing-photo", self.photo, "is missing.", BUILD_AGAIN)
            return
        try:
            header = images.read_header(self.photo)
            check_pixels(header.width, header.height, self.max_megapixels, str(self.photo))
            images.check_complete(self.photo)
        except DataError as error:
            self.add("bad-photo", self.photo, error.problems[0].message, BUILD_AGAIN)
            return
        if header.orientation != 1:
            message = f"has the EXIF orientation {header.orientation}: viewers turn it, its masks stay."
            self.add("turned-photo", self.photo, message, BUILD_AGAIN)
        if (found := (header.width, header.height)) != self._size:
            message = f"has {_by(found)} pixels, not {_by(self._size)}."
            self.add("photo-size", self.photo, message, BUILD_AGAIN)

    def _read_panoptic(self) -> NDArray[np.int32] | None:
        if not self.panoptic.is_file():
            self.add("missing-panoptic", self.panoptic, "is missing.", BUILD_AGAIN)
            return None
        try:
            id_map = read_id_map(self.panoptic, self.max_megapixels)
        except DataError as error:
            self.add("bad-panoptic", self.panoptic, error.problems[0].message, BUILD_AGAIN)
            return None
        if (found := id_map.shape[::-1]) != self._size:
            message = f"has {_by(found)} pixels, not {_by(self._size)}."
            self.add("panoptic-size", self.panoptic, message, BUILD_AGAIN)
            return None
        return id_map

    def _check_segments(self) -> None:
        """The rows of panoptic.json in themselves."""
        stuff: Counter[tuple[int, int]] = Counter()
        for number, count in Counter(segment.id for segment in self.rows.panoptic.segments_info).items():
            if count > 1:
                self._segment("duplicate-segment", number, f"is listed {count} times.")
            if not 1 <= number <= layout.LARGEST_SEGMENT_ID:
                self._segment("bad-segment-id", number, "is no id from 1 to 2^24 - 1 (0 is void).")
        for segment in self.rows.panoptic.segments_info:
            category = self.categories.by_id.get(segment.category_id)
            if category is None:
                message = f"has the category {segment.category_id}, which categories.json does not list."
                self._segment("unknown-category", segment.id, message)
            elif not category.isthing or segment.iscrowd == 1:
                stuff[category.id, segment.iscrowd] += 1
            if segment.iscrowd not in (0, 1):
                self._segment("bad-iscrowd", segment.id, f"has iscrowd {segment.iscrowd}, not 0 or 1.")
        for (category_id, iscrowd), count in stuff.items():
            if count > 1:
                name = self.categories.by_id[category_id].name
                kind = "crowd" if iscrowd else "stuff"
                message = f"has {count} segments of the {kind} {name!r}; an image has one at most."
                self.add("split-stuff", self.panoptic, message, BUILD_AGAIN)
        self._check_count()

    def _check_count(self) -> None:
        """A dataset may hold more in an image than SEEM can answer with; who trains on it should know."""
        count = sum(segment.iscrowd == 0 for segment in self.rows.panoptic.segments_info)
        if count > QUERIES:
            message = (
                f"has {count} segments; SEEM finds {QUERIES} in an image at most (its queries), and learns "
                "nothing from those beyond."
            )
            remedy = "Cut the photo into tiles, or mark very small objects as one crowd."
            self.add("more-than-queries", self.photo, message, remedy, severity="note")

    def _segment(self, code: str, number: int, message: str) -> None:
        where = f"image {self.rows.image.file_name}, segment {number}"
        self.add(code, layout.PANOPTIC_JSON, message, where=where)

    def _check_against_pixels(self, found: SegmentMap) -> None:
        told = dict(self._told)
        for number, fact in found.segments.items():
            segment = told.pop(number, None)
            if segment is None:
                message = f"has {fact.area} pixels of segment {number}, which panoptic.json does not list."
                self.add("unlisted-segment", self.panoptic, message)
                continue
            if segment.area != fact.area:
                self._segment("wrong-area", number, f"has area {segment.area}; its pixels are {fact.area}.")
            if tuple(segment.bbox) != fact.bbox:
                message = f"has bbox {list(segment.bbox)}; its pixels have {list(fact.bbox)}."
                self._segment("wrong-bbox", number, message)
        for number in told:
            self._segment("ghost-segment", number, "has no pixel in the PNG.")

    def _check_semantic(self, found: SegmentMap) -> None:
        if not self.semantic.is_file():
            self.add("missing-semantic", self.semantic, "is missing.")
            return
        category_of = {number: segment.category_id for number, segment in self._told.items()}
        expected = found.semantic(category_of, self.categories)
        data = _content(self.semantic)
        header = png.read_header(data)
        if header is not None and header[:2] != self._size:  # nothing of another size is decoded
            message = f"has {_by(header[:2])} pixels, not {_by(self._size)}."
            self.add("semantic-size", self.semantic, message)
            return
        pixels = _decoded(data) if header is not None else None
        if pixels is None or pixels.shape != expected.shape or pixels.dtype != expected.dtype:
            kind = f"{8 * expected.itemsize}-bit grey"
            self.add("bad-semantic", self.semantic, f"is no {kind} PNG.")
        elif wrong := int(np.count_nonzero(pixels != expected)):
            message = f"disagrees with the panoptic PNG on {wrong} pixels."
            self.add("semantic-differs", self.semantic, message)

    def _check_instances(self, found: SegmentMap) -> None:
        rows = self.rows.instances
        for row, segment, fact in self._matched(rows, found, layout.INSTANCES_JSON, "instance", "belongs to"):
            if (row.category_id, row.iscrowd) != (segment.category_id, segment.iscrowd):
                message = f"has another category or iscrowd than segment {row.segment_id}."
                self._row("instance-differs", layout.INSTANCES_JSON, row, message)
            if (row.area, tuple(row.bbox)) != (fact.area, fact.bbox):
                message = f"has another area or bbox than segment {row.segment_id}."
                self._row("instance-differs", layout.INSTANCES_JSON, row, message)
            if row.segmentation != fact.mask:
                message = f"has another mask than segment {row.segment_id}."
                self._row("instance-mask", layout.INSTANCES_JSON, row, message)
        things = {category.id for category in self.categories if category.isthing}
        seen = {row.segment_id for row in rows}
        for segment in self._told.values():
            if segment.category_id in things and segment.id in found.segments and segment.id not in seen:
                self._segment("no-instance", segment.id, "is a thing and is not in instances.json.")

    def _matched(
        self, rows: list[Row], found: SegmentMap, file: str, kind: str, verb: str
    ) -> Iterator[tuple[Row, Segment, FoundSegment]]:
        """Rows of instances.json or grounding.json, each with its segment in panoptic.json and in the PNG;
        those of none are left out, and told."""
        seen: set[int] = set()
        for row in rows:
            segment, fact = self._told.get(row.segment_id), found.segments.get(row.segment_id)
            if segment is None or fact is None:
                message = f"{verb} segment {row.segment_id}, which is not there."
                self._row(f"lost-{kind}", file, row, message)
                continue
            if row.segment_id in seen:
                self._row(f"duplicate-{kind}", file, row, f"is a second one of segment {row.segment_id}.")
            seen.add(row.segment_id)
            yield row, segment, fact

    def _row(self, code: str, file: str, row: GroundingRow | InstanceRow, message: str) -> None:
        self.add(code, file, message, where=f"annotation {row.id}")

    def _check_grounding(self, found: SegmentMap) -> None:
        claims: defaultdict[str, set[int]] = defaultdict(set)
        file = layout.GROUNDING_JSON
        for row, segment, fact in self._matched(self.rows.grounding, found, file, "grounding", "means"):
            for code, message in (
                *_row_faults(row, segment),
                *polygon_faults(row.segmentation, fact.mask, self._size),
            ):
                self._row(code, file, row, message)
            for sentence in row.sentences:
                if sentence.kind in layout.REFERRING_KINDS:
                    claims[sentence.raw.casefold()].add(row.segment_id)
        for raw, segments in claims.items():
            if len(segments) > 1:
                where = f"image {self.rows.image.file_name}"
                message = f"{raw!r} should mean one segment, and is said of {len(segments)}."
                self.add("ambiguous-sentence", file, message, BUILD_AGAIN, where)


def _row_faults(row: GroundingRow, segment: Segment) -> Iterator[tuple[str, str]]:
    if row.category_id != segment.category_id:
        yield "grounding-differs", f"has another category than segment {segment.id}."
    if row.area != segment.area or tuple(row.bbox) != tuple(segment.bbox):
        yield "grounding-differs", f"has another area or bbox than segment {segment.id}."
    if not row.sentences or not all(sentence.raw.strip() for sentence in row.sentences):
        yield "no-sentence", "has no sentence, or an empty one."
    kinds = layout.SENTENCE_KINDS
    if strange := [sentence.kind for sentence in row.sentences if sentence.kind not in kinds]:
        yield "unknown-kind", f"has a sentence of kind {strange[0]!r}; there are {', '.join(kinds)}."


def polygon_faults(
    polygons: list[list[float]], mask: Mapping[str, object], size: tuple[int, int]
) -> Iterator[tuple[str, str]]:
    """What the original's loaders need: polygons of at least 4 points (the fork drops an object whose first
    is shorter), disjoint, together the segment."""
    if not polygons or any(len(p) < 6 or len(p) % 2 for p in polygons) or len(polygons[0]) < 8:
        yield "bad-polygon", "needs polygons of three points or more, four in the first."
        return
    if any(_leaves(polygon, size) for polygon in polygons):  # pycocotools would walk all the way there
        yield "bad-polygon", "has a polygon with a point outside of the image."
        return
    # The stubs of pycocotools know one polygon where its code takes a list of them.
    parts: Any = coco_mask.frPyObjects(polygons, size[1], size[0])  # pyright: ignore
    whole = coco_mask.merge(parts)
    # One by one: of more than 255 masks at once pycocotools fails to tell the areas.
    if sum(int(coco_mask.area(part)) for part in parts) != int(coco_mask.area(whole)):
        yield "overlapping-polygons", "has polygons that overlap: loaders add them up."
    iou = float(np.asarray(coco_mask.iou([whole], [mask], [0]))[0, 0])  # pyright: ignore
    if iou < _LEAST_IOU:
        yield "polygons-differ", f"has polygons that cover another area than the segment (IoU {iou:.3f})."


def _leaves(polygon: list[float], size: tuple[int, int]) -> bool:
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    return not bool(((points >= 0) & (points <= size)).all())


def _decoded(data: bytes) -> np.ndarray | None:
    """The pixels as they are stored, or None where they are damaged."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _by(size: tuple[int, ...]) -> str:
    return "×".join(map(str, size))


def _content(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError:
        return b""


def _sha256(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError:
        return ""
