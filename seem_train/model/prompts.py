"""Prompts: what a user says and draws, made into the tensors that the decoder takes.

Three steps, each a type of its own:

`ObjectPrompt`    what a user gives for one object: points, boxes, strokes, polygons, masks; for and against
`ImagePrompts`    all prompts of one image: texts, and one positive and one negative mask for each object
`PreparedPrompts` a whole batch on the model's device, every random draw made (`prepare`)

As in the original everything drawn becomes pixels: a point is a small square, a stroke a line of some
width, a box or polygon its filled inside. At most `max_points` of these pixels are then drawn for each image,
each object having the same share of the chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch import Tensor

from seem_train.errors import UserError
from seem_train.model.config import DecoderConfig
from seem_train.model.draws import Draws
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

    def paint(self, height: int, width: int) -> Tensor:
        """[height, width] boolean union of all marks; a mark outside the image is an error."""
        canvas = np.zeros((height, width), np.uint8)
        for what, marks in (("point", [self.points]), ("stroke", self.strokes), ("polygon", self.polygons)):
            for x, y in (p for mark in marks for p in mark):
                if not (0 <= x < width and 0 <= y < height):
                    raise UserError(
                        f"{what} ({x:g}, {y:g}) lies outside the image, which is {width} × {height} pixels"
                    )
        reach = self.point_size // 2
        for x, y in self.points:
            column, row = int(x), int(y)
            canvas[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1] = 1
        for left, top, right, bottom in self.boxes:
            x0, y0 = max(round(left), 0), max(round(top), 0)
            x1, y1 = min(round(right), width), min(round(bottom), height)
            if x0 >= x1 or y0 >= y1:
                raise UserError(
                    f"box ({left:g}, {top:g}, {right:g}, {bottom:g}) holds no pixel of the image, which is "
                    f"{width} × {height}; give left, top, right, bottom"
                )
            canvas[y0:y1, x0:x1] = 1
        for stroke in self.strokes:
            vertices = np.asarray(stroke, float).astype(np.int32).reshape(-1, 1, 2)
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
    previous: Tensor | None = None  #: [K, h, w] mask logits of the last round; none: no memory
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


@dataclass(frozen=True)
class SampledPixels:
    """Prompt pixels of a batch, drawn once; S the largest number in an image."""

    points: Tensor  #: [B, S, 2] (x, y) as shares of the padded width and height
    owners: Tensor  #: [B, S] the object a pixel belongs to; −1 for padding
    positive: Tensor  #: [B, S] boolean


@dataclass(frozen=True)
class PreparedPrompts:
    """A batch of prompts, ready for the decoder; K the largest number of objects in an image."""

    objects: int = 0  #: K
    texts: Tensor | None = None  #: [B, T, D] tokens of all texts of an image, zero-padded
    texts_real: Tensor | None = None  #: [B, T] false for padding
    pixels: tuple[SampledPixels, ...] = ()  #: for each level, then for the mean; empty: no marks
    reference: RegionTokens | None = None
    queries: Tensor | None = None  #: [n·K] the learned queries that become spatial queries
    memories: Tensor | None = None  #: [layers, M] the object each memory carries
    previous: Tensor | None = None  #: [B, K, h, w] mask logits of the last round


def prepare(
    prompts: Sequence[ImagePrompts],
    texts: Sequence[TextEmbeddings | None],
    padded: tuple[int, int],
    config: DecoderConfig,
    draws: Draws,
    device: torch.device,
) -> PreparedPrompts:
    """Pads a ragged batch of prompts and makes all random draws; masks are best left on the CPU until here.

    `texts` are the embeddings of each image's texts, `padded` the (height, width) of the padded batch.
    """
    objects = max(p.objects for p in prompts)
    prepared = PreparedPrompts(objects=objects, **_pad_texts(texts))
    if not objects:
        return prepared
    pixels: tuple[SampledPixels, ...] = ()
    if any(p.positive is not None for p in prompts):
        found = [_pixels(p.positive, padded) for p in prompts], [_pixels(p.negative, padded) for p in prompts]
        pixels = tuple(_sample(*found, limit, draws, device) for limit in _limits(config))
    queries = memories = previous = None
    if config.mode == "v1":
        queries = draws.queries(config.queries, config.queries_per_prompt * objects).to(device)
        previous = _pad_previous(prompts, objects, device)
        if previous is not None:
            drawn = [draws.memories(objects, config.memories) for _ in range(config.layers)]
            memories = torch.stack(drawn).to(device)
    return PreparedPrompts(
        objects=objects,
        texts=prepared.texts,
        texts_real=prepared.texts_real,
        pixels=pixels,
        reference=_pad_references([p.reference for p in prompts], objects),
        queries=queries,
        memories=memories,
        previous=previous,
    )


def prepare_regions(
    marks: Sequence[Tensor],
    padded: tuple[int, int],
    config: DecoderConfig,
    draws: Draws,
    device: torch.device,
) -> tuple[SampledPixels, ...]:
    """Pixels of marks [K, H, W] on reference images, drawn for each level and for the mean."""
    positive = [_pixels(m, padded) for m in marks]
    nothing = [_pixels(None, padded) for _ in marks]
    return tuple(_sample(positive, nothing, limit, draws, device) for limit in _limits(config))


def _limits(config: DecoderConfig) -> tuple[int, ...]:
    return (config.max_points[-1], *config.max_points[: config.levels])


def _pixels(masks: Tensor | None, padded: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The marked pixels of one image: (x, y) shares [N, 2] and the object of each [N], object by object."""
    if masks is None:
        return torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
    found = masks.cpu().nonzero()
    shares = found[:, [2, 1]] / torch.tensor([padded[1], padded[0]], dtype=torch.float32)
    return shares, found[:, 0]


