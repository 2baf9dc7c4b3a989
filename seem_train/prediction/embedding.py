"""Photos the model has looked at: the slow half of every answer, done once and kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from seem_train.data.image_scale import Scale
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.prediction.photo import PhotoSource, open_photo
from seem_train.runtime import Runtime


@dataclass(frozen=True)
class EmbeddedPhoto:
    """A photo the model has looked at; `Predictor.set_image` takes it at no cost."""

    photo: np.ndarray  #: [H, W, 3] uint8
    features: ImageFeatures  #: of this photo alone
    file_name: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.photo.shape[0], self.photo.shape[1]


def embed_photos(
    model: SEEM, runtime: Runtime, scale: Scale, images: Sequence[PhotoSource]
) -> list[EmbeddedPhoto]:
    """Look at photos; those the model sees at one size go through it together, which changes nothing.

    Raises:
        UserError: one of them cannot be read.
    """
    photos = [open_photo(image) for image in images]
    seen = [scale.apply(photo) for photo in photos]
    found: dict[int, ImageFeatures] = {}
    for size in dict.fromkeys(image.shape for image in seen):
        places = [place for place, image in enumerate(seen) if image.shape == size]
        with torch.no_grad(), runtime.autocast():
            features = model.encode_image([seen[place] for place in places])
        found |= {place: _alone(features, number) for number, place in enumerate(places)}
    return [
        EmbeddedPhoto(photo, found[place], _file_name(image))
        for place, (photo, image) in enumerate(zip(photos, images, strict=True))
    ]


def _alone(features: ImageFeatures, number: int) -> ImageFeatures:
    """One image out of a batch of images of one size: the first axis of all tensors in it counts images."""

    def alone(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[number : number + 1]
        if isinstance(value, tuple):
            return tuple(map(alone, value))
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{part.name: alone(getattr(value, part.name)) for part in fields(value)})
        return value

    if len(features) == 1:
        return features
    return replace(alone(features), sizes=(features.sizes[number],))


def _file_name(image: object) -> str:
    if isinstance(image, str | os.PathLike):
        return Path(image).name
    name = getattr(image, "filename", "") if isinstance(image, Image.Image) else ""
    return Path(name).name or "image.png"
