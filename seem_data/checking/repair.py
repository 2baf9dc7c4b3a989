"""``validate --fix``: repair what the panoptic PNGs and the rows of panoptic.json decide without a guess.

A split is written anew from what is good in it:

* areas, boxes, instances, semantic PNGs and the lists of categories follow from PNG and rows;
* segments without a pixel, and sentences of segments that are not there, go;
* pixels of segments that nothing lists become void;
* images whose photo or panoptic PNG is unusable leave the split.

Files that belong to no image are moved to ``set-aside/`` in the dataset, never deleted. All else (two
segments of one stuff category, photos turned by EXIF, a malformed panoptic.json or grounding.json) needs a
new build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from seem_data import images, layout
from seem_data.annotations import Sentence
from seem_data.categories import Categories
from seem_data.checking.validate import rows_of, strays, validate
from seem_data.checking.validate_image import Rows, polygon_faults
from seem_data.common.files import sha256_file
from seem_data.drawing.outlines import trace
from seem_data.encoding import grounding, instances
from seem_data.encoding.segment_map import SegmentMap
from seem_data.files import make_folder, write_atomically, writing
from seem_data.layout import (
    Counts,
    Dataset,
    GroundingFile,
    ImageRecord,
    PanopticFile,
    PanopticRow,
    Segment,
    SplitWriter,
    encode_rows,
    is_file_name,
    png,
)
from seem_data.layout.pixels import read_id_map
from seem_data.limits import DEFAULT_MEGAPIXELS
from seem_data.problems import DataError, Problem

SET_ASIDE = "set-aside"


def repair(
    root: Path | str,
    *,
    workers: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    max_megapixels: float = DEFAULT_MEGAPIXELS,
) -> tuple[list[Problem], list[Problem]]:
    """Repair a dataset.

    Returns:
        the problems that were found and are gone; and those that are left.

    Raises:
        DataError: the folder is no dataset, or cannot be written.
    """
    before = validate(root, workers=workers, progress=progress, max_megapixels=max_megapixels)
    if all(problem.severity == "note" for problem in before):
        return [], before
    dataset = Dataset(root)
    info = _info(dataset)
    splits, options = info.get("splits"), info.get("options")
    told = splits if isinstance(splits, dict) else {}
    options = options if isinstance(options, dict) else {}
    links = [problem for name in dataset.split_names for problem in _links(dataset.root / name)]
    if links:
        return [], [*before, *links]
    repaired = {name: _repair_split(dataset, name) or told.get(name) for name in dataset.split_names}
    counts = {name: count for name, count in repaired.items() if count is not None}
    layout.write_info(dataset.root, info.get("name", dataset.root.name), options, counts)
    after = validate(root, workers=workers, progress=progress, max_megapixels=max_megapixels)
    left = set(after)
    return [problem for problem in before if problem not in left], after


def _links(root: Path) -> Iterator[Problem]:
    """Folders of a split that are links: what lies behind them may be somebody else's, and stays as it is."""
    for path in (root, *(root / folder for folder in layout.FOLDERS)):
        if path.is_symlink():
            message = "is a link to another folder, in which nothing is written: nothing was repaired."
            yield Problem("linked-folder", message, "Put the folder itself in its place.", str(path))


def _info(dataset: Dataset) -> dict[str, object]:
    try:
        return dataset.info()
    except DataError:
        return {}


def _repair_split(dataset: Dataset, name: str) -> Counts | None:
    """Write a split anew from what is good in it; None where the files that cannot be made anew are lost."""
    root = dataset.root / name
    try:
        file: PanopticFile = layout.read_json(root / layout.PANOPTIC_JSON, PanopticFile)
        grounding: GroundingFile = layout.read_json(root / layout.GROUNDING_JSON, GroundingFile)
    except DataError:
        return None
    with SplitWriter(root, dataset.categories) as writer:
        for rows in _good_rows(file, grounding):
            _Repair(root, dataset.categories, rows).write(writer)
    _set_aside_strays(dataset.root, name)
    return writer.counts


def _good_rows(file: PanopticFile, grounding: GroundingFile) -> list[Rows]:
    """One row of an image and one annotation for it: the first of several."""
    annotations: dict[int, PanopticRow] = {}
    for row in file.annotations:
        if is_file_name(row.file_name):
            annotations.setdefault(row.image_id, row)
    pairs, photos, pngs = [], set(), set()
    for image in file.images:
        row = annotations.pop(image.id, None)
        if row is None or not is_file_name(image.file_name):
            continue
        if image.file_name not in photos and row.file_name not in pngs:
            photos.add(image.file_name)
            pngs.add(row.file_name)
            pairs.append((image, row))
    return rows_of(pairs, None, grounding)


