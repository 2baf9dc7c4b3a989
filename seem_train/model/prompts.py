"""Prompts: what a user says and draws.

`ObjectPrompt`  what a user gives for one object: points, boxes, strokes, polygons, masks; for and against
`ImagePrompts`  all prompts of one image: texts, and one positive and one negative mask for each object

As in the original everything drawn becomes pixels: a point is a small square, a stroke a line of some
width, a box or polygon its filled inside. `prepare` then draws some of these pixels and pads the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import cv2
import numpy as np
import torch
from torch import Tensor

from seem_train.errors import UserError
from seem_train.model.language import TextEmbeddings

Point = tuple[float, float]


@dataclass(frozen=True)
class Marks:
    """What is drawn on an image; coordinates (x, y) in pixels of the image, from its top left corner."""

    points: Sequence[Point] = ()
    boxes: Sequence[tuple[float, float, float, float]] = ()  #: left, top, right, bottom; filled
    strokes: Sequence[Sequence[Point]] = ()  #: lines through their vertices
    polygons: Sequence[Sequence[Point]] = ()  #: filled
    masks: Sequence[Tensor | np.ndarray] = ()  #: [H, W], true or non-zero inside
    point_size: int = 3  #: side of the square painted for a point, as the original paints its clicks
    stroke_width: int = 5

    def check(self, height: int, width: int) -> None:
        """Raises UserError: a mark lies outside an image of that size."""
        for what, marks in (("point", [self.points]), ("stroke", self.strokes), ("polygon", self.polygons)):
            for x, y in (p for mark in marks for p in mark):
                if not (0 <= x < width and 0 <= y < height):
                    raise UserError(
                        f"{what} ({x:g}, {y:g}) lies outside the image, which is {width} × {height} pixels"
                    )
        for left, top, right, bottom in self.boxes:
            if not (left < min(right, width) and top < min(bottom, height) and right > 0 and bottom > 0):
                raise UserError(
                    f"box ({left:g}, {top:g}, {right:g}, {bottom:g}) holds no pixel of the image, which is "
                    f"{width} × {height}; give left, top, right, bottom"
                )

    def paint(self, height: int, width: int) -> Tensor:
        """[height, width] boolean union of all marks; a mark outside the image is an error."""
        self.check(height, width)
        canvas = np.zeros((height, width), np.uint8)
        reach = self.point_size // 2
        for x, y in self.points:
            column, row = int(x), int(y)
            canvas[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1] = 1
        for left, top, right, bottom in self.boxes:
            inside = int(max(left, 0)), int(max(top, 0)), ceil(min(right, width)), ceil(min(bottom, height))
            canvas[inside[1] : inside[3], inside[0] : inside[2]] = 1
        for stroke in self.strokes:
            vertices = np.asarray(stroke, float).astype(np.int32).reshape(-1, 1, 2)
            if len(vertices) == 1:  # a tap; OpenCV draws nothing for a line of one vertex
                vertices = vertices.repeat(2, axis=0)
            cv2.polylines(canvas, [vertices], isClosed=False, color=1, thickness=self.stroke_width)
        for polygon in self.polygons:
            vertices = np.asarray(polygon, float).astype(np.int32).reshape(-1, 1, 2)
            cv2.fillPoly(canvas, [vertices], color=1)
        painted = torch.from_numpy(canvas).bool()
        for mask in self.masks:
            mask = torch.as_tensor(mask)
            if mask.shape != painted.shape:
                raise UserError(
                    f"a prompt mask is {_size(mask)}, the image {_size(painted)} (height × width)"
                )
            painted |= mask.cpu() != 0
        return painted


@dataclass(frozen=True)
class ObjectPrompt:
    """One object as a user points at it: marks on it, and marks on what it is not."""

    positive: Marks = field(default_factory=Marks)
    negative: Marks = field(default_factory=Marks)
    previous: Tensor | None = None  #: [h, w] mask logits of the last round (stride 4), as memory


@dataclass(frozen=True)
class RegionTokens:
    """Tokens taken from an image's features under marks; of a reference image, they prompt another image.

    Made by `SEEM.encode_regions`. Levels run from coarse to fine.
    """

    levels: tuple[Tensor, ...]  #: [B, S, D] each
    owners: tuple[Tensor, ...]  #: [B, S] each: the object a token belongs to; −1 for padding
    positive: Tensor  #: [B, K, D] mean mask feature under the positive marks; −1 where there are none
    negative: Tensor  #: [B, K, D] likewise for the negative marks


@dataclass(frozen=True)
class ImagePrompts:
    """All prompts of one image; K objects."""

    texts: Sequence[str] | TextEmbeddings = ()
    positive: Tensor | None = None  #: [K, H, W] boolean; size of the image, or of the padded batch
    negative: Tensor | None = None  #: [K, H, W]; none: no negative marks
    previous: Tensor | None = None  #: [≥K, h, w] mask logits, a row of `SEEM.refine`; none: no memory
    reference: RegionTokens | None = None  #: of one image (B = 1); object k means the same in all fields

    @classmethod
    def of(
        cls,
        objects: Sequence[ObjectPrompt],
        size: tuple[int, int],
        texts: Sequence[str] | TextEmbeddings = (),
    ) -> ImagePrompts:
        """From what a user gave; `size` is the image's (height, width)."""
        if not objects:
            return cls(texts=texts)
        positive = torch.stack([o.positive.paint(*size) for o in objects])
        negative = torch.stack([o.negative.paint(*size) for o in objects])
        for number, painted in enumerate((positive | negative).flatten(1).any(1).tolist()):
            if not painted:
                raise UserError(f"object {number} has no mark: give it a point, box, stroke, polygon or mask")
        given = [o.previous for o in objects if o.previous is not None]
        previous = None
        if given:
            unknown = torch.zeros_like(given[0])
            previous = torch.stack([unknown if o.previous is None else o.previous for o in objects])
        return cls(texts=texts, positive=positive, negative=negative, previous=previous)

    @property
    def objects(self) -> int:
        """K."""
        if self.positive is not None:
            return self.positive.shape[0]
        return 0 if self.reference is None else self.reference.positive.shape[1]


def _size(mask: Tensor) -> str:
    return " × ".join(str(n) for n in mask.shape)
