"""A simulated user who corrects a mask: the next click goes into the middle of the largest error.

Both the trainer's refinement rounds and the interactive evaluation (number of clicks) use it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

GOOD_ENOUGH = 0.925  #: a mask at least this good (IoU) gets no further click

# The distance of kornia.contrib.distance_transform: rings of a 3×3 dilation, within a ring graded by
# −h·log Σ exp(−distance/h) over the pixels of the ring before.
_H = 0.35
_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
_WEIGHTS = np.exp(np.hypot(*np.array(_NEIGHBOURS, np.float32).T) / np.float32(-_H))


def next_click(logits: Tensor, gt: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Add one click to the prompts of each of K objects.

    The click is positive where object pixels are missing, negative where pixels are too many, whichever are
    more; pixels that were clicked before do not count. It falls on the pixel deepest inside that error and
    is 3×3 pixels large. As in the original, an object that has no error left outside its clicks, and yet is
    not `GOOD_ENOUGH`, gets a negative click in the top left corner.

    Args:
        logits: [K, h, w] masks predicted so far, at any resolution.
        gt: [K, H, W] bool; may be smaller than the prompts, whose right and bottom borders are then padding.
        positive, negative: [K, H, W] bool, all clicks so far.

    Returns:
        positive and negative prompts [K, H, W] bool, the new clicks included.
    """
    height, width = positive.shape[-2:]
    gt = F.pad(gt.bool(), (0, width - gt.shape[-1], 0, height - gt.shape[-2]))
    positive, negative = positive.bool(), negative.bool()
    if len(gt) == 0:
        return positive, negative
    logits = F.interpolate(logits[None].float(), size=(height, width), mode="bilinear", align_corners=False)
    predicted = logits[0].sigmoid() > 0.5
    unclicked = ~(positive | negative)
    missing = gt & ~predicted & unclicked
    surplus = ~gt & predicted & unclicked
    is_positive = missing.sum((1, 2)) > surplus.sum((1, 2))
    iou = (gt & predicted).sum((1, 2)) / ((gt | predicted).sum((1, 2)) + 1e-8)
    errors = torch.where(is_positive[:, None, None], missing, surplus).cpu().numpy()
    centres = torch.tensor([deepest_pixel(error) for error in errors]).to(gt.device, non_blocking=True)
    rows = (torch.arange(height, device=gt.device) - centres[:, :1]).abs() <= 1
    columns = (torch.arange(width, device=gt.device) - centres[:, 1:]).abs() <= 1
    click = rows[:, :, None] & columns[:, None, :] & (iou < GOOD_ENOUGH)[:, None, None]
    return positive | (click & is_positive[:, None, None]), negative | (click & ~is_positive[:, None, None])


def deepest_pixel(region: np.ndarray) -> tuple[int, int]:
    """(row, column) of the pixel of a bool region [H, W] farthest from its edge; (0, 0) of an empty region.

    The image border counts as edge. Equal to the first greatest value of kornia's approximate distance
    transform, without its one convolution a ring: only the innermost ring can hold that value.
    """
    left, top, width, height = cv2.boundingRect(region.astype(np.uint8))
    if not width:
        return 0, 0
    # The crop with a border of one pixel is all that the distance depends on.
    crop = np.zeros((height + 2, width + 2), np.uint8)
    crop[1:-1, 1:-1] = region[top : top + height, left : left + width]
    ring = cv2.distanceTransform(crop, cv2.DIST_C, 3)
    innermost = ring.max()
    rows, columns = np.nonzero(ring == innermost)
    outside = ring < innermost
    total = np.zeros(len(rows), np.float32)
    for (dy, dx), weight in zip(_NEIGHBOURS, _WEIGHTS, strict=True):
        total += weight * outside[rows + dy, columns + dx]
    offset = int(innermost - 1) * 3 // 2
    # torch's logarithm and float32, so that near ties fall as they do in the original.
    best = int((offset - _H * torch.from_numpy(total).log()).argmax())
    return top + int(rows[best]) - 1, left + int(columns[best]) - 1
