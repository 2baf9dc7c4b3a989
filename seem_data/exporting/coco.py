"""COCO's own folders: ``train2017/`` and ``val2017/`` with the photos, ``annotations/`` with
``instances_train2017.json``, ``panoptic_train2017.json`` and ``panoptic_train2017/`` (the PNGs)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from seem_data.exporting.placing import PlacingJob, instance_rows, panoptic_rows, raw_rows
from seem_data.files import make_folder
from seem_data.layout import INSTANCES_JSON, ImageRecord, Split

_YEAR = "2017"


def write(job: PlacingJob) -> list[str]:
    """
    Returns:
        nothing to type next.
    """
    for name in job.dataset.split_names:
        split, year = job.dataset.split(name), f"{name}{_YEAR}"
        photos = make_folder(job.out / year)
        masks = make_folder(job.out / "annotations" / f"panoptic_{year}")
        for image in split.images:
            job.place(split.image_path(image), photos / _name(image))
            job.place(split.panoptic_path(image), masks / image.panoptic_name.rsplit("/", 1)[-1])
            job.done()
        categories = job.dataset.categories
        instances = instance_rows(split, _with_sentences(split), categories, _name)
        job.write_rows(f"annotations/instances_{year}.json", instances)
        job.write_rows(f"annotations/panoptic_{year}.json", panoptic_rows(split, categories, _name))
    return []


def _name(image: ImageRecord) -> str:
    return image.file_name.rsplit("/", 1)[-1]


class _Row(msgspec.Struct):
    image_id: int
    segment_id: int


def _with_sentences(split: Split) -> list[object]:
    """The instances, those that somebody described with ``sentences`` as RefCOCO has them."""
    own: Mapping[tuple[int, int], list[dict[str, str]]] = {
        (grounded.image_id, grounded.segment_id): said
        for grounded in split.grounding()
        if (said := [{"raw": s.raw} for s in grounded.sentences if s.kind == "own"])
    }
    rows: list[object] = []
    for raw in raw_rows(split, INSTANCES_JSON):
        row = msgspec.json.decode(raw, type=_Row)
        said = own.get((row.image_id, row.segment_id))
        rows.append({**msgspec.json.decode(raw), "sentences": said} if said else raw)
    return rows
