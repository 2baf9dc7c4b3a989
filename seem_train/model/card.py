"""What a fine-tuned model says about itself: model, strategy, the weights below it, categories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from seem_train.adapters.layers import Placement

FORMAT = 1


class _Named(TypedDict):
    id: int
    name: str


class CardCategory(_Named, total=False):
    """A category as COCO's panoptic files write it."""

    color: list[int]
    isthing: int
    supercategory: str


class Preprocessing(TypedDict, total=False):
    """How photos were prepared; sizes are shorter sides in pixels."""

    size: int  #: of the crops that were trained on
    eval_size: int  #: at which photos were evaluated, and are best predicted
    pixel_mean: list[float]
    pixel_std: list[float]


@dataclass(frozen=True)
class Base:
    """The weights an adapter stands on: a file or folder, as it was named, and its content's SHA-256."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Card:
    """What ``adapter.json`` says; and the metadata of plain weights that were made of an adapter folder."""

    model: str  #: preset
    strategy: str
    placement: Placement
    base: Base
    categories: tuple[CardCategory, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    step: int = 0
    parameters: int = 0  #: values that were trained; 0: not said
    tool: str = ""
    format: int = FORMAT

    @property
    def photo_size(self) -> int | None:
        """Shorter side at which photos are best predicted: that of the run's evaluations."""
        return self.preprocessing.get("eval_size")
