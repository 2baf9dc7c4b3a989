"""One step of a pretraining: `seem_train.training.step` for scenes of one size, nothing done image by image.

So a GPU is busy instead of waiting for Python. Losses, model and kinds of prompts are the library's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from examples.world.batches import NOBODY, SceneBatch
from seem_train.data.clicks import GOOD_ENOUGH
from seem_train.losses.criterion import Criterion
from seem_train.losses.targets import GroundingTargets, ObjectTargets, SpatialTargets, Targets
from seem_train.model.draws import SeededDraws
from seem_train.model.language import unit
from seem_train.model.prepare import PreparedPrompts, SampledPixels
from seem_train.model.seem import SEEM

CANDIDATES = 1024  #: pixels of an image's marks among which those for each level are drawn


class WorldStep(nn.Module):
    """A batch of scenes to its loss, with up to `rounds` rounds of corrections before."""

    def __init__(self, model: SEEM, criterion: Criterion, rounds: int) -> None:
        super().__init__()
        self.model, self.criterion, self.rounds = model, criterion, rounds

    def forward(self, batch: SceneBatch, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted loss, a scalar, and its unweighted parts [L], final layer first, detached."""
        torch.manual_seed(seed)  # of the points that the loss looks at, too
        draws = SeededDraws(seed)
        device = self.model.device
        language, config = self.model.language, self.model.config.decoder
        ids, ends, meanings, told = (
            torch.from_numpy(values).to(device, non_blocking=True)
            for values in (batch.texts, batch.ends, batch.meanings, batch.told)
        )
        encoded = language.encode_ids(ids)
        vectors = encoded[torch.arange(len(ids), device=device), ends]
        categories = unit(vectors[: batch.names])
        real = told >= 0
        tokens = encoded.flatten(0, 1).index_select(0, told.clamp(min=0).flatten())
        tokens = tokens.unflatten(0, told.shape) * real[..., None]

        features = self.model.encode_image(batch.images.to(device, non_blocking=True))
        id_maps = batch.id_maps.to(device, non_blocking=True)
        prompted = torch.from_numpy(batch.prompted).to(device, non_blocking=True)
        wanted = id_maps[:, None] == prompted[..., None, None]
        positive = batch.strokes.to(device, non_blocking=True)
        negative = previous = None
        count = positive.shape[1]

        def prepared() -> PreparedPrompts:
            limits = (config.max_points[-1], *config.max_points[: config.levels])
            queries = draws.queries(config.queries, config.queries_per_prompt * count)
            memories = None
            if previous is not None:
                drawn = [draws.memories(count, config.memories) for _ in range(config.layers)]
                memories = torch.stack(drawn).to(device, non_blocking=True)
            return PreparedPrompts(
                objects=count,
                pixels=sampled(positive, negative, limits),
                queries=queries.to(device, non_blocking=True),
                memories=memories,
                previous=previous,
            )

        for _ in range(int(np.random.default_rng(seed).integers(self.rounds + 1))):
            previous = self.model.refine(features, prepared())
            positive, negative = corrected(previous, wanted, positive, negative)
        prompts = replace(prepared(), texts=tokens, texts_real=real)
        predictions = self.model.decode(features, prompts, categories, every_layer=True)
        targets = self._targets(batch, id_maps, wanted, meanings)
        terms = self.criterion(predictions, targets, language.logit_scale, vectors[meanings[1]])
        return terms.total, {name: values.detach() for name, values in terms.raw.items()}

    def _targets(self, batch: SceneBatch, id_maps: Tensor, wanted: Tensor, meanings: Tensor) -> Targets:
        image, number, category = torch.from_numpy(batch.numbers).to(id_maps.device, non_blocking=True)
        masks = id_maps.index_select(0, image) == number[:, None, None]
        kept = torch.from_numpy(np.flatnonzero(batch.prompted != NOBODY)).to(
            id_maps.device, non_blocking=True
        )
        return Targets(
            ObjectTargets(masks, category, batch.segments),
            GroundingTargets(
                masks=masks.index_select(0, meanings[0]),
                groups=meanings[2],
                modes=("text",) * len(batch.phrases),
                counts=batch.phrases,
            ),
            SpatialTargets(
                masks=wanted.flatten(0, 1).index_select(0, kept),
                present=(True,) * sum(batch.prompts),
                counts=batch.prompts,
            ),
        )


