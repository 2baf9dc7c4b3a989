"""Prompts for one photo ─▶ mask logits of each object: what the model is asked, and which answer is taken.

In the v1 models words and marks never meet: queries of their own answer each (`model/ORIGINAL.md`, 3). Where
an object has both, the region the words mean is chosen among all by how well it agrees with what the marks
select. In the demo models the object queries hear all prompts of an object at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from seem_train.data.image_scale import scaled_mask
from seem_train.errors import UserError
from seem_train.model import postprocess
from seem_train.model.prompts import ImagePrompts, RegionTokens
from seem_train.model.seem import SEEM
from seem_train.prediction.embedding import EmbeddedPhoto
from seem_train.prediction.photo import PhotoSource
from seem_train.prediction.prompt_types import UserPrompt
from seem_train.prediction.user_prompts import scaled


@dataclass(frozen=True)
class Asking:
    """A model before one photo.

    Args:
        look: embeds a reference photo.
    """

    model: SEEM
    now: EmbeddedPhoto
    look: Callable[[PhotoSource], EmbeddedPhoto]

    def answer(self, asked: Sequence[UserPrompt], memory: Tensor | None) -> tuple[Tensor, list[float]]:
        """Mask logits [K, h, w] of K objects, and how likely each is what its text means (1 without text).

        Args:
            memory: [K, h, w] logits of the last round.
        """
        if self.model.config.decoder.mode == "v1":
            return self._together(asked, memory)
        return self._one_by_one(asked)

    def _together(self, asked: Sequence[UserPrompt], memory: Tensor | None) -> tuple[Tensor, list[float]]:
        features = self.now.features
        h, w = features.mask_features.shape[-2:]
        logits = torch.zeros(len(asked), h, w, device=self.model.device)
        chances = [1.0] * len(asked)
        marked = [number for number, one in enumerate(asked) if one.is_marked or one.reference]
        if marked:
            prompts = self._marks([asked[number] for number in marked])
            if memory is not None:
                prompts = replace(prompts, previous=memory[marked])
            logits[marked] = self.model.refine(features, prompts)[0].float()
        with_text = [number for number, one in enumerate(asked) if one.text is not None]
        if not with_text:
            return logits, chances
        texts = [one.text for one in asked if one.text is not None]
        candidates = self.model.decode(features, ImagePrompts(texts)).final.grounding
        assert candidates is not None
        masks = candidates.masks[0].float()
        for number, chance in zip(with_text, self._chances(candidates.class_vectors[0], texts), strict=True):
            rank = chance * _overlap(masks, logits[number]) if number in marked else chance
            best = int(rank.argmax())
            logits[number], chances[number] = masks[best], float(chance[best])
        return logits, chances

    def _one_by_one(self, asked: Sequence[UserPrompt]) -> tuple[Tensor, list[float]]:
        features = self.now.features
        logits: list[Tensor] = []
        chances: list[float] = []
        for one in asked:
            words = [one.text] if one.text is not None else []
            if one.is_marked or one.reference:
                prompts = replace(self._marks([one]), texts=words)
                logits.append(self.model.refine(features, prompts)[0, 0].float())
                chances.append(1.0)
                continue
            answer = self.model.decode(features, ImagePrompts(words)).final.objects
            chance = self._chances(answer.class_vectors[0], words)[0]
            best = int(chance.argmax())
            logits.append(answer.masks[0, best].float())
            chances.append(float(chance[best]))
        return torch.stack(logits), chances

    def _chances(self, class_vectors: Tensor, texts: Sequence[str]) -> Tensor:
        """[T, Q] which of the queries each text means, as probabilities over the queries."""
        vectors = self.model.encode_text(texts).vectors.float()
        scale = self.model.language.logit_scale
        similarity, _ = postprocess.select_grounding(class_vectors.float(), vectors, scale)
        return similarity.softmax(0).T

    def _marks(self, asked: Sequence[UserPrompt]) -> ImagePrompts:
        """What was drawn, painted at the size the model sees, and what reference photos show."""
        seen = self.now.features.sizes[0]
        positive = torch.stack([scaled(one.positive, self.now.size, seen).paint(*seen) for one in asked])
        negative = torch.stack([scaled(one.negative, self.now.size, seen).paint(*seen) for one in asked])
        reference = self._references(asked)
        if not positive.any() and not negative.any():
            return ImagePrompts(reference=reference)
        return ImagePrompts(positive=positive, negative=negative, reference=reference)

    def _references(self, asked: Sequence[UserPrompt]) -> RegionTokens | None:
        found: list[RegionTokens] = []
        owners: list[int] = []
        for number, one in enumerate(asked):
            if one.reference is None:
                continue
            other, mask = self.look(one.reference[0]), one.reference[1]
            _check_reference(mask, other.size)
            seen = other.features.sizes[0]
            marks = torch.zeros(len(asked), *seen, dtype=torch.bool)
            marks[number] = torch.from_numpy(scaled_mask(mask, seen))
            found.append(self.model.encode_regions(other.features, [marks]))
            owners.append(number)
        return _merged(found, owners) if found else None


def _check_reference(mask: np.ndarray, size: tuple[int, int]) -> None:
    if mask.shape != size:
        raise UserError(
            f"the mask of a reference must be {size[1]} × {size[0]} pixels, as its image is; this one is "
            f"{mask.shape[1]} × {mask.shape[0]}"
        )
    if not mask.any():
        raise UserError("the mask of a reference is empty: nothing is marked in it")


def _overlap(candidates: Tensor, wanted: Tensor) -> Tensor:
    """[Q] how well candidates [Q, h, w] agree with a mask [h, w], all logits: IoU of probabilities."""
    each, one = candidates.float().sigmoid().flatten(1), wanted.float().sigmoid().flatten()
    both = each @ one
    return both / (each.sum(1) + one.sum() - both).clamp(min=1e-6)


def _merged(found: Sequence[RegionTokens], owners: Sequence[int]) -> RegionTokens:
    """The tokens of several references of K objects, the n-th about object `owners[n]`, as one."""
    first = found[0]
    positive, negative = first.positive.clone(), first.negative.clone()
    for tokens, owner in zip(found, owners, strict=True):
        positive[:, owner], negative[:, owner] = tokens.positive[:, owner], tokens.negative[:, owner]
    levels = range(len(first.levels))
    return RegionTokens(
        tuple(torch.cat([tokens.levels[level] for tokens in found], dim=1) for level in levels),
        tuple(torch.cat([tokens.owners[level] for tokens in found], dim=1) for level in levels),
        positive,
        negative,
    )
