"""Photos the model has looked at: the slow half of every answer, done once and kept."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

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
    """One image out of a batch of images of one size."""
    if len(features) == 1:
        return features
    one = slice(number, number + 1)
    memory = features.memory
    levels = tuple(
        replace(level, content=level.content[one], mask_features=level.mask_features[one])
        for level in memory.levels
    )
    keys_values = memory.keys_values
    if keys_values is not None:
        keys_values = tuple((keys[one], values[one]) for keys, values in keys_values)
    memory = replace(memory, mask_features=memory.mask_features[one], levels=levels, keys_values=keys_values)
    objects = features.objects
    if objects is not None:
        objects = tuple(
            replace(
                answer,
                class_vectors=answer.class_vectors[one],
                mask_vectors=answer.mask_vectors[one],
                masks=answer.masks[one],
            )
            for answer in objects
        )
    return replace(features, memory=memory, sizes=(features.sizes[number],), objects=objects)


def _file_name(image: object) -> str:
    if isinstance(image, str | os.PathLike):
        return Path(image).name
    name = getattr(image, "filename", "") if isinstance(image, Image.Image) else ""
    return Path(name).name or "image.png"
