"""Many photos through a predictor, and what is written of them.

::

    OUT/
      overlays/NAME.panoptic.png …   pictures to look at
      panoptic.json  panoptic/       COCO panoptic, as panopticapi reads it
      semantic/  categories.json     a PNG of category indices for each photo
      instances.json  prompts.json   COCO: masks as run lengths, with scores
      labelme/ (or coco/ …)          annotations to correct in that tool, if they are wanted
      contact_sheet.png              all overlays at a glance, if there is more than one photo
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from seem_data.layout import ImageRecord
from seem_train.data.read_ahead import read_ahead
from seem_train.errors import UserError
from seem_train.files import make_folder, write_image
from seem_train.output import draw
from seem_train.output.panoptic_files import PanopticFiles, PanopticRows
from seem_train.prediction.answers import (
    Objects,
    Panoptic,
    Prediction,
    Semantic,
    write_categories,
    write_labels,
    write_objects,
)
from seem_train.prediction.embedding import EmbeddedPhoto
from seem_train.prediction.found import NotFound, found_and_not
from seem_train.prediction.photo import open_photo
from seem_train.prediction.predictor import Predictor
from seem_train.prediction.prompt_types import Prompts, UserPrompt
from seem_train.prediction.proposals.writing import Proposals
from seem_train.prediction.review import ReviewPhoto, how_unsure
from seem_train.prediction.user_prompts import read_prompts
from seem_train.ranges import MAX_PIXELS

OVERLAY = 2048  #: longer side of overlays at most, in pixels
SHEET, SHEET_HEIGHT = 120, 240  #: photos on a contact sheet at most, and their height


@dataclass(frozen=True)
class PredictRequest:
    """What to answer for each photo."""

    panoptic: bool = False
    semantic: bool = False
    instances: bool = False
    prompts: Prompts = field(default_factory=Prompts)
    object_threshold: float | None = None
    overlap_threshold: float | None = None
    min_score: float = 0.3  #: of instances
    min_text_score: float = 0.0  #: of what a text means; in any case it has a pixel
    min_mark_score: float = 0.0  #: of what is pointed at without a text
    max_pixels: int = MAX_PIXELS  #: photos of more are left out
    annotations: str | None = None  #: also write what is found as annotations of this format


@dataclass
class Outcome:
    rows: list[dict[str, Any]] = field(default_factory=list)  #: one for each photo that was answered
    problems: list[str] = field(default_factory=list)  #: a sentence for each that was not
    reviewed: list[ReviewPhoto] = field(default_factory=list)  #: those with a panoptic answer

    def never_found(self) -> list[str]:
        """Prompts that no photo answers."""
        missed = [{row["prompt"] for row in photo.get("not_found", ())} for photo in self.rows]
        return sorted(set.intersection(*missed)) if missed else []


def predict(
    predictor: Predictor,
    photos: Sequence[Path],
    wanted: PredictRequest,
    out: Path,
    batch: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Answer all photos that can be read, and write it down; what was answered is kept if it is broken off.

    Args:
        batch: photos that the model looks at together, where it sees them at one size.
        progress: called with the number of photos done.

    Raises:
        UserError: the folder cannot be written to.
    """
    outcome = Outcome()
    with _Writer(out, predictor, len(photos), wanted) as writer:
        names = _names(photos)
        done, read = 0, _read(photos, wanted)
        while chunk := list(islice(read, batch)):
            readable = []
            for place, photo in chunk:
                if isinstance(photo, UserError):
                    outcome.problems.append(_of(photos[place], photo))
                else:
                    readable.append((place, photo))
            looked_at = predictor.embed([photo for _, photo in readable])
            for (place, _), embedded in zip(readable, looked_at, strict=True):
                try:
                    answers, missed = _answer(predictor, embedded, wanted)
                except UserError as error:
                    outcome.problems.append(_of(photos[place], error))
                    continue
                if isinstance(answer := answers.get("panoptic"), Panoptic):
                    picture = writer.picture(names[place], "panoptic")
                    outcome.reviewed.append(ReviewPhoto(names[place][0], how_unsure(answer), picture))
                row = writer.write(place + 1, photos[place], names[place], answers)
                outcome.rows.append(row | ({"not_found": [vars(one) for one in missed]} if missed else {}))
            done += len(chunk)
            if progress is not None:
                progress(done)
    return outcome


