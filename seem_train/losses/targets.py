"""What the losses compare predictions with: the masks of a batch, image after image, and their meanings.

All masks of a task lie in one tensor, the images' masks one after another; `counts` (Python integers) says
how many belong to each image. Sizes are therefore known without asking the device anything.

N masks of the batch in all, (H, W) the padded image size (predictions may be coarser).
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal

from torch import Tensor

GroundingMode = Literal["text", "class"]


@dataclass(frozen=True)
class ObjectTargets:
    """The segments of every image: what the object queries should find."""

    masks: Tensor  #: [N, H, W] bool or uint8 (0 and 1)
    categories: Tensor  #: [N] int64, index into the category list (the background is not one of them)
    counts: tuple[int, ...]  #: segments of each image; sums to N


@dataclass(frozen=True)
class GroundingTargets:
    """The phrases of every image and the mask each of them means.

    `groups` replaces the original's salted ``hash(text)`` (`model/ORIGINAL.md`, fault 14): phrases of an
    image with equal numbers read the same and share each other's masks as positives.
    """

    masks: Tensor  #: [N, H, W] bool or uint8 (0 and 1; the original let 255 in from padding)
    groups: Tensor  #: [N] int64, equal within an image where the texts are equal
    modes: tuple[GroundingMode, ...]  #: per image: sentences of annotators, or class names
    counts: tuple[int, ...]  #: phrases of each image; sums to N; an image may have none


@dataclass(frozen=True)
class SpatialTargets:
    """The object that each spatial prompt means."""

    masks: Tensor  #: [N, H, W] bool or uint8 (0 and 1)
    present: tuple[bool, ...]  #: [N] False where the mask is empty; such prompts are not learned from
    counts: tuple[int, ...]  #: prompts of each image; sums to N


@dataclass(frozen=True)
class Sizes:
    """How many things there are to learn from; known before any mask is made."""

    segments: tuple[int, ...]  #: of each image
    phrases: tuple[int, ...] | None  #: of each image; None: grounding is not trained
    prompts: int  #: spatial prompts with a mask


@dataclass(frozen=True)
class Targets:
    objects: ObjectTargets
    grounding: GroundingTargets | None = None
    spatial: SpatialTargets | None = None

    @property
    def sizes(self) -> Sizes:
        return Sizes(
            segments=self.objects.counts,
            phrases=self.grounding.counts if self.grounding else None,
            prompts=sum(self.spatial.present) if self.spatial else 0,
        )


@dataclass(frozen=True)
class LossCounts:
    """What the sums of a step are divided by. Counts of micro-batches and of ranks add up.

    With gradient accumulation divide every micro-batch by the sum over them; under DDP, which averages
    gradients over ranks, divide by ``total.over(world_size)``: then R ranks and A micro-batches give exactly
    the gradient of one process with the whole batch. (The original averages only the number of segments over
    ranks, and divides every micro-batch by its own.)
    """

    segments: float = 0.0  #: ground-truth segments
    labels: float = 0.0  #: class weights of all object queries
    phrases: float = 0.0  #: phrases matched to a query
    grounded_images: float = 0.0  #: images with at least one phrase
    prompts: float = 0.0  #: spatial prompts with a mask

    def __add__(self, other: LossCounts) -> LossCounts:
        return LossCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def over(self, parts: int) -> LossCounts:
        return LossCounts(*(value / parts for value in astuple(self)))
