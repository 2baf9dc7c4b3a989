"""A batch of prompts made ready for the decoder: every random draw made, ragged lists padded.

At most `max_points` marked pixels are drawn for each image, sign and level, each object having the same share
of the chance. Masks are best left on the CPU until here: finding their pixels on a GPU would wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seem_train.model.config import DecoderConfig
from seem_train.model.draws import SeededDraws
from seem_train.model.language import TextEmbeddings
from seem_train.model.prompts import ImagePrompts, RegionTokens


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
    draws: SeededDraws,
    device: torch.device,
) -> PreparedPrompts:
    """Pads a ragged batch of prompts and makes all random draws; masks are best left on the CPU until here.

    `texts` are the embeddings of each image's texts, `padded` the (height, width) of the padded batch.
    """
    objects = max(p.objects for p in prompts)
    tokens, real = _pad_texts(texts)
    if not objects:
        return PreparedPrompts(texts=tokens, texts_real=real)
    pixels: tuple[SampledPixels, ...] = ()
    if any(p.positive is not None for p in prompts):
        found = [_pixels(p.positive, padded) for p in prompts], [_pixels(p.negative, padded) for p in prompts]
        pixels = tuple(_sample(*found, limit, draws, device) for limit in _limits(config))
    queries = memories = previous = None
    if config.mode == "v1":
        if config.queries_per_prompt == config.queries:  # v0: every object query, none drawn
            queries = torch.arange(config.queries, device=device).repeat(objects)
        else:
            queries = draws.queries(config.queries, config.queries_per_prompt * objects)
            queries = queries.to(device, non_blocking=True)
        previous = _pad_previous(prompts, objects, device)
        if previous is not None:
            drawn = [draws.memories(objects, config.memories) for _ in range(config.layers)]
            memories = torch.stack(drawn).to(device, non_blocking=True)
    return PreparedPrompts(
        objects=objects,
        texts=tokens,
        texts_real=real,
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
    draws: SeededDraws,
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
    draws: SeededDraws,
    device: torch.device,
) -> SampledPixels:
    drawn = [[_draw(*pixels, limit, draws) for pixels in sign] for sign in (positive, negative)]
    points, owners = [], []
    for (for_points, for_owners), (against_points, against_owners) in zip(*drawn, strict=True):
        points.append(torch.cat((for_points, against_points)) if len(against_points) else for_points)
        owners.append(torch.cat((for_owners, against_owners)) if len(against_owners) else for_owners)
    padded = pad_sequence(points, batch_first=True)
    positives = torch.tensor([len(for_points) for for_points, _ in drawn[0]])
    return SampledPixels(
        points=padded.to(device, non_blocking=True),
        owners=pad_sequence(owners, batch_first=True, padding_value=-1).to(device, non_blocking=True),
        positive=(torch.arange(padded.shape[1]) < positives[:, None]).to(device, non_blocking=True),
    )


def _draw(points: Tensor, owners: Tensor, limit: int, draws: SeededDraws) -> tuple[Tensor, Tensor]:
    if not len(points):
        return points, owners
    chosen = draws.points(owners, min(limit, len(points)))
    return points[chosen], owners[chosen]


def _pad_texts(texts: Sequence[TextEmbeddings | None]) -> tuple[Tensor | None, Tensor | None]:
    """Tokens [B, T, D] of all texts of each image, and which are real [B, T]."""
    rows = [t.concatenated() if t is not None and len(t) else None for t in texts]
    some = next((r for r in rows if r is not None), None)
    if some is None:
        return None, None
    rows = [some[:0] if r is None else r for r in rows]
    lengths = torch.tensor([len(r) for r in rows])
    tokens = pad_sequence(rows, batch_first=True)
    real = torch.arange(tokens.shape[1]) < lengths[:, None]
    return tokens, real.to(tokens.device, non_blocking=True)


def _pad_previous(prompts: Sequence[ImagePrompts], objects: int, device: torch.device) -> Tensor | None:
    """[B, K, h, w]; where an image or object has no previous mask, zeros, which hide nothing."""
    some = next((p.previous for p in prompts if p.previous is not None), None)
    if some is None:
        return None
    padded = torch.zeros(len(prompts), objects, *some.shape[-2:], dtype=some.dtype, device=device)
    for row, prompt in zip(padded, prompts, strict=True):
        if prompt.previous is not None:
            row[: len(prompt.previous)] = prompt.previous[:objects].to(device)
    return padded


def _pad_references(references: Sequence[RegionTokens | None], objects: int) -> RegionTokens | None:
    some = next((r for r in references if r is not None), None)
    if some is None:
        return None

    def padded(of: Callable[[RegionTokens], Tensor], value: float) -> Tensor:
        rows = [of(some)[0, :0] if r is None else of(r)[0] for r in references]
        return pad_sequence(rows, batch_first=True, padding_value=value)

    def vectors(of: Callable[[RegionTokens], Tensor]) -> Tensor:
        rows = padded(of, -1.0)
        return F.pad(rows, (0, 0, 0, objects - rows.shape[1]), value=-1.0)

    levels = range(len(some.levels))
    return RegionTokens(
        tuple(padded(lambda r, i=i: r.levels[i], 0.0) for i in levels),
        tuple(padded(lambda r, i=i: r.owners[i], -1) for i in levels),
        vectors(lambda r: r.positive),
        vectors(lambda r: r.negative),
    )
