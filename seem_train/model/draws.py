"""Every random choice the model makes, in one place.

The original draws prompt pixels, spatial queries and memory slots anew in every forward pass, even in
evaluation. Here all of them are drawn before the decoder runs (see `prompts.prepare`), in the original's
order: for each level and then for the mean, the positive pixels of each image, then the negative ones; the
spatial queries; then, for each decoder layer, the objects its memories carry.
"""

from __future__ import annotations

import torch
from torch import Tensor


class SeededDraws:
    """Draws from a generator of its own (`seed`), or from one that goes on (`generator`)."""

    def __init__(self, seed: int = 0, generator: torch.Generator | None = None) -> None:
        self.generator = generator or torch.Generator().manual_seed(seed)

    def points(self, owners: Tensor, count: int) -> Tensor | slice:
        """`count` different of N pixels, ascending: indices, or all. `owners` [N]: the object of each; every
        object has the same chance in total."""
        if count >= len(owners):
            return slice(None)
        weights = owners.bincount().float().reciprocal()[owners]
        # A race of exponential clocks is weighted drawing without replacement, for any number of pixels
        # (torch.multinomial stops at 2^24).
        clocks = torch.empty(len(weights)).exponential_(generator=self.generator)
        return (weights / clocks).topk(count).indices.sort().values

    def queries(self, among: int, count: int) -> Tensor:
        """`count` indices below `among`, repetitions allowed, in no order."""
        return torch.randint(among, (count,), generator=self.generator)

    def memories(self, objects: int, count: int) -> Tensor:
        """`count` indices below `objects`, repetitions allowed, ascending."""
        return torch.randint(objects, (count,), generator=self.generator).sort().values
