"""What the model's three calls return: features of images, embeddings of texts, predictions.

B images, Q object queries, D the decoder's width, (h, w) the mask resolution (stride 4),
T texts of an image, K spatial prompts (interactive objects) of an image, C categories.
All masks are logits; sigmoid(logit) > 0.5 is foreground.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ObjectPredictions:
    """One decoder layer's answer of the object queries; independent of every prompt in the v1 model."""

    class_vectors: Tensor  #: [B, Q, D] before normalisation; compared with text embeddings (`pred_captions`)
    mask_vectors: Tensor  #: [B, Q, D] dotted with the mask features (`pred_maskembs`)
    masks: Tensor  #: [B, Q, h, w] logits (`pred_masks`)
    logits: Tensor | None  #: [B, Q, C+1]; last column is the background class (`pred_logits`)


@dataclass(frozen=True)
class GroundingPredictions:
    """One decoder layer's answer of the grounding queries (one per object query)."""

    class_vectors: Tensor  #: [B, Q, D] (`pred_gtexts`)
    masks: Tensor  #: [B, Q, h, w] logits (`pred_gmasks`)


@dataclass(frozen=True)
class SpatialPredictions:
    """One decoder layer's answer of the spatial queries: `n` consecutive queries for each prompt."""

    class_vectors: Tensor  #: [B, n·K, D] (`pred_stexts`)
    mask_vectors: Tensor  #: [B, n·K, D] (`pred_smaskembs`)
    masks: Tensor  #: [B, n·K, h, w] logits (`pred_smasks`)
    positive: Tensor  #: [B, K, D] mean mask feature under positive strokes (`pred_pspatials`); −1: none
    negative: Tensor  #: [B, K, D] likewise for the negative strokes (`pred_nspatials`)


@dataclass(frozen=True)
class LayerPredictions:
    objects: ObjectPredictions
    grounding: GroundingPredictions | None = None
    spatial: SpatialPredictions | None = None


@dataclass(frozen=True)
class RegionVectors:
    """Mean mask features under the marks of each object; −1 where it has none of that sign."""

    positive: Tensor  #: [B, K, D] (`pred_pspatials`, of reference images `pred_pvisuals`)
    negative: Tensor  #: [B, K, D]


@dataclass(frozen=True)
class Predictions:
    """`layers[0]` is what the learned queries say before any layer, `layers[-1]` the final answer.

    In evaluation only the final answer is made unless every layer is asked for. The demo mode answers all
    prompts with its object queries; `strokes` and `references` are what their mask vectors are dotted with
    to choose among them.
    """

    layers: tuple[LayerPredictions, ...]
    strokes: RegionVectors | None = None  #: of marks on the image itself
    references: RegionVectors | None = None  #: of marks on reference images

    @property
    def final(self) -> LayerPredictions:
        return self.layers[-1]
