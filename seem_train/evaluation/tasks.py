"""What can be measured, and how large the model sees photos for it."""

from __future__ import annotations

from typing import get_args

from seem_train.config import EvalTask
from seem_train.data.image_scale import GROUNDING, INTERACTIVE, OBJECTS, Scale

TASKS: tuple[EvalTask, ...] = get_args(EvalTask)
_ORIGINAL = {"grounding": GROUNDING, "interactive": INTERACTIVE}


def scale_of(task: EvalTask, size: int | None) -> Scale:
    """The original's size for a task, or one size for all."""
    return Scale.of(size) if size is not None else _ORIGINAL.get(task, OBJECTS)
