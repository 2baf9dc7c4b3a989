"""A few validation images as a run goes on: photo | truth | prediction, then a text, a click and a box."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from seem_train.data.clicks import deepest_pixel
from seem_train.data.dataset import Phrase, Sample, SegmentationSet
from seem_train.evaluation.evaluate import evaluating
from seem_train.evaluation.report import truth_of
from seem_train.files import write_image
from seem_train.model.seem import SEEM
from seem_train.output import draw
from seem_train.prediction.answers import Objects
from seem_train.prediction.predictor import Predictor

HEIGHT = 240  #: of each picture of a sheet, pixels


def chosen(images: int, count: int) -> list[int]:
    """The same few images at every evaluation, spread over the split."""
    return (
        sorted({round(place) for place in np.linspace(0, images - 1, min(count, images))}) if images else []
    )


def draw_previews(
    model: SEEM, images: SegmentationSet, indices: Sequence[int], size: int, file: Path
) -> None:
    """Write one sheet, a row for each image.

    Args:
        size: shorter side at which the model sees photos.
    """
    with evaluating(model):
        predictor = Predictor(model, list(images.categories), size=size)
        rows = [_row(predictor, images, index) for index in indices]
    columns = max(len(row) for row in rows)
    blank = np.full((HEIGHT, HEIGHT, 3), 255, np.uint8), ""
    cells = [cell for row in rows for cell in [*row, *[blank] * (columns - len(row))]]
    pictures, captions = zip(*cells, strict=True)
    write_image(file, draw.contact_sheet(pictures, captions, columns, HEIGHT))


def _row(predictor: Predictor, images: SegmentationSet, index: int) -> list[tuple[np.ndarray, str]]:
    sample = images.load(index)
    photo = sample.pixels
    predictor.set_image(photo)
    cells = [
        (photo, Path(sample.file).name),
        (truth_of(sample, photo, images), "truth"),
        (predictor.panoptic().draw(), "prediction"),
    ]
    if sentence := telling_sentence(sample, images.things):
        cells.append((_found(photo, predictor.segment(text=sentence)), f"“{sentence}”"))
    if (target := _target(sample)) is not None:
        row, column = deepest_pixel(target)
        left, top, width, height = cv2.boundingRect(target.astype(np.uint8))
        box = left, top, left + width, top + height
        clicked = _found(photo, predictor.segment(points=[(column, row)]))
        boxed = _found(photo, predictor.segment(boxes=[box]))
        cells.append((draw.draw_marks(clicked, points=[(column, row, True)]), "one click"))
        cells.append((draw.draw_marks(boxed, boxes=[box]), "one box"))
    return cells


def _found(photo: np.ndarray, answer: Objects) -> np.ndarray:
    return draw.overlay(photo, [draw.Tinted(answer.mask(0), draw.FOUND)])


def sentences_about_things(sample: Sample, things: Sequence[bool]) -> list[tuple[str, int]]:
    """Each with the segment that it is about; the longest, which says most, first."""
    return _longest_first([p for p in sample.phrases if things[sample.segments[p.segment].category]])


def telling_sentence(sample: Sample, things: Sequence[bool]) -> str:
    """The longest sentence about a thing; about anything where there is no thing."""
    said = sentences_about_things(sample, things) or _longest_first(sample.phrases)
    return said[0][0] if said else ""


def _longest_first(phrases: Iterable[Phrase]) -> list[tuple[str, int]]:
    said = [(sentence.raw, phrase.segment) for phrase in phrases for sentence in phrase.sentences]
    return sorted(said, key=lambda pair: -len(pair[0]))


def _target(sample: Sample) -> np.ndarray | None:
    """[H, W] the smallest segment but one: neither a speck nor the wall."""
    ids = sample.id_map.numpy()
    areas = np.bincount(ids.ravel(), minlength=len(sample.segments) + 1)[1:]
    order = [int(n) for n in np.argsort(areas) if areas[n] > 0]
    return ids == order[min(1, len(order) - 1)] + 1 if order else None
