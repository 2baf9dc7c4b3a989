"""COCO's own folders: ``train2017/`` and ``val2017/`` with the photos, ``annotations/`` with
``instances_train2017.json``, ``panoptic_train2017.json`` and ``panoptic_train2017/`` (the PNGs). Sentences
that somebody wrote stand with the instances and, of stuff too, with the panoptic segments."""

from __future__ import annotations

import msgspec

from seem_data.exporting.placing import (
    PlacingJob,
    Sentences,
    as_rows,
    instance_rows,
    own_sentences,
    panoptic_rows,
    raw_rows,
)
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
        categories, said = job.dataset.categories, own_sentences(split)
        instances = instance_rows(split, _described(split, said), categories, _name)
        panoptic = panoptic_rows(split, categories, _name, said)
        job.write_json(f"annotations/instances_{year}.json", instances)
        job.write_json(f"annotations/panoptic_{year}.json", panoptic)
    return []


def _name(image: ImageRecord) -> str:
    return image.file_name.rsplit("/", 1)[-1]


class _Row(msgspec.Struct):
    image_id: int
    segment_id: int


def _described(split: Split, said: Sentences) -> list[object]:
    """The instances, with their ``sentences``."""
    rows: list[object] = []
    for raw in raw_rows(split, INSTANCES_JSON):
        row = msgspec.json.decode(raw, type=_Row)
        words = said.get((row.image_id, row.segment_id))
        rows.append({**msgspec.json.decode(raw), "sentences": as_rows(words)} if words else raw)
    return rows
