"""Formats that are not read, known by their own marks: refused by name, with what to export instead."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from seem_data.problems import Problem
from seem_data.readers import ARCHIVES, _json, _paint, _walk


def _known(keys: set[str], path: Path) -> tuple[str, str] | None:
    """What a JSON with these outermost keys is that is not read, and what to do about it."""

    def holds(*words: bytes) -> bool:
        return all(_json.contains(path, word) for word in words)

    of_v7 = {"item", "annotations"} <= keys or {"image", "annotations"} <= keys
    if of_v7 and (holds(b"darwin") or holds(b'"slot_names"') or holds(b'"workview_url"')):
        return "V7 Darwin JSON", "Export COCO from V7, or convert it: darwin dataset convert NAME coco."
    of_labelbox = "data_row" in keys or {"Labeled Data", "Label"} <= keys or {"DataRow ID", "Label"} <= keys
    if of_labelbox or holds(b'"data_row"', b'"media_attributes"'):
        remedy = (
            "Convert it to COCO with Labelbox's Python SDK, or download the masks and give them as --masks."
        )
        return "a Labelbox export", remedy
    if {"metadata", "instances"} <= keys:
        remedy = "Convert it to COCO with SuperAnnotate's Python SDK: export_annotation(..., 'COCO', ...)."
        return "SuperAnnotate JSON", remedy
    if "dataset" in keys and holds(b'"samples"', b'"labels"'):
        remedy = "Export it as COCO with Segments.ai's Python SDK: export_dataset(dataset, 'coco-panoptic')."
        return "a Segments.ai release", remedy
    if keys & {"label_hash", "data_units"} or holds(b'"label_hash"', b'"data_hash"'):
        return "an Encord export", "Export the labels from Encord as COCO."
    if {"label_classes", "images"} <= keys or "export_format_version" in keys:
        return "Hasty JSON", "Export COCO or 'semantic segmentation' PNGs from Hasty."
    if "jsonResponse" in keys or ("externalId" in keys and holds(b'"jsonResponse"')):
        return "a Kili export", "Export it from Kili as COCO: kili.export_labels(..., fmt='coco')."
    return None


_OF_ADE20K = re.compile(r"ADE_(train|val|frame)_\d+_(seg|parts_\d+)", re.IGNORECASE)


def pickled_names(paths: Iterable[Path]) -> Problem | None:
    """Why masks of the whole ADE20K are not read; None where there are none."""
    found = next((path for path in paths if _OF_ADE20K.fullmatch(path.stem)), None)
    if found is None:
        return None
    message = "is a mask of the whole ADE20K, which names its numbers in a pickle only (index_ade20k.pkl)."
    remedy = (
        "Pickles are not opened: take its release for scene parsing, ADEChallengeData2016, which is read."
    )
    return Problem("foreign-format", message, remedy, str(found))


def refusal(path: Path) -> Problem | None:
    """Why nothing of a file or folder is read, if its format is known; None where it is not."""
    for file in _walk.first_files(path, (".json", ".ndjson")):
        if known := _known(_json.outline(file)[1], file):
            name, remedy = known
            return Problem("foreign-format", f"is {name}, which is not read.", remedy, str(file))
    if not path.is_dir():
        return None
    archive = next(iter(sorted(_walk.some_files(path, ARCHIVES))), None)
    if archive is not None:
        remedy = f"Unpack {archive.name}, and give the folder that it makes."
        return Problem("archive", "holds nothing to read but an archive.", remedy, str(path))
    if pickled := pickled_names(_walk.some_files(path, _paint.SUFFIXES)):
        return pickled
    if next(_walk.some_files(path, _paint.SUFFIXES), None) is not None:
        message = "no annotations of a known format found here, but pictures."
        remedy = "If they are painted or numbered masks, give them as --masks."
        return Problem("unknown-format", message, remedy, str(path))
    return None
