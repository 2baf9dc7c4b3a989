"""Answers ─▶ annotations that people correct in the tool they know, and that seem-data reads again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seem_data.writers import MarkedSegment, WrittenPhoto, open_writer
from seem_train.errors import told_by_data
from seem_train.prediction.answers import Objects, Panoptic, Prediction, Semantic
from seem_train.prediction.predictor import UNNAMED
from seem_train.prediction.prompt_types import Prompts, UserPrompt
from seem_train.prediction.proposals.format import check_format
from seem_train.prediction.user_prompts import read_prompts
from seem_train.prediction.vocabulary import Category, with_names


class Proposals:
    """The annotations of one run.

    Args:
        folder: a new one.
        categories: what the model was asked for.
        prompts: what it was asked for with, if so; words become categories where they name none.

    Raises:
        UserError: see `check_format`.
    """

    def __init__(self, form: str, folder: Path, categories: Sequence[Category], prompts: Prompts) -> None:
        check_format(form, folder)
        self._prompts = prompts
        texts = [text or UNNAMED for text in prompts.texts() or ("",)] if prompts else []
        self._categories = with_names(categories, (label_of(text, categories) for text in texts))
        self._writer = open_writer(form, folder, self._categories)

    def add(self, photo: Path, name: str, answer: Prediction, asked_for: bool = False) -> None:
        """
        Args:
            name: of the photo, relative to the folder that all photos share.
            asked_for: whether the answer is what the prompts found.

        Raises:
            UserError: the photo cannot be read again, or nothing be written.
        """
        height, width = answer.size
        with told_by_data():
            asked = read_prompts(answer.size, self._prompts) if asked_for else []
            segments = marked_segments(answer, self._categories, asked)
            self._writer.add(WrittenPhoto(name, (width, height), photo), segments)

    def close(self) -> None:
        with told_by_data():
            self._writer.close()


def marked_segments(
    answer: Prediction, categories: Sequence[Category], asked: Sequence[UserPrompt] = ()
) -> list[MarkedSegment]:
    """What was found, the surest on top.

    Args:
        categories: what objects may be labelled.
        asked: of each object, if it was asked for.
    """
    if isinstance(answer, Panoptic):
        return [
            MarkedSegment(answer.name(segment), answer.mask(segment), score=segment.score).cropped()
            for segment in sorted(answer.segments, key=lambda segment: segment.score)
        ]
    if isinstance(answer, Semantic):
        found = np.unique(answer.labels).tolist()
        return [
            MarkedSegment(answer.categories[index].name, answer.labels == index).cropped() for index in found
        ]
    assert isinstance(answer, Objects)
    segments = []
    for index in np.argsort(answer.scores, kind="stable").tolist():
        name = answer.names[index]
        label = label_of(name, categories)
        sentences = () if label.casefold() == name.casefold() else (name,)
        score, prompt = float(answer.scores[index]), _spelled(asked[index]) if asked else ""
        segment = MarkedSegment(label, answer.mask(index), score=score, sentences=sentences, prompt=prompt)
        segments.append(segment.cropped())
    return segments


def label_of(text: str, categories: Sequence[Category]) -> str:
    """The category that a text names: itself, or the longest one that is a word of it, or else the text."""
    names = sorted((category.name for category in categories), key=len, reverse=True)
    same = [name for name in names if name.casefold() == text.casefold()]
    within = [name for name in names if re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE)]
    return (same or within or [text])[0]


def _spelled(prompt: UserPrompt) -> str:
    """What was drawn to ask for an object, in a line: ``"point 310,240; not point 290,300"``."""
    said = []
    for sign, marks in (("", prompt.positive), ("not ", prompt.negative)):
        said += [f"{sign}point {x:g},{y:g}" for x, y in marks.points]
        said += [f"{sign}box {','.join(f'{side:g}' for side in box)}" for box in marks.boxes]
        said += [f"{sign}stroke" for _ in marks.strokes] + [f"{sign}mask" for _ in marks.masks]
    return "; ".join(said + ["reference"] * (prompt.reference is not None))