def _answer(
    predictor: Predictor, embedded: EmbeddedPhoto, wanted: PredictRequest
) -> tuple[dict[str, Prediction], list[NotFound]]:
    missed: list[NotFound] = []
    predictor.set_image(embedded)
    answers: dict[str, Prediction] = {}
    if wanted.panoptic:
        answers["panoptic"] = predictor.panoptic(
            object_threshold=wanted.object_threshold, overlap_threshold=wanted.overlap_threshold
        )
    if wanted.semantic:
        answers["semantic"] = predictor.semantic()
    if wanted.instances:
        answers["instances"] = predictor.instances(min_score=wanted.min_score)
    if wanted.prompts:
        asked = read_prompts(embedded.size, wanted.prompts)
        objects = predictor.segment_prompts(wanted.prompts)
        answers["prompts"], missed = found_and_not(
            objects, asked, wanted.min_text_score, wanted.min_mark_score
        )
    return answers, missed


class _Writer:
    """Files of one run; lists that span photos are written when it closes, also after an error."""

    def __init__(self, out: Path, predictor: Predictor, photos: int, wanted: PredictRequest) -> None:
        self._out, self._categories, self._photos = out, predictor.categories, photos
        self._prompts = wanted.prompts
        self._proposals: Proposals | None = None
        if form := wanted.annotations:
            self._proposals = Proposals(form, out / form, predictor.categories, wanted.prompts)
        self._panoptic: tuple[PanopticFiles, list[PanopticRows]] | None = None
        self._objects: dict[str, list[tuple[ImageRecord, Objects]]] = {}
        self._is_semantic = False
        self._sheet: list[tuple[np.ndarray, str]] = []

    def __enter__(self) -> _Writer:
        make_folder(self._out)
        return self

    def __exit__(self, *_: object) -> None:
        if self._panoptic is not None:
            self._panoptic[0].finish(self._panoptic[1])
        for task, answers in self._objects.items():
            write_objects(self._out / f"{task}.json", answers)
        if self._is_semantic:
            write_categories(self._out, self._categories)
        if self._photos > 1 and self._sheet:
            pictures, captions = zip(*self._sheet, strict=True)
            sheet = draw.contact_sheet(pictures, captions, height=SHEET_HEIGHT)
            write_image(self._out / "contact_sheet.png", sheet)
        if self._proposals is not None:
            self._proposals.close()

    def write(
        self, image_id: int, photo: Path, name: tuple[str, str], answers: Mapping[str, Prediction]
    ) -> dict[str, Any]:
        """One photo's files, and its row for the reader.

        Args:
            name: the photo's, its files' without suffix.

        Raises:
            UserError: the photo cannot be read again, or nothing be written.
        """
        file_name, stem = name
        row: dict[str, Any] = {"file": file_name}
        for task, answer in answers.items():
            height, width = answer.size
            record = ImageRecord(image_id, file_name, width, height, f"{stem}.png", ())
            row |= {"width": width, "height": height, task: _rows(answer)}
            unsure = isinstance(answer, Panoptic) and answer.best_score <= answer.object_threshold
            if isinstance(answer, Panoptic) and unsure and not answer.segments:
                sure = answer.object_threshold
                row |= {"best_score": round(answer.best_score, 4), "object_threshold": sure}
            if self._proposals is not None:
                self._proposals.add(photo, file_name, answer, asked_for=task == "prompts")
            self._keep(task, answer, record)
            picture = answer.draw(longest=OVERLAY)
            if task == "prompts":
                asked = read_prompts(answer.size, self._prompts)
                picture = _with_marks(picture, asked, picture.shape[1] / width)
            write_image(self.picture(name, task), picture)
            if self._photos > 1 and len(self._sheet) < SHEET:
                share = min(1.0, SHEET_HEIGHT / picture.shape[0])
                small = answer.draw(longest=max(1, round(share * max(picture.shape[:2]))))
                self._sheet.append((small, f"{file_name} · {task}" if len(answers) > 1 else file_name))
        return row

    def picture(self, name: tuple[str, str], task: str) -> Path:
        """Where the picture of an answer lies."""
        return self._out / "overlays" / f"{name[1]}.{task}.png"

    def _keep(self, task: str, answer: Prediction, record: ImageRecord) -> None:
        if isinstance(answer, Panoptic):
            if self._panoptic is None:
                self._panoptic = PanopticFiles(self._out, self._categories), []
            self._panoptic[1].append(self._panoptic[0].write(record, answer.id_map, answer.segments))
        elif isinstance(answer, Semantic):
            self._is_semantic = True
            write_labels(self._out / "semantic" / record.panoptic_name, answer.labels, len(answer.categories))
        elif isinstance(answer, Objects):
            self._objects.setdefault(task, []).append((record, answer.without_photo()))