def _set_aside_strays(root: Path, name: str) -> None:
    file = layout.read_json(root / name / layout.PANOPTIC_JSON, PanopticFile)
    for folder, stray in list(strays(root / name, file)):
        target = make_folder(root / SET_ASIDE / name / folder) / stray
        with writing(target):
            (root / name / folder / stray).replace(target)


class _Repair:
    """One image."""

    def __init__(self, root: Path, categories: Categories, rows: Rows) -> None:
        self._categories = categories
        self._rows = rows
        self._photo = root / layout.IMAGES / rows.image.file_name
        self._panoptic = root / layout.PANOPTIC / rows.panoptic.file_name
        self._semantic = root / layout.SEMANTIC / rows.panoptic.file_name

    def write(self, writer: SplitWriter) -> None:
        """Hand the image's rows to the writer and mend its PNGs; nothing if the image is unusable."""
        image = self._rows.image
        id_map = self._usable_id_map()
        if id_map is None:
            return
        listed = self._listed()
        strangers = ~np.isin(id_map, [0, *listed])
        if strangers.any():
            id_map[strangers] = 0
            rgb = np.stack([id_map >> shift & 255 for shift in (0, 8, 16)], axis=2).astype(np.uint8)
            write_atomically(self._panoptic, png.encode(rgb))
        found = SegmentMap.of(id_map)
        segments = [
            msgspec.structs.replace(segment, area=fact.area, bbox=fact.bbox)
            for number, segment in listed.items()
            if (fact := found.segments.get(number))
        ]
        self._mend_semantic(found, segments)
        record = ImageRecord(
            image.id, image.file_name, image.width, image.height, self._panoptic.name, tuple(segments)
        )
        things = [segment for segment in segments if self._categories.by_id[segment.category_id].isthing]
        grounded, sentence_count = self._grounding(found, {segment.id: segment for segment in segments})
        writer.add(
            record,
            encode_rows(instances.row(segment, found.segments[segment.id].mask) for segment in things),
            encode_rows(grounded),
            sentence_count,
            (sha256_file(self._photo), sha256_file(self._panoptic), sha256_file(self._semantic)),
        )

    def _usable_id_map(self) -> NDArray[np.int32] | None:
        size = self._rows.image.width, self._rows.image.height
        try:
            header = images.read_header(self._photo)
            images.check_complete(self._photo)
            id_map = read_id_map(self._panoptic)
        except DataError:
            return None
        fits = size == (header.width, header.height) == id_map.shape[::-1]
        return id_map if fits else None

    def _listed(self) -> dict[int, Segment]:
        """The segments of panoptic.json that can be meant, the first of several with one id."""
        listed: dict[int, Segment] = {}
        for segment in self._rows.panoptic.segments_info:
            good = 1 <= segment.id <= layout.LARGEST_SEGMENT_ID
            if good and segment.category_id in self._categories.by_id:
                listed.setdefault(
                    segment.id, msgspec.structs.replace(segment, iscrowd=int(segment.iscrowd == 1))
                )
        return listed

    def _mend_semantic(self, found: SegmentMap, segments: list[Segment]) -> None:
        pixels = found.semantic({segment.id: segment.category_id for segment in segments}, self._categories)
        encoded = png.encode(pixels)
        if not self._semantic.is_file() or self._semantic.read_bytes() != encoded:
            make_folder(self._semantic.parent)
            write_atomically(self._semantic, encoded)

    def _grounding(
        self, found: SegmentMap, segments: dict[int, Segment]
    ) -> tuple[list[dict[str, object]], int]:
        """The rows, and how many sentences are in them."""
        size = self._rows.image.width, self._rows.image.height
        outlines, count = None, 0
        rows: dict[int, dict[str, object]] = {}
        for row in self._rows.grounding:
            segment = segments.get(row.segment_id)
            said = [
                sentence if sentence.kind in layout.SENTENCE_KINDS else Sentence(sentence.raw)
                for sentence in row.sentences
                if sentence.raw.strip()
            ]
            if segment is None or not said or segment.id in rows:
                continue
            polygons = row.segmentation
            if any(polygon_faults(polygons, found.segments[segment.id].mask, size)):
                outlines = outlines or trace(found.runs)
                parts = outlines[list(found.segments).index(segment.id)]
                polygons = grounding.polygons(parts)
            rows[segment.id] = grounding.row(segment, polygons, said)
            count += len(said)
        return list(rows.values()), count
