"""The prompts that `Predictor.segment` takes, and what each becomes for one object.

The k-th text, group of points, box, stroke, mask and reference speak of the same object, k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import torch

from seem_train.model.prompts import Marks
from seem_train.prediction.photo import PhotoSource

#: (x, y) on an object, (x, y, 0) on what it is not; pixels of the photo from its top left corner
Point: TypeAlias = "tuple[float, float] | tuple[float, float, int]"
Box: TypeAlias = "tuple[float, float, float, float]"  #: left, top, right, bottom; right and bottom outside
Mask: TypeAlias = "np.ndarray | torch.Tensor"  #: [H, W] of the photo's size, true or not zero inside
Line: TypeAlias = "Sequence[Point]"  #: a line drawn over an object, vertex by vertex
Stroke: TypeAlias = "Line | Sequence[Line] | Mask"  #: all that is drawn over one object
Reference: TypeAlias = "tuple[PhotoSource, Mask]"  #: another photo, and [H, W] or [K, H, W] what is meant

# What a keyword of `segment` takes: that of one object, or a list with None where an object has none.
Texts: TypeAlias = "str | Sequence[str | None]"
Points: TypeAlias = "Point | Sequence[Point] | Sequence[Sequence[Point] | None] | np.ndarray | torch.Tensor"
Boxes: TypeAlias = "Box | Sequence[Box | None] | np.ndarray | torch.Tensor"
Strokes: TypeAlias = "Stroke | Sequence[Stroke | None]"
Masks: TypeAlias = "Mask | Sequence[Mask | None]"
References: TypeAlias = "Reference | Sequence[Reference | None]"


@dataclass(frozen=True)
class Prompts:
    """What is looked for in a photo, as the arguments of `Predictor.segment`; None: not given."""

    text: Texts | None = None
    points: Points | None = None
    boxes: Boxes | None = None
    strokes: Strokes | None = None
    masks: Masks | None = None
    reference: References | None = None

    def __bool__(self) -> bool:
        return bool(self.given())

    def texts(self) -> list[str | None]:
        """One for each object; none where no text is given."""
        return [self.text] if isinstance(self.text, str) else list(self.text or ())

    def given(self) -> dict[str, object]:
        """The kinds that are given: neither None nor an empty list."""
        return {kind: value for kind, value in vars(self).items() if not _is_nothing(value)}


@dataclass(frozen=True)
class UserPrompt:
    """What a user gives for one object; marks in pixels of the photo."""

    text: str | None = None
    positive: Marks = field(default_factory=Marks)
    negative: Marks = field(default_factory=Marks)
    reference: tuple[PhotoSource, np.ndarray] | None = None  #: another photo, and its mask [H, W] bool

    @property
    def is_marked(self) -> bool:
        return any_marks(self.positive) or any_marks(self.negative)

    def plus(self, other: UserPrompt) -> UserPrompt:
        """With what a further round adds; a new text or reference takes the place of the old."""
        return UserPrompt(
            other.text or self.text,
            _joined(self.positive, other.positive),
            _joined(self.negative, other.negative),
            other.reference or self.reference,
        )


def _is_nothing(value: object) -> bool:
    if isinstance(value, np.ndarray | torch.Tensor):
        return value.ndim > 0 and len(value) == 0
    return value is None or (isinstance(value, Sequence) and not isinstance(value, str) and not value)


def any_marks(marks: Marks) -> bool:
    return any(len(kind) for kind in (marks.points, marks.boxes, marks.strokes, marks.masks))


def _joined(one: Marks, two: Marks) -> Marks:
    return Marks(
        points=[*one.points, *two.points],
        boxes=[*one.boxes, *two.boxes],
        strokes=[*one.strokes, *two.strokes],
        masks=[*one.masks, *two.masks],
    )
