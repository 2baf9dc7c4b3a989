"""Helpers of the reader tests: photos to annotate, and everything a reader says about an input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from PIL import Image

from seem_data.annotations import Bitmap, ImageAnnotation, Polygon, Region
from seem_data.problems import Problem
from seem_data.readers import Input, Reader, get, items


def make_photo(path: Path, size: tuple[int, int] = (40, 30), **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 150)).save(path, **options)
    return path


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def read(
    reader: str | Reader,
    polys: Path,
    images: Path | None = None,
    annotator: str | None = None,
    known: Any = None,
) -> tuple[dict[str, ImageAnnotation], list[Problem]]:
    """Every image of an input by its name, and all problems; splits travel from item to annotation."""
    reader = get(reader) if isinstance(reader, str) else reader
    problems: list[Problem] = []
    annotations = {}
    for item in items(reader, Input(polys, images, known, annotator), problems):
        annotation = reader.load(item, problems)
        assert annotation.name == item.name and annotation.split == item.split
        annotations[item.name] = annotation
    return annotations, problems


def area(region: Region) -> float:
    """Pixels of bitmaps, and the exact area of polygons less their holes."""
    return sum(_area(part) for part in region.parts)


def _area(part: Polygon | Bitmap) -> float:
    if isinstance(part, Bitmap):
        return float(part.mask.sum())
    return shapely.Polygon(part.outer, part.holes).area


def full_mask(part: Polygon | Bitmap, width: int, height: int) -> np.ndarray:
    """A bitmap laid into an empty image."""
    assert isinstance(part, Bitmap)
    mask = np.zeros((height, width), dtype=bool)
    rows, columns = part.mask.shape
    mask[part.top : part.top + rows, part.left : part.left + columns] = part.mask
    return mask


def codes(problems: list[Problem]) -> list[str]:
    return [problem.code for problem in problems]