def _rows(answer: Prediction) -> list[dict[str, Any]]:
    """What was found, for the screen and for JSON."""
    if isinstance(answer, Panoptic):
        return [
            {"id": s.id, "name": answer.name(s), "score": round(s.score, 4), "area": s.area}
            for s in answer.segments
        ]
    if isinstance(answer, Semantic):
        return [{"name": name, "area": area} for name, area in answer.areas.items()]
    assert isinstance(answer, Objects)
    return [
        {"name": name, "score": round(float(score), 4), "area": int(area), "box": box.tolist()}
        for name, score, area, box in zip(
            answer.names, answer.scores, answer.areas, answer.boxes, strict=True
        )
    ]


def _with_marks(picture: np.ndarray, asked: Sequence[UserPrompt], scale: float) -> np.ndarray:
    points: list[tuple[float, float, bool]] = []
    boxes: list[tuple[float, float, float, float]] = []
    lines: list[list[tuple[float, float]]] = []
    for one in asked:
        for is_for, marks in ((True, one.positive), (False, one.negative)):
            points += [(x * scale, y * scale, is_for) for x, y in marks.points]
            boxes += [(x * scale, y * scale, r * scale, b * scale) for x, y, r, b in marks.boxes]
            lines += [[(x * scale, y * scale) for x, y in line] for line in marks.strokes]
    return draw.draw_marks(picture, points, boxes, lines)


def _read(photos: Sequence[Path], wanted: PredictRequest) -> Iterator[tuple[int, np.ndarray | UserError]]:
    """The photos in order, read ahead; or what is wrong with one, or with the prompts on one of its size."""

    def read(place: int) -> np.ndarray:
        photo = open_photo(photos[place], wanted.max_pixels)
        if wanted.prompts:
            read_prompts((photo.shape[0], photo.shape[1]), wanted.prompts)
        return photo

    return read_ahead(range(len(photos)), read)


def _names(photos: Sequence[Path]) -> list[tuple[str, str]]:
    """What each photo is called below the folder they share, and a name without suffix that no other has."""
    parents = {str(photo.absolute().parent) for photo in photos}
    root = os.path.commonpath(parents) if parents else ""
    names = [Path(os.path.relpath(photo.absolute(), root)) for photo in photos]
    stems = [name.with_suffix("").as_posix() for name in names]
    count = Counter(stems)
    return [
        (name.as_posix(), stem if count[stem] == 1 else name.as_posix().replace(".", "_"))
        for name, stem in zip(names, stems, strict=True)
    ]


def _of(photo: Path, error: UserError) -> str:
    text = str(error)
    return text if text.startswith(str(photo)) else f"{photo}: {text}"
