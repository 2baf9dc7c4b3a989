"""What lies on the table: objects of a photo, found by the model or drawn, and how each came to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from seem_data.common.colors import Color, as_hex, distinct_colors
from seem_train.demo import masks, wire
from seem_train.metrics.instance import RunLengths, counts_text
from seem_train.output.draw import shade
from seem_train.prediction.conversation import Conversation
from seem_train.prediction.prompt_types import Prompts
from seem_train.prediction.vocabulary import Category

Origin = Literal["prompt", "everything", "drawn"]


@dataclass(frozen=True)
class DemoObject:
    """Never changed: what is done to an object makes another with the same `id`."""

    id: int
    revision: int  #: unlike that of any other state of any object of the session
    name: str
    color: Color
    answer: RunLengths  #: what the model said, or what was drawn first
    origin: Origin
    score: float | None = None  #: None for what people drew
    rounds: tuple[Prompts, ...] = ()  #: what was asked, for another model
    sentences: tuple[str, ...] = ()  #: words that it was found by
    conversation: Conversation | None = None  #: None: the model is to be told of the mask first
    added: RunLengths | None = None  #: by hand
    taken: RunLengths | None = None  #: by hand

    @property
    def edited(self) -> bool:
        return self.origin == "drawn" or self.added is not None or self.taken is not None

    @property
    def mask(self) -> RunLengths:
        """The answer, and over it what was drawn by hand."""
        if self.added is None and self.taken is None:
            return self.answer
        mask = masks.decode(self.answer)
        if self.added is not None:
            mask |= masks.decode(self.added)
        if self.taken is not None:
            mask &= ~masks.decode(self.taken)
        return masks.encode(mask)

    def edit(self, pixels: np.ndarray, add: bool, revision: int) -> DemoObject:
        """With pixels [H, W] bool put to it or taken from it; the later word counts."""
        mine, other = (self.added, self.taken) if add else (self.taken, self.added)
        both = masks.encode(pixels if mine is None else pixels | masks.decode(mine))
        rest = None if other is None else masks.encode(masks.decode(other) & ~pixels)
        added, taken = (both, rest) if add else (rest, both)
        return replace(self, added=added, taken=taken, conversation=None, revision=revision)

    def hear(self, prompt: wire.Prompt) -> DemoObject:
        """A click on pieces drawn by hand says that they were wrong: the model decides there again."""
        against = [(click.x, click.y) for click in prompt.points if not click.positive]
        for_it = [(click.x, click.y) for click in prompt.points if click.positive]
        added = masks.without_piece(self.added, against) if self.added and against else self.added
        taken = masks.without_piece(self.taken, for_it) if self.taken and for_it else self.taken
        return replace(self, added=added, taken=taken)

    def row(self, longest: int | None = None, with_mask: bool = True) -> wire.ObjectRow:
        mask = self.mask
        shown = masks.smaller(mask, longest) if with_mask else None
        return wire.ObjectRow(
            id=self.id,
            revision=self.revision,
            name=self.name,
            color=as_hex(self.color),
            area=masks.area(mask),
            box=masks.box(mask),
            origin=self.origin,
            edited=self.edited,
            score=None if self.score is None else round(self.score, 4),
            prompt=", ".join(self.sentences),
            mask=None
            if shown is None
            else wire.Rle((shown["size"][0], shown["size"][1]), counts_text(shown)),
        )


@dataclass(frozen=True)
class TableState:
    """All objects, later ones on top, and the categories of the last "everything"."""

    objects: tuple[DemoObject, ...] = ()
    everything: tuple[Category, ...] | None = None

    def get(self, id_: int) -> DemoObject | None:
        return next((one for one in self.objects if one.id == id_), None)

    def put(self, changed: DemoObject) -> TableState:
        """In its old place, or on top."""
        if self.get(changed.id) is None:
            return replace(self, objects=(*self.objects, changed))
        objects = tuple(changed if one.id == changed.id else one for one in self.objects)
        return replace(self, objects=objects)

    def without(self, ids: Sequence[int]) -> TableState:
        return replace(self, objects=tuple(one for one in self.objects if one.id not in ids))

    def color_of(self, name: str, categories: Sequence[Category], but: int = 0) -> Color:
        """The category's colour in a shade that is free; of an unknown name one that is far from others."""
        taken = {one.color for one in self.objects if one.id != but}
        known = next((c.color for c in categories if c.name.casefold() == name.casefold()), None)
        if known is not None:
            shades = [shade(known, number) for number in range(7)]
            return next((color for color in shades if color not in taken), shades[len(taken) % 7])
        return distinct_colors(1, taken)[0]
