"""In the place of what is random: the original's recorded draws, points on a grid. And its names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seem_train.losses.criterion import LossTerms
from seem_train.losses.matcher import offsets
from seem_train.losses.points import Task
from seem_train.model.draws import SeededDraws


class ReplayDraws(SeededDraws):
    """Feeds recorded draws in their order; a draw of another size than the recorded one is an error.

    `full_sets`: whether the recording holds a draw also where all pixels were taken (the v1 model does so,
    the demo model does not).
    """

    def __init__(self, recorded: Iterable[Tensor], full_sets: bool = True) -> None:
        self.recorded = [r.cpu().long() for r in recorded]
        self.full_sets = full_sets
        self.used = 0

    def take(self, what: str, count: int) -> Tensor:
        """The next recorded draw, which must hold `count` values."""
        if self.used >= len(self.recorded):
            raise ValueError(f"draw {self.used} ({what}, {count} values) is not in the recording")
        draw = self.recorded[self.used]
        if draw.numel() != count:
            raise ValueError(
                f"draw {self.used} ({what}) needs {count} values, the recording has {draw.numel()}"
            )
        self.used += 1
        return draw.flatten()

    def points(self, owners: Tensor, count: int) -> Tensor | slice:
        count = min(count, len(owners))
        if count == len(owners) and not self.full_sets:
            return slice(None)
        return self.take("prompt pixels", count).sort().values

    def queries(self, among: int, count: int) -> Tensor:  # noqa: ARG002
        return self.take("spatial queries", count)

    def memories(self, objects: int, count: int) -> Tensor:  # noqa: ARG002
        return self.take("memories", count).sort().values


@dataclass(frozen=True)
class GridPoints:
    """The same cell centres for every mask, row by row: nothing is random."""

    height: int
    width: int

    def for_matching(self, task: Task, layers: int, images: int, device: torch.device) -> Tensor:  # noqa: ARG002
        return self._grid(device).expand(layers, images, -1, 2)

    def for_losses(self, task: Task, layers: Sequence[int], logits: Tensor) -> Tensor:  # noqa: ARG002
        return self._grid(logits.device).expand(logits.shape[0], -1, 2)

    def _grid(self, device: torch.device) -> Tensor:
        y, x = torch.meshgrid(
            (torch.arange(self.height, device=device) + 0.5) / self.height,
            (torch.arange(self.width, device=device) + 0.5) / self.width,
            indexing="ij",
        )
        return torch.stack([x, y], dim=-1).reshape(-1, 2)


def official_terms(terms: LossTerms) -> dict[str, Tensor]:
    """By their official names: _0 is the final layer, the last the queries before any layer."""
    return {
        f"{name}_{layer}": value.detach()
        for name, values in terms.raw.items()
        for layer, value in enumerate(values)
    }


def recorded_pairs(
    indices: Sequence[Sequence[Sequence[int]]], queries: int, counts: Sequence[int]
) -> tuple[list[int], list[int]]:
    """What the original recorded of each image, matched queries and targets, numbered as in `Pairs`."""
    starts = offsets(counts)
    query = [image * queries + n for image, (own, _) in enumerate(indices) for n in own]
    return query, [starts[image] + n for image, (_, own) in enumerate(indices) for n in own]
