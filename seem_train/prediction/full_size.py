"""Mask logits at the decoder's resolution ─▶ answers at the photo's own size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from torch import Tensor

from seem_train.metrics.instance import RunLengths, encode_masks
from seem_train.model import postprocess
from seem_train.model.postprocess import OnDemandMasks
from seem_train.prediction.answers import Objects
from seem_train.prediction.embedding import EmbeddedPhoto

Interpolation: TypeAlias = Literal["bicubic", "bilinear"]
#: Above so many numbers (queries × pixels) a result is decided at a smaller size and then enlarged.
_LARGEST_DECISION = 128_000_000


def masks_at(
    logits: Tensor, photo: EmbeddedPhoto, size: tuple[int, int], how: Interpolation = "bicubic"
) -> OnDemandMasks:
    """Mask logits [N, h, w] of a photo, at a (height, width) when asked for."""
    return OnDemandMasks(logits, photo.features.padded, photo.features.sizes[0], size, how)


def encoded_masks(
    logits: Tensor, photo: EmbeddedPhoto, how: Sequence[Interpolation] | None = None
) -> Objects:
    """Mask logits [N, h, w] at the photo's size, run-length encoded, without names; scores are the masks'
    quality.

    Args:
        how: to interpolate each; default: bicubic.
    """
    ways: Sequence[Interpolation] = how or ("bicubic",) * len(logits)
    parts: list[tuple[int, RunLengths, float]] = []
    for way in dict.fromkeys(ways):
        places = [place for place, other in enumerate(ways) if other == way]
        masks = masks_at(logits[places], photo, photo.size, way)
        for start in range(0, len(places), masks.at_once):
            few = slice(start, start + masks.at_once)
            foreground, quality = postprocess.judge_masks(masks.at(few))
            encoded = encode_masks(foreground.cpu().numpy())
            parts += zip(places[few], encoded, quality.tolist(), strict=True)
    parts.sort(key=lambda part: part[0])
    return Objects(
        photo.photo,
        (),
        photo.file_name,
        encoded=[encoded for _, encoded, _ in parts],
        category_index=np.zeros(len(parts), np.int64),
        scores=np.array([score for _, _, score in parts], np.float32),
    )


def decision_size(photo: EmbeddedPhoto, layers: int) -> tuple[int, int]:
    """(height, width) at which so many layers of floats fit in memory; normally the photo's own."""
    height, width = photo.size
    factor = min(1.0, (_LARGEST_DECISION / (height * width * max(layers, 1))) ** 0.5)
    return max(1, int(height * factor)), max(1, int(width * factor))


def enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Ids or labels at the (height, width) of the photo."""
    if values.shape == size:
        return values
    rows = np.arange(size[0]) * values.shape[0] // size[0]
    columns = np.arange(size[1]) * values.shape[1] // size[1]
    return values[rows[:, None], columns]
