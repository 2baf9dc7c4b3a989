"""Point sampling: masks are compared at a few thousand points instead of at every pixel (PointRend,
arXiv:1912.08193).

Points are (x, y) in [0, 1], measured from the top-left corner of the image to its bottom-right corner, so one
set of points reads predictions (stride 4) and ground truth (full size) alike. L decoder layers, final layer
first; B images; P points; Q queries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Task = Literal["objects", "grounding", "spatial"]


class PointSource(Protocol):
    """Where points come from: random in training; fixed or recorded in tests, where numbers must repeat."""

    def for_matching(self, task: Task, layers: int, images: int, device: torch.device) -> Tensor:
        """[L, B, P, 2]: the points at which the matching compares all queries and targets of an image."""
        ...

    def for_losses(self, task: Task, layers: Sequence[int], logits: Tensor) -> Tensor:
        """[R, P, 2]: the points of each matched mask. `logits` [R, h, w] holds the masks of `layers` (0 is
        the final layer), as many of each, layer after layer."""
        ...


@dataclass(frozen=True)
class RandomPoints:
    """The recipe of PointRend and Mask2Former: uniform for matching; for the losses mostly where masks are
    unsure.

    For the losses, `oversample`·P uniform candidates are drawn for each mask, the `importance` share of P
    with the logits nearest to zero is kept, and the rest is drawn afresh.
    """

    points: int = 12544
    oversample: float = 3.0
    importance: float = 0.75
    generator: torch.Generator | None = None  #: of the masks' device; None: torch's global one

    def for_matching(self, task: Task, layers: int, images: int, device: torch.device) -> Tensor:  # noqa: ARG002
        return torch.rand(layers, images, self.points, 2, device=device, generator=self.generator)

    def for_losses(self, task: Task, layers: Sequence[int], logits: Tensor) -> Tensor:  # noqa: ARG002
        rows, device = logits.shape[0], logits.device
        certain = int(self.importance * self.points)
        candidates = torch.rand(
            rows, int(self.points * self.oversample), 2, device=device, generator=self.generator
        )
        margin = sample_maps(logits[:, None], candidates)[:, 0].abs_()
        nearest = margin.topk(certain, dim=1, largest=False, sorted=False).indices
        chosen = candidates.gather(1, nearest[..., None].expand(-1, -1, 2))
        fresh = torch.rand(rows, self.points - certain, 2, device=device, generator=self.generator)
        return torch.cat([chosen, fresh], dim=1)


def sample_maps(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of float `maps` [N, C, h, w] at `points` [N, P, 2]: [N, C, P]; zero beyond the border.

    Differentiable in `maps`. CUDA's ``grid_sample`` has no deterministic backward pass; under
    ``torch.use_deterministic_algorithms`` the corners are read one by one instead.
    """
    if maps.is_cuda and maps.requires_grad and torch.are_deterministic_algorithms_enabled():
        return sample_by_corners(maps, points)
    grid = (2.0 * points[:, :, None]).sub_(1.0)  # in place: for the candidates of a loss these are megabytes
    return F.grid_sample(maps, grid, align_corners=False)[..., 0]


def sample_by_corners(maps: Tensor, points: Tensor) -> Tensor:
    """What `sample_maps` returns, by indexing alone: slower, but its backward pass can be deterministic."""
    flat = maps.flatten(2).transpose(1, 2)  # [N, h·w, C]
    rows = torch.arange(len(maps), device=maps.device)[:, None]
    parts = [flat[rows, index] * weight[..., None] for index, weight in _corners(points, maps.shape[-2:])]
    return torch.stack(parts).sum(0).transpose(1, 2)


def sample_masks(masks: Tensor, rows: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of the masks ``masks[rows]`` at `points`: [R, P] float, zero beyond the border.

    Masks [N, H, W] bool or uint8, `rows` [R] int64, `points` [R, P, 2].
    """
    if masks.is_cuda:
        return gather_masks(masks, rows, points)
    return sample_maps(masks.index_select(0, rows)[:, None].float(), points)[:, 0]


def gather_masks(masks: Tensor, rows: Tensor, points: Tensor) -> Tensor:
    """What `sample_masks` returns, reading only the four pixels around each point: no float copies.

    At 1024 pixels the copies for all layers would take gigabytes of GPU memory. On the CPU copying is faster.
    """
    flat = masks.reshape(-1)
    base = (rows * (masks.shape[-2] * masks.shape[-1]))[:, None]
    total = torch.zeros(points.shape[:-1], dtype=points.dtype, device=points.device)
    for index, weight in _corners(points, masks.shape[-2:]):
        total += flat[index.add_(base)] * weight
    return total


def pixels_first(maps: Tensor) -> Tensor:
    """Maps [C, h, w] as a table [h·w, C] float32, a pixel's values side by side."""
    return maps.flatten(1).T.float().contiguous()


def surrounding(points: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The four pixels around each of `points` [P, 2] in maps of `size`: rows of the table [P, 4] and their
    weights [P, 4]."""
    (left, right), across = _neighbours(points[:, 0], size[1])
    (top, bottom), down = _neighbours(points[:, 1], size[0])
    top, bottom = top * size[1], bottom * size[1]
    index = torch.stack([top + left, top + right, bottom + left, bottom + right], -1)
    weight = torch.stack([d * a for d in down for a in across], -1)
    return index, weight


def _neighbours(share: Tensor, length: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Along one axis: the pixels before and after points [P] in [0, 1], and their weights (0 outside)."""
    exact = share * length - 0.5
    before = exact.floor()
    beyond = exact - before
    first = before.int()
    weights = (1 - beyond) * (first >= 0), beyond * (first < length - 1)
    return (first.clamp(min=0), (first + 1).clamp(max=length - 1)), weights


def read_pixels(table: Tensor, index: Tensor, weight: Tensor) -> Tensor:
    """What `sample_maps` returns, [P, C], from `pixels_first` and `surrounding`. Without gradient; on a CPU
    many times faster where there are many maps."""
    return F.embedding_bag(index, table, per_sample_weights=weight, mode="sum")


def _corners(points: Tensor, size: Sequence[int]) -> Iterator[tuple[Tensor, Tensor]]:
    """The four pixels around each point, one after the other, as index into a flattened map and weight (0
    outside)."""
    height, width = size
    x, y = points[..., 0] * width - 0.5, points[..., 1] * height - 0.5
    left, top = x.floor(), y.floor()
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = left + right, top + below
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside
        yield (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long(), weight
