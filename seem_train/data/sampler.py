"""In which order images are seen: decided by seed and epoch alone.

The stream of images is endless: epoch after epoch, each a new permutation. Step s takes the s-th slice of
`global_batch` images from it. How that slice is shared out among ranks and micro-batches changes neither
which images a step sees nor how each is augmented, so a run can go on with another number of devices or
workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seem_train.errors import UserError


@dataclass(frozen=True)
class Draw:
    """One image at one moment of the stream; its augmentation is a function of the seed and of this."""

    epoch: int
    index: int  #: into the dataset
    copy: int = 0  #: 0, 1, … where an epoch shows the image several times

    def generator(self, seed: int, purpose: int) -> np.random.Generator:
        """A generator of its own for each purpose (geometry, phrases, strokes, …)."""
        return np.random.default_rng([seed, self.epoch, self.index, self.copy, purpose])


@dataclass(frozen=True)
class Order:
    """The endless stream. `repeats` [images]: how often an epoch shows each image on average (none: once)."""

    images: int
    seed: int
    repeats: NDArray[np.float64] | None = None

    @property
    def images_per_epoch(self) -> float:
        """On average: repeats that are no whole numbers are drawn."""
        return float(self.images if self.repeats is None else self.repeats.sum())

    def epoch(self, epoch: int) -> list[Draw]:
        """The draws of one epoch, in order."""
        rng = np.random.default_rng([self.seed, epoch])
        if self.repeats is None:
            return [Draw(epoch, int(index)) for index in rng.permutation(self.images)]
        whole = np.floor(self.repeats)
        times = (whole + (rng.random(self.images) < self.repeats - whole)).astype(int)
        draws = [Draw(epoch, index, copy) for index in range(self.images) for copy in range(times[index])]
        return [draws[place] for place in rng.permutation(len(draws))]

    def starting_at(self, position: int) -> Iterator[Draw]:
        """The stream from its `position`-th draw on."""
        epoch = 0
        if self.repeats is None:
            epoch, position = divmod(position, self.images)
        else:
            while position >= (length := len(self.epoch(epoch))):
                epoch, position = epoch + 1, position - length
        while True:
            yield from self.epoch(epoch)[position:]
            epoch, position = epoch + 1, 0


@dataclass(frozen=True)
class StepSampler:
    """The micro-batches of one rank, as a batch sampler for ``DataLoader``.

    Yields ``global_batch / (ranks · micro_batch)`` lists of draws for each of the steps `first_step` …
    `last_step` − 1. Raises UserError where that does not come out even.
    """

    order: Order
    global_batch: int
    micro_batch: int
    first_step: int
    last_step: int
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if self.order.images == 0:
            raise UserError("there is no image to train on")
        if self.global_batch % (self.micro_batch * self.ranks):
            raise UserError(
                f"--global-batch {self.global_batch} is not a multiple of --batch {self.micro_batch} × "
                f"{self.ranks} device(s); change one of them"
            )

    @property
    def micro_batches(self) -> int:
        """Micro-batches of one step and rank."""
        return self.global_batch // (self.micro_batch * self.ranks)

    def __len__(self) -> int:
        return max(self.last_step - self.first_step, 0) * self.micro_batches

    def __iter__(self) -> Iterator[list[Draw]]:
        stream = self.order.starting_at(self.first_step * self.global_batch)
        for _ in range(self.first_step, self.last_step):
            step = [next(stream) for _ in range(self.global_batch)]
            mine = step[self.rank :: self.ranks]
            for start in range(0, len(mine), self.micro_batch):
                yield mine[start : start + self.micro_batch]