def _sample(
    positive: Sequence[tuple[Tensor, Tensor]],
    negative: Sequence[tuple[Tensor, Tensor]],
    limit: int,
    draws: Draws,
    device: torch.device,
) -> SampledPixels:
    drawn = [[_draw(*pixels, limit, draws) for pixels in sign] for sign in (positive, negative)]
    points, owners, signs = [], [], []
    for (for_points, for_owners), (against_points, against_owners) in zip(*drawn, strict=True):
        points.append(torch.cat((for_points, against_points)))
        owners.append(torch.cat((for_owners, against_owners)))
        signs.append(torch.arange(len(points[-1])) < len(for_points))
    pad = torch.nn.utils.rnn.pad_sequence
    return SampledPixels(
        points=pad(points, batch_first=True).to(device, non_blocking=True),
        owners=pad(owners, batch_first=True, padding_value=-1).to(device, non_blocking=True),
        positive=pad(signs, batch_first=True).to(device, non_blocking=True),
    )


def _draw(points: Tensor, owners: Tensor, limit: int, draws: Draws) -> tuple[Tensor, Tensor]:
    if not len(points):
        return points, owners
    weights = owners.bincount().float().reciprocal()[owners]  # each object has the same chance in total
    chosen = draws.points(weights, min(limit, len(points)))
    return points[chosen], owners[chosen]


def _pad_texts(texts: Sequence[TextEmbeddings | None]) -> dict[str, Tensor]:
    rows = [t.concatenated() if t is not None and len(t) else None for t in texts]
    some = next((r for r in rows if r is not None), None)
    if some is None:
        return {}
    rows = [some[:0] if r is None else r for r in rows]
    lengths = torch.tensor([len(r) for r in rows])
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    return {"texts": tokens, "texts_real": real.to(tokens.device, non_blocking=True)}


def _pad_previous(prompts: Sequence[ImagePrompts], objects: int, device: torch.device) -> Tensor | None:
    """[B, K, h, w]; where an image or object has no previous mask, zeros, which hide nothing."""
    some = next((p.previous for p in prompts if p.previous is not None), None)
    if some is None:
        return None
    padded = torch.zeros(len(prompts), objects, *some.shape[-2:], dtype=some.dtype, device=device)
    for row, prompt in zip(padded, prompts, strict=True):
        if prompt.previous is not None:
            row[: len(prompt.previous)] = prompt.previous.to(device)
    return padded


def _pad_references(references: Sequence[RegionTokens | None], objects: int) -> RegionTokens | None:
    some = next((r for r in references if r is not None), None)
    if some is None:
        return None
    none = RegionTokens(
        tuple(t[:, :0] for t in some.levels),
        tuple(o[:, :0] for o in some.owners),
        some.positive[:, :0],
        some.negative[:, :0],
    )
    rows = [none if r is None else r for r in references]
    pad = torch.nn.utils.rnn.pad_sequence

    def vectors(given: Sequence[Tensor]) -> Tensor:
        padded = [torch.cat((v[0], v.new_full((objects - v.shape[1], v.shape[2]), -1.0))) for v in given]
        return torch.stack(padded)

    count = range(len(some.levels))
    return RegionTokens(
        tuple(pad([r.levels[i][0] for r in rows], batch_first=True) for i in count),
        tuple(pad([r.owners[i][0] for r in rows], batch_first=True, padding_value=-1) for i in count),
        vectors([r.positive for r in rows]),
        vectors([r.negative for r in rows]),
    )


def _size(mask: Tensor) -> str:
    return " × ".join(str(n) for n in mask.shape)
