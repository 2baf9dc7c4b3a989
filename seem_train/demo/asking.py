"""What people mark and write ─▶ what the model is asked, in rounds; and whether an answer is one."""

from __future__ import annotations

import numpy as np

from seem_train.demo import masks
from seem_train.demo.objects import DemoObject
from seem_train.demo.wire import Prompt
from seem_train.errors import UserError
from seem_train.prediction.answers import Objects
from seem_train.prediction.conversation import Conversation
from seem_train.prediction.predictor import Predictor
from seem_train.prediction.prompt_types import Prompts


class NothingFoundError(UserError):
    """Nothing in the photo answers what was asked; the table is as it was.

    Args:
        best: score of what comes nearest.
    """

    def __init__(self, reason: str, best: float = 0.0) -> None:
        super().__init__(reason)
        self.best = best


def as_prompts(prompt: Prompt, reference: np.ndarray | None) -> Prompts:
    """
    Args:
        reference: the photo [H, W, 3] that `prompt.reference` is drawn on, if there is one.

    Raises:
        UserError: the prompt is empty, or there is no photo for its reference.
    """
    shown = None
    if prompt.reference:
        if reference is None:
            raise UserError("there is no reference photo; send one before drawing on it")
        size = reference.shape[0], reference.shape[1]
        drawn = np.zeros(size, bool)
        for vertices in prompt.reference:
            drawn |= masks.polygon(size, vertices)
        shown = reference, drawn
    strokes = [[(x, y, int(stroke.positive)) for x, y in stroke.line] for stroke in prompt.strokes]
    read = Prompts(
        text=prompt.text,
        points=[(click.x, click.y, int(click.positive)) for click in prompt.points] or None,
        boxes=prompt.box,
        strokes=[strokes] if strokes else None,
        reference=shown,
    )
    if not read:
        raise UserError("the prompt is empty; give text, points, a box, strokes or a reference")
    return read


def starts_from_mask(one: DemoObject, prompts: Prompts) -> bool:
    """Whether the model is told of the mask anew: it was drawn, or found by words, which marks on their own
    then correct. (In the v1 models words choose one of the model's regions, which no mark would change.)"""
    if one.conversation is None:
        return True
    return prompts.text is None and any(asked.text is not None for asked in one.conversation.asked)


def go_on(predictor: Predictor, conversation: Conversation, prompts: Prompts) -> Objects:
    """A further round."""
    predictor.resume(conversation)
    return predictor.refine(**vars(prompts))
