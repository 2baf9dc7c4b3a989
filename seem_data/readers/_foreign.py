"""Formats that are not read, known by their own marks: refused by name, with what to export instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from seem_data.problems import Problem
from seem_data.readers import ARCHIVES, _json, _paint, _walk


@dataclass(frozen=True)
class _Foreign:
    name: str
    remedy: str
    fits: Callable[[set[str], Path], bool]  #: of the outermost keys of a JSON, and its file


def _holds(path: Path, *words: bytes) -> bool:
    return all(_json.contains(path, word) for word in words)


_FOREIGN = (
    _Foreign(
        "V7 Darwin JSON",
        "Export COCO from V7, or convert it: darwin dataset convert NAME coco.",
        lambda keys, path: (
            ({"item", "annotations"} <= keys or {"image", "annotations"} <= keys)
            and (_holds(path, b"darwin") or _holds(path, b'"slot_names"') or _holds(path, b'"workview_url"'))
        ),
    ),
    _Foreign(
        "a Labelbox export",
        "Convert it to COCO with Labelbox's Python SDK, or download the masks and give them as --masks.",
        lambda keys, path: (
            "data_row" in keys
            or {"Labeled Data", "Label"} <= keys
            or {"DataRow ID", "Label"} <= keys
            or _holds(path, b'"data_row"', b'"media_attributes"')
        ),
    ),
    _Foreign(
        "SuperAnnotate JSON",
        "Convert it to COCO with SuperAnnotate's Python SDK: export_annotation(..., 'COCO', ...).",
        lambda keys, path: {"metadata", "instances"} <= keys,  # noqa: ARG005
    ),
    _Foreign(
        "a Segments.ai release",
        "Export it as COCO with Segments.ai's Python SDK: export_dataset(dataset, 'coco-panoptic').",
        lambda keys, path: "dataset" in keys and _holds(path, b'"samples"', b'"labels"'),
    ),
    _Foreign(
        "an Encord export",
        "Export the labels from Encord as COCO.",
        lambda keys, path: (
            bool(keys & {"label_hash", "data_units"}) or _holds(path, b'"label_hash"', b'"data_hash"')
        ),
    ),
    _Foreign(
        "Hasty JSON",
        "Export COCO or 'semantic segmentation' PNGs from Hasty.",
        lambda keys, path: ("label_classes" in keys and "images" in keys) or "export_format_version" in keys,  # noqa: ARG005
    ),
    _Foreign(
        "a Kili export",
        "Export it from Kili as COCO: kili.export_labels(..., fmt='coco').",
        lambda keys, path: (
            "jsonResponse" in keys or ("externalId" in keys and _holds(path, b'"jsonResponse"'))
        ),
    ),
)


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
        keys = _json.outline(file)[1]
        for foreign in _FOREIGN:
            if foreign.fits(keys, file):
                message = f"is {foreign.name}, which is not read."
                return Problem("foreign-format", message, foreign.remedy, str(file))
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
