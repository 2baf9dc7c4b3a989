"""The table as files to take away: a picture, COCO panoptic, COCO instances, LabelMe."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from seem_data.writers import MarkedSegment, WrittenPhoto, coco, labelme
from seem_train.demo import masks
from seem_train.demo.session import DemoSession
from seem_train.errors import UserError
from seem_train.model.postprocess import PanopticSegment
from seem_train.output import draw
from seem_train.prediction.answers import Panoptic
from seem_train.prediction.vocabulary import Category, with_names


@dataclass(frozen=True)
class SavedFile:
    name: str
    media_type: str
    content: bytes


def save(session: DemoSession, form: str) -> SavedFile:
    """
    Args:
        form: one of `FORMS`.

    Raises:
        UserError: there is no such form, or nothing on the table.
    """
    if form not in FORMS:
        raise UserError(f"{form!r} is no form that can be saved; there are: {', '.join(FORMS)}")
    if not session.state.objects:
        raise UserError("there is nothing on the table to be saved")
    return FORMS[form](session)


def segments_of(session: DemoSession, with_scores: bool = True) -> list[MarkedSegment]:
    """What the writers of `seem_data` take, later ones on top.

    Args:
        with_scores: of the model; without for what a person has looked through and kept.
    """
    return [
        MarkedSegment(
            one.name,
            masks.decode(one.mask),
            score=one.score if with_scores else None,
            sentences=one.sentences,
        ).cropped()
        for one in session.state.objects
    ]


def categories_of(session: DemoSession) -> tuple[Category, ...]:
    """The model's, and names that people gave."""
    return with_names(session.categories, (one.name for one in session.state.objects))


def _stem(session: DemoSession) -> str:
    return PurePosixPath(session.name).stem or "photo"


def _photo(session: DemoSession) -> WrittenPhoto:
    return WrittenPhoto(session.name, (session.size[1], session.size[0]))


def _overlay(session: DemoSession) -> SavedFile:
    regions = [draw.Tinted(masks.decode(o.mask), o.color, o.name) for o in session.state.objects]
    picture = draw.overlay(session.pixels(), regions)
    _, encoded = cv2.imencode(".png", picture[..., ::-1])
    return SavedFile(f"{_stem(session)}.overlay.png", "image/png", encoded.tobytes())


def _panoptic(session: DemoSession) -> SavedFile:
    """A ZIP of panoptic.json and panoptic/NAME.png."""
    categories = categories_of(session)
    place = {category.name.casefold(): number for number, category in enumerate(categories)}
    id_map = np.zeros(session.size, np.int32)
    for number, one in enumerate(session.state.objects, start=1):
        id_map[masks.decode(one.mask)] = number
    segments = []
    for number, one in enumerate(session.state.objects, start=1):
        index, area = place[one.name.casefold()], int((id_map == number).sum())
        score = 1.0 if one.score is None else one.score
        if area:
            isthing = categories[index].isthing
            segments.append(PanopticSegment(number, index, isthing, score, area))
    new_id = np.zeros(len(session.state.objects) + 1, np.int32)
    new_id[[segment.id for segment in segments]] = np.arange(1, len(segments) + 1)
    segments = [replace(segment, id=number) for number, segment in enumerate(segments, start=1)]
    result = Panoptic(session.pixels(), categories, session.name, id_map=new_id[id_map], segments=segments)
    packed = io.BytesIO()
    with (
        tempfile.TemporaryDirectory() as scratch,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped,
    ):
        folder = Path(scratch) / "saved"
        result.save(folder)
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                zipped.write(file, file.relative_to(folder).as_posix())
    return SavedFile(f"{_stem(session)}.panoptic.zip", "application/zip", packed.getvalue())


def _coco(session: DemoSession) -> SavedFile:
    content = coco.encode([(_photo(session), segments_of(session))], categories_of(session))
    return SavedFile(f"{_stem(session)}.coco.json", "application/json", content)


def _labelme(session: DemoSession) -> SavedFile:
    content = labelme.encode(_photo(session), segments_of(session))
    return SavedFile(f"{_stem(session)}.json", "application/json", content)


FORMS: dict[str, Callable[[DemoSession], SavedFile]] = {
    "overlay": _overlay,
    "panoptic": _panoptic,
    "coco": _coco,
    "labelme": _labelme,
}