def sampled(positive: Tensor, negative: Tensor | None, limits: tuple[int, ...]) -> tuple[SampledPixels, ...]:
    """At most `limits` pixels of each image's marks [B, K, S, S], every object with the same chance."""
    signs = [candidates(positive)] + ([candidates(negative)] if negative is not None else [])
    side = positive.shape[-1]
    pixels = []
    for limit in limits:
        drawn = [race(places, owners, limit) for places, owners in signs]
        places = torch.cat([places for places, _ in drawn], dim=1) % (side * side)
        x, y = places % side, places.div(side, rounding_mode="floor")
        counts = [len(owners[0]) for _, owners in drawn]
        for_it = torch.arange(sum(counts), device=places.device) < counts[0]
        owners = torch.cat([owners for _, owners in drawn], dim=1)
        points = torch.stack([x, y], dim=-1) / side
        pixels.append(SampledPixels(points, owners, for_it & (owners >= 0)))
    return tuple(pixels)


def candidates(marks: Tensor) -> tuple[Tensor, Tensor]:
    """Up to `CANDIDATES` marked pixels of each image: places in [K, S, S], and their objects, −1 for none."""
    shares = marks / marks.sum((2, 3), keepdim=True).clamp(min=1)
    found = raced(shares.flatten(1), CANDIDATES)
    size = marks.shape[-2] * marks.shape[-1]
    marked = marks.flatten(1).gather(1, found)
    return found, found.div(size, rounding_mode="floor").where(marked, -1)


def race(places: Tensor, owners: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    mine = owners[:, :, None] == owners[:, None, :]
    shares = (owners >= 0) / mine.sum(-1)
    found = raced(shares, limit)
    return places.gather(1, found), owners.gather(1, found)


def raced(shares: Tensor, limit: int) -> Tensor:
    """Indices of `limit` different columns of each row, drawn by their shares; those of no share come last.

    The first of exponential clocks to ring are a weighted draw without replacement.
    """
    clocks = torch.empty_like(shares).exponential_()
    return (shares / clocks).topk(min(limit, shares.shape[1]), sorted=False).indices


@torch.no_grad()
def corrected(
    logits: Tensor, wanted: Tensor, positive: Tensor, negative: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What `seem_train.data.clicks.next_click` does, on the device: one more click for every object, deep in
    the larger of its errors (depth in rings of 3 × 3 pixels, chance among the deepest).

    `logits` [B, K, h, w], the rest [B, K, S, S] bool.
    """
    negative = torch.zeros_like(positive) if negative is None else negative
    predicted = F.interpolate(logits.float(), size=wanted.shape[-2:], mode="bilinear") > 0
    free = ~(positive | negative)
    missing, surplus = wanted & ~predicted & free, ~wanted & predicted & free
    too_few = missing.sum((2, 3)) > surplus.sum((2, 3))
    errors = torch.where(too_few[..., None, None], missing, surplus)
    left = depth = errors.flatten(0, 1)[:, None].float()
    for _ in range(wanted.shape[-1] // 8):
        left = -F.max_pool2d(-F.pad(left, (1, 1, 1, 1)), 3, 1)
        depth = depth + left
    deepest = (depth + 0.5 * torch.rand_like(depth)).flatten(1).argmax(1).view(too_few.shape)
    side = wanted.shape[-1]
    row, column = deepest.div(side, rounding_mode="floor"), deepest % side
    line = torch.arange(side, device=wanted.device)
    near = ((line - row[..., None]).abs() <= 1)[..., None] & ((line - column[..., None]).abs() <= 1)[
        ..., None, :
    ]
    iou = (wanted & predicted).sum((2, 3)) / (wanted | predicted).sum((2, 3)).clamp(min=1)
    near &= ((iou < GOOD_ENOUGH) & errors.flatten(2).any(-1) & wanted.flatten(2).any(-1))[..., None, None]
    return positive | (near & too_few[..., None, None]), negative | (near & ~too_few[..., None, None])
