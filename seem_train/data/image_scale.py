"""How large the model sees a photo outside training: the original's test sizes, or one size for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

_RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Scale:
    """The shorter side becomes `short` pixels, unless the longer would pass `longest`."""

    short: int
    longest: int
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    #: as detectron2 scales (to the nearest pixel) or as torchvision does (down, and cut at the longest)
    rounding: Literal["nearest", "down"] = "nearest"

    @classmethod
    def of(cls, short: int) -> Scale:
        """With the original's ratio of both limits, 1333 to 800."""
        return cls(short, round(short * 1333 / 800))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that the model sees, at least 1 × 1."""
        if self.rounding == "down":
            return self._rounded_down(height, width)
        # In detectron2's own order: the last bits decide about half a pixel.
        scale = self.short / min(height, width)
        tall, wide = (self.short, scale * width) if height < width else (scale * height, self.short)
        if (longest := max(tall, wide)) > self.longest:
            scale = self.longest / longest
            tall, wide = tall * scale, wide * scale
        return max(1, int(tall + 0.5)), max(1, int(wide + 0.5))

    def _rounded_down(self, height: int, width: int) -> tuple[int, int]:
        short, long = self.short, int(self.short * max(height, width) / min(height, width))
        if long > self.longest:
            short, long = max(1, int(self.longest * short / long)), self.longest
        return (short, long) if height <= width else (long, short)

    def apply(self, photo: np.ndarray) -> Tensor:
        """A photo [H, W, 3] uint8 as the model takes it: [3, h, w] uint8."""
        height, width = self.size(*photo.shape[:2])
        scaled = photo
        if (height, width) != photo.shape[:2]:
            scaled = np.array(Image.fromarray(photo).resize((width, height), _RESAMPLING[self.interpolation]))
        own = np.require(scaled, requirements=("C", "W"))  # torch knows no arrays that are only read
        return torch.from_numpy(own).permute(2, 0, 1)


def scaled_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask [H, W] at another (height, width), bool; what is marked never vanishes altogether."""
    if mask.shape == size:
        return mask.astype(bool)
    smaller = min(size[0], mask.shape[0]), min(size[1], mask.shape[1])  # area means need both sides to shrink
    share = cv2.resize(mask.astype(np.float32), smaller[::-1], interpolation=cv2.INTER_AREA)
    share = np.asarray(cv2.resize(share, size[::-1], interpolation=cv2.INTER_LINEAR))
    return (share >= min(0.5, float(share.max()))) & (share > 0)


#: what the original evaluates panoptic, semantic and instance segmentation at
OBJECTS = Scale(800, 1333)
#: … phrases (RefCOCO, through detectron2's ResizeShortestEdge)
GROUNDING = Scale(512, 1024)
#: … clicks (Pascal VOC, through torchvision's Resize)
INTERACTIVE = Scale(800, 1333, "bicubic", "down")
