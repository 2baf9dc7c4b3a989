"""Which of the objects that were asked for are found at all; of the others, what to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seem_train.prediction.answers import Objects
from seem_train.prediction.prompt_types import UserPrompt


@dataclass(frozen=True)
class NotFound:
    """A prompt that nothing in a photo answers."""

    prompt: str  #: as a sentence names it: «the blue ball», or the point (10, 20)
    best: float  #: score of what comes nearest

    def __str__(self) -> str:
        return f"nothing found for {self.prompt} (best {self.best:.2f})"


def found_and_not(
    objects: Objects, asked: Sequence[UserPrompt], for_texts: float, for_marks: float
) -> tuple[Objects, list[NotFound]]:
    """Objects with a pixel at least and a score that is enough, and a sentence for each other.

    Args:
        for_texts, for_marks: least score of what has a text, and of what has none.
    """
    keep, missed = [], []
    for place, one in enumerate(asked):
        score = float(objects.scores[place])
        if objects.areas[place] and score >= (for_marks if one.text is None else for_texts):
            keep.append(place)
        else:
            missed.append(NotFound(_named(one), round(score, 4)))
    return (objects if not missed else objects.chosen(keep)), missed


def _named(one: UserPrompt) -> str:
    if one.text is not None:
        return f"«{one.text.strip()}»"
    marks = one.positive
    if marks.points:
        return f"the point {_listed(marks.points[0])}"
    if marks.boxes:
        return f"the box {_listed(marks.boxes[0])}"
    if marks.strokes:
        return f"the stroke from {_listed(marks.strokes[0][0])}"
    return "the mask" if marks.masks else "the reference"


def _listed(numbers: Sequence[float]) -> str:
    return f"({', '.join(f'{number:g}' for number in numbers)})"
