"""Datasets as annotations again: what people correct (LabelMe), and what other trainers read (YOLO).

Masks come back equal: their outlines follow every pixel unless a tolerance is given. Of sentences the
annotators' own are kept; others are made anew by the next build.
"""

from __future__ import annotations

import shlex

from seem_data.common.terminal import typed
from seem_data.exporting.placing import PlacingJob, Sentences, own_sentences
from seem_data.layout import CATEGORIES_JSON, PANOPTIC_JSON, ImageRecord, Split
from seem_data.problems import Problem, fault
from seem_data.writers import MarkedSegment, WrittenPhoto, open_writer


def write(job: PlacingJob, form: str, problems: list[Problem]) -> list[str]:
    """
    Args:
        form: of `writers.FORMATS`.
        problems: what the format cannot hold is told here.

    Returns:
        the commands to type next.
    """
    writer = open_writer(form, job.out, job.dataset.categories, job.tolerance, link=job.link)
    for name in job.dataset.split_names:
        split = job.dataset.split(name)
        said = own_sentences(split)
        for image in split.images:
            photo = WrittenPhoto(image.file_name, (image.width, image.height), split.image_path(image))
            writer.add(photo, _segments(split, image, said), name)
            job.done()
    writer.close()
    if writer.left_out:
        message = f"are left out: {writer.left_out} crowd(s), of which {form} cannot tell that they are many."
        problems.append(Problem("crowds", message, "", str(job.dataset.root), "", "warning"))
    if form == "yolo" and "val" not in job.dataset.split_names:
        message = "has no split val, which ultralytics asks for."
        remedy = "Add 'val: images/train' or the like to data.yaml, or build with --split train=0.8,val=0.2."
        problems.append(Problem("no-split", message, remedy, str(job.dataset.root), "", "note"))
    return _build_again(job) if form == "labelme" else []


def _build_again(job: PlacingJob) -> list[str]:
    root, out = job.dataset.root.resolve(), job.out.resolve()
    colors, polys, new = (shlex.quote(str(p)) for p in (root / CATEGORIES_JSON, out, f"{root}-corrected"))
    return [
        f"{typed('seem-data')} build --colors {colors} --polys {polys} --out {new}   # when it is corrected"
    ]


def _segments(split: Split, image: ImageRecord, said: Sentences) -> list[MarkedSegment]:
    id_map = split.id_map(image)
    unknown = {segment.category_id for segment in image.segments} - set(split.categories.by_id)
    if unknown:
        message = f"has a segment of category {min(unknown)}, which {CATEGORIES_JSON} does not list."
        remedy = "Run seem-data validate on the dataset."
        raise fault("unknown-category", message, remedy, str(split.root / PANOPTIC_JSON), image.file_name)
    return [
        MarkedSegment(
            split.categories.by_id[segment.category_id].name,
            id_map == segment.id,
            sentences=said.get((image.id, segment.id), ()),
            iscrowd=bool(segment.iscrowd),
        ).cropped()
        for segment in image.segments
    ]
