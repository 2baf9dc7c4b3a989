"""What the object queries say of a photo ─▶ a panoptic, a semantic and an instance result."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from seem_train.model import postprocess
from seem_train.model.seem import SEEM
from seem_train.prediction.answers import Objects, Panoptic, Semantic
from seem_train.prediction.embedding import EmbeddedPhoto
from seem_train.prediction.full_size import decision_size, encoded_masks, enlarged, masks_at
from seem_train.prediction.vocabulary import Category
from seem_train.runtime import Runtime


@dataclass(frozen=True)
class Everything:
    """The answer to "what is there?", before it is made a result of one kind."""

    photo: EmbeddedPhoto
    categories: tuple[Category, ...]
    logits: Tensor  #: [Q, C+1] of the categories, "no object" last
    masks: Tensor  #: [Q, h, w] logits

    @classmethod
    def of(
        cls, model: SEEM, runtime: Runtime, photo: EmbeddedPhoto, categories: tuple[Category, ...]
    ) -> Everything:
        with runtime.autocast():
            embeddings = model.class_embeddings([category.name for category in categories])
            objects = model.decode(photo.features, categories=embeddings).final.objects
        assert objects.logits is not None
        return cls(photo, categories, objects.logits[0].float(), objects.masks[0])

    @property
    def _things(self) -> list[bool]:
        return [category.isthing for category in self.categories]

    def panoptic(self, object_threshold: float, overlap_threshold: float) -> Panoptic:
        """See `postprocess.panoptic`."""
        queries = postprocess.confident(self.logits, object_threshold).nonzero()[:, 0]
        size = decision_size(self.photo, len(queries))
        resized = masks_at(self.masks[queries], self.photo, size).at(slice(None))
        result = postprocess.panoptic(
            self.logits[queries], resized, self._things, object_threshold, overlap_threshold
        )
        id_map, segments = result.id_map.cpu().numpy(), result.segments
        if size != self.photo.size:
            id_map = enlarged(id_map, self.photo.size)
            areas = np.bincount(id_map.ravel(), minlength=len(segments) + 1)
            segments = [replace(segment, area=int(areas[segment.id])) for segment in segments]
        return Panoptic(
            self.photo.photo,
            self.categories,
            self.photo.file_name,
            id_map=id_map,
            segments=segments,
            object_threshold=object_threshold,
            best_score=float(self.logits.softmax(-1)[:, :-1].max()),
        )

    def semantic(self) -> Semantic:
        size = decision_size(self.photo, len(self.masks))
        resized = masks_at(self.masks, self.photo, size).at(slice(None))
        labels = postprocess.semantic_labels(self.logits, resized).cpu().numpy().astype(np.int32)
        labels = enlarged(labels, self.photo.size)
        return Semantic(self.photo.photo, self.categories, self.photo.file_name, labels=labels)

    def coarse_semantic(self) -> np.ndarray:
        """[h, w] int32 index into `categories`, as fine as the model's own masks."""
        features, (h, w) = self.photo.features, self.masks.shape[-2:]
        (height, width), (down, across) = features.sizes[0], features.padded
        inside = self.masks[:, : max(1, h * height // down), : max(1, w * width // across)]
        return postprocess.semantic_labels(self.logits, inside).cpu().numpy().astype(np.int32)

    def instances(self, top: int, min_score: float) -> Objects:
        """Of the `top` pairs of mask and category those that score enough, best first."""
        chances, category, query = postprocess.rank_pairs(self.logits, top, self._things)
        keep = chances >= min_score  # the quality of a mask, at most 1, only makes it less
        chances, category, query = chances[keep], category[keep], query[keep]
        used, slot = query.unique(return_inverse=True)
        found = encoded_masks(self.masks[used], self.photo)
        scores = chances.cpu().numpy() * found.scores[slot.cpu().numpy()]
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= min_score]
        return Objects(
            self.photo.photo,
            self.categories,
            self.photo.file_name,
            encoded=[found.encoded[int(slot[place])] for place in order],
            category_index=category.cpu().numpy()[order],
            scores=scores[order],
        )
