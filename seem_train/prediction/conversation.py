"""What was said about objects of a photo so far, kept so that it can be gone on with later."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seem_train.data.clicks import deepest_pixel
from seem_train.data.image_scale import scaled_mask
from seem_train.model.prompts import Marks
from seem_train.prediction.embedding import EmbeddedPhoto
from seem_train.prediction.prompt_types import UserPrompt

_SURE = 5.0  #: the logit of a remembered pixel that is known: a probability of 0.993


@dataclass(frozen=True)
class Conversation:
    """Nothing in it is ever changed, so that it can be kept as a way back."""

    asked: tuple[UserPrompt, ...] = ()  #: K objects
    memory: Tensor | None = None  #: [K, h, w] mask logits of the last round


def about_mask(mask: np.ndarray, photo: EmbeddedPhoto) -> Conversation:
    """As if one click into the middle of an object had been answered with this mask.

    Args:
        mask: [H, W] bool, of the photo's size, with at least one pixel.
    """
    row, column = deepest_pixel(mask)
    height, width = photo.features.sizes[0]
    seen = torch.from_numpy(scaled_mask(mask, (height, width))).float()
    down, across = photo.features.padded
    padded = F.pad(seen, (0, across - width, 0, down - height))[None, None]
    h, w = photo.features.mask_features.shape[-2:]
    share = F.interpolate(padded, size=(h, w), mode="area")[0]
    memory = ((share * 2 - 1) * _SURE).to(photo.features.mask_features.device)
    click = Marks(points=[(float(column), float(row))])
    return Conversation((UserPrompt(positive=click),), memory)
