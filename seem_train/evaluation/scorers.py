"""One image, one task: what the model answers, and how it counts. `evaluate` runs them over a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seem_data.layout import ImageRecord
from seem_train.data.clicks import next_click
from seem_train.data.dataset import Sample, SegmentationSet
from seem_train.data.image_scale import scaled_mask
from seem_train.evaluation.calibration import RIGHT, AbsentPhrases, add_instances
from seem_train.evaluation.result import PromptScore
from seem_train.metrics.grounding import GroundingScores
from seem_train.metrics.instance import InstanceAP, TrueInstance, encode_masks
from seem_train.metrics.interactive import InteractiveScores
from seem_train.metrics.panoptic import PanopticQuality, SegmentRow, TrueSegment
from seem_train.metrics.semantic import SemanticScores
from seem_train.metrics.thresholds import ThresholdSearch
from seem_train.model import postprocess
from seem_train.model.draws import SeededDraws
from seem_train.model.postprocess import OnDemandMasks, PanopticSegment
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.runtime import Runtime, stream_seed

#: Above so many pixels category scores, which take C floats a pixel, are made at a smaller size.
LARGEST_SEMANTIC = 4_000_000
_LARGEST_TRUTH = 32_000_000  #: pixels of true masks held at a time
CONTENT = 0.9  #: the simulated user stops when every object of the image is better than this


@dataclass(frozen=True)
class ScoredPhoto:
    """One image of a split with its ground truth, at its own size."""

    record: ImageRecord
    sample: Sample

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.id_map.shape[0], self.id_map.shape[1]

    @cached_property
    def id_map(self) -> np.ndarray:
        """[H, W] int32: n + 1 for segment n, 0 = void."""
        return self.sample.id_map.numpy()

    def masks_of(self, segments: Sequence[int]) -> np.ndarray:
        """[N, H, W] bool of the segments at these places."""
        return self.id_map == np.array(segments, np.int32)[:, None, None] + 1

    def semantic(self) -> np.ndarray:
        """[H, W] category index, -1 = void."""
        return np.array([-1, *(segment.category for segment in self.sample.segments)])[self.id_map]


@dataclass(frozen=True)
class Answer:
    """What the model said of one image's objects."""

    id_map: np.ndarray  #: [H, W] int32
    segments: list[PanopticSegment]
    quality: float  #: PQ of this image alone, mean over its categories


class ObjectScorer:
    """Panoptic, semantic and instance segmentation: one answer of the object queries serves all three.

    Args:
        thresholds: object and overlap threshold.
        panoptic, semantic, instance: what to count into; None leaves a task out.
        search: collects scores of instances, and which of them are right.
    """

    def __init__(
        self,
        model: SEEM,
        runtime: Runtime,
        images: SegmentationSet,
        thresholds: tuple[float, float],
        panoptic: PanopticQuality | None,
        semantic: SemanticScores | None,
        instance: InstanceAP | None,
        search: ThresholdSearch | None = None,
    ) -> None:
        self._model, self._runtime = model, runtime
        self._things = images.things
        self._ids = [category.id for category in images.categories]
        self._thresholds = thresholds
        self._embeddings = model.class_embeddings(images.names)
        self._panoptic, self._semantic, self._instance = panoptic, semantic, instance
        self._search = search

    def score(self, photo: ScoredPhoto, features: ImageFeatures) -> Answer | None:
        with self._runtime.autocast():
            objects = self._model.decode(features, categories=self._embeddings).final.objects
        assert objects.logits is not None
        logits = objects.logits[0].float()
        several = (self._panoptic, self._semantic, self._instance).count(None) < 2
        masks = _masks(objects.masks[0], features, photo, keep=several)
        if self._semantic is not None:
            self._semantic.update(_semantic_labels(logits, masks), photo.semantic())
        if self._instance is not None:
            self._score_instances(self._instance, photo, logits, masks)
        if self._panoptic is not None:
            return self._score_panoptic(self._panoptic, photo, logits, masks)
        return None

    def _score_panoptic(
        self, metric: PanopticQuality, photo: ScoredPhoto, logits: Tensor, masks: OnDemandMasks
    ) -> Answer:
        result = postprocess.panoptic(logits, masks, self._things, *self._thresholds)
        id_map = result.id_map.cpu().numpy()
        predicted: list[SegmentRow] = [
            {"id": s.id, "category_id": self._ids[s.category_index]} for s in result.segments
        ]
        true: list[TrueSegment] = [
            {"id": place, "category_id": s.category_id, "area": s.area, "iscrowd": s.iscrowd}
            for place, s in enumerate(photo.record.segments, start=1)
        ]
        added = metric.update(id_map, predicted, photo.id_map, true)
        return Answer(id_map, result.segments, metric.quality(added).pq)

    def _score_instances(
        self, metric: InstanceAP, photo: ScoredPhoto, logits: Tensor, masks: OnDemandMasks
    ) -> None:
        top_k = self._model.config.postprocess.top_instances
        scores, category, query = postprocess.rank_pairs(logits, top_k, self._things)
        used, slot = query.unique(return_inverse=True)
        encoded, quality = [], []
        for few in used.split(masks.at_once):
            foreground, mean = postprocess.judge_masks(masks.at(few))
            encoded += encode_masks(foreground.cpu().numpy())
            quality.append(mean)
        scores = scores * torch.cat([*quality, scores.new_zeros(0)])[slot]
        named = np.array(self._ids)[category.cpu().numpy()]
        found, true = [encoded[index] for index in slot.tolist()], self._true_instances(photo)
        metric.update(photo.record.id, scores.cpu().numpy(), named, found, photo.size, true)
        if self._search is not None:
            add_instances(self._search, scores.cpu().numpy(), named, found, true)

    def _true_instances(self, photo: ScoredPhoto) -> list[TrueInstance]:
        things = [n for n, segment in enumerate(photo.sample.segments) if self._things[segment.category]]
        pieces = _few(len(things), max(1, _LARGEST_TRUTH // photo.id_map.size))
        masks = [mask for few in pieces for mask in encode_masks(photo.masks_of(things[few]))]
        rows = [photo.record.segments[n] for n in things]
        return [
            {"category_id": s.category_id, "segmentation": mask, "area": s.area, "iscrowd": s.iscrowd}
            for s, mask in zip(rows, masks, strict=True)
        ]


class GroundingScorer:
    """Phrases: all those of an image are asked at once, as in the original.

    The first sentence of each grounded segment, or every one (`all_sentences`: the k-th of all segments
    together); crowds are left out, as in training. A split without grounding.json is asked for the names of
    categories of which an image has exactly one segment.
    """

    def __init__(
        self,
        model: SEEM,
        runtime: Runtime,
        images: SegmentationSet,
        all_sentences: bool,
        scores: GroundingScores,
        search: ThresholdSearch | None = None,
    ) -> None:
        self._model, self._runtime, self._scores = model, runtime, scores
        self._search, self._absent = search, AbsentPhrases(images) if search is not None else None
        self._names = None if images.split.has_grounding else images.names
        self._all_sentences = all_sentences

    def score(self, photo: ScoredPhoto, features: ImageFeatures, show: bool = False) -> PromptScore | None:
        """Count an image; with `show`, what its longest sentence found."""
        phrases = self._phrases(photo.sample)
        example: PromptScore | None = None
        rounds = max((len(texts) for _, texts in phrases), default=0)
        for number in range(rounds if self._all_sentences else min(rounds, 1)):
            asked = [(segment, texts[number]) for segment, texts in phrases if number < len(texts)]
            segments = [segment for segment, _ in asked]
            texts = [text for _, text in asked]
            longest = max(range(len(texts)), key=lambda n: len(texts[n]))
            masks, best, chances = self._find(texts, features, photo)
            for few in _few(len(asked), masks.at_once):
                logits = masks.at(best[few])
                found = (logits.sigmoid() > 0.5).cpu().numpy()
                ious = self._scores.update(found, photo.masks_of(segments[few]))
                if show and number == 0 and few.start <= longest < few.stop:
                    there = longest - few.start
                    example = PromptScore(texts[longest], found[there].copy(), float(ious[there]))
                if self._search is not None:
                    quality = postprocess.judge_masks(logits)[1] * chances[few]
                    self._search.update(quality.cpu().numpy(), ious >= RIGHT, len(ious))
        if self._search is not None and self._absent is not None and rounds:
            self._ask_in_vain(self._search, self._absent.of(photo.record, len(phrases)), features, photo)
        return example

    def _ask_in_vain(
        self, search: ThresholdSearch, texts: list[str], features: ImageFeatures, photo: ScoredPhoto
    ) -> None:
        if texts:
            masks, best, chances = self._find(texts, features, photo)
            for few in _few(len(texts), masks.at_once):
                quality = postprocess.judge_masks(masks.at(best[few]))[1] * chances[few]
                search.update(quality.cpu().numpy(), np.zeros(len(quality), bool), 0)

    def _phrases(self, sample: Sample) -> list[tuple[int, list[str]]]:
        """Segments and their sentences."""
        if self._names is None:
            return [
                (phrase.segment, [s.raw.lower() for s in phrase.sentences])
                for phrase in sample.phrases
                if not sample.segments[phrase.segment].iscrowd
            ]
        count = Counter(segment.category for segment in sample.segments)
        return [
            (place, [self._names[segment.category]])
            for place, segment in enumerate(sample.segments)
            if count[segment.category] == 1 and not segment.iscrowd
        ]

    def _find(
        self, texts: list[str], features: ImageFeatures, photo: ScoredPhoto
    ) -> tuple[OnDemandMasks, Tensor, Tensor]:
        """Masks of all queries; which each text means, and with which chance of all queries, [T] each."""
        with self._runtime.autocast():
            answer = self._model.decode(features, ImagePrompts(texts)).final
            vectors = self._model.encode_text(texts).vectors
        queries = answer.grounding or answer.objects  # the demo model answers with its object queries
        scale = self._model.language.logit_scale
        similarity, best = postprocess.select_grounding(
            queries.class_vectors[0].float(), vectors.float(), scale
        )
        chances = similarity.softmax(0).gather(0, best[None])[0]
        return _masks(queries.masks[0], features, photo), best, chances


class InteractiveScorer:
    """A simulated user clicks until every object of the image is good, or the clicks are used up.

    The objects are the things that are no crowds; of a dataset without things, all segments. All objects of
    an image are prompted together, the first click each deepest inside; IoU is measured at the photo's own
    size. (The original scales the true masks so that they grow by a halo; here they keep their size.)
    """

    def __init__(
        self, model: SEEM, runtime: Runtime, images: SegmentationSet, seed: int, scores: InteractiveScores
    ) -> None:
        self._model, self._runtime, self._scores = model, runtime, scores
        self._seed = seed
        self._eligible = images.things if any(images.things) else [True] * len(images.things)

    def score(self, photo: ScoredPhoto, features: ImageFeatures, show: bool = False) -> PromptScore | None:
        """Count an image; with `show`, what the first click on the middle one of its objects found."""
        objects = [
            place
            for place, segment in enumerate(photo.sample.segments)
            if self._eligible[segment.category] and not segment.iscrowd
        ]
        if not objects:
            return None
        small = [scaled_mask(photo.masks_of([place])[0], features.sizes[0]) for place in objects]
        seen = torch.from_numpy(np.stack(small))
        seen = F.pad(seen, (0, features.padded[1] - seen.shape[-1], 0, features.padded[0] - seen.shape[-2]))
        seen = seen.to(self._model.device)
        nothing = torch.zeros_like(seen)
        blank = torch.zeros(len(seen), 1, 1, device=seen.device)
        positive, negative = next_click(blank, seen, nothing, nothing)
        draws = SeededDraws(stream_seed(self._seed, photo.record.id))
        logits: Tensor | None = None
        ious: list[Tensor] = []
        example, chosen = None, len(objects) // 2
        for click in range(self._scores.max_clicks):
            prompts = ImagePrompts((), positive, negative, logits)
            with self._runtime.autocast():
                logits = self._model.refine(features, prompts, draws)[0].float()
            masks = _masks(logits, features, photo, mode="bilinear")
            ious.append(_iou(masks, photo, objects))
            if show and click == 0 and positive[chosen].any():
                where = _middle(positive[chosen], features.sizes[0], photo.size)
                found = (masks.at(slice(chosen, chosen + 1))[0].sigmoid() > 0.5).cpu().numpy()
                example = PromptScore(where, found, float(ious[0][chosen]))
            if bool((ious[-1] > CONTENT).all()):
                break
            if click + 1 < self._scores.max_clicks:
                positive, negative = next_click(logits, seen, positive, negative)
        self._scores.update(torch.stack(ious, dim=1).cpu().numpy())
        return example


def _middle(marked: Tensor, seen: tuple[int, int], size: tuple[int, int]) -> tuple[float, float]:
    """(x, y) in the photo of the middle of the marked pixels [h, w] of what the model saw of it."""
    row, column = (float(places.float().mean()) + 0.5 for places in marked.nonzero().T)
    return column * size[1] / seen[1], row * size[0] / seen[0]


def _masks(masks: Tensor, features: ImageFeatures, photo: ScoredPhoto, **how: Any) -> OnDemandMasks:
    return OnDemandMasks(masks, features.padded, features.sizes[0], photo.size, **how)


def _semantic_labels(logits: Tensor, masks: OnDemandMasks) -> np.ndarray:
    """[H, W] the best category of every pixel."""
    height, width = masks.size
    factor = min(1.0, (LARGEST_SEMANTIC / (height * width)) ** 0.5)
    small = masks.all_at((max(1, int(height * factor)), max(1, int(width * factor))))
    labels = postprocess.semantic_labels(logits, small).cpu().numpy().astype(np.int32)
    if labels.shape == (height, width):
        return labels
    return np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST))


def _iou(masks: OnDemandMasks, photo: ScoredPhoto, objects: Sequence[int]) -> Tensor:
    """[K] IoU with the segments at these places."""
    ious = []
    for few in _few(len(objects), masks.at_once):
        predicted = masks.at(few).sigmoid() > 0.5
        true = torch.from_numpy(photo.masks_of(objects[few])).to(predicted.device)
        ious.append((predicted & true).sum((1, 2)) / (predicted | true).sum((1, 2)).clamp(min=1))
    return torch.cat(ious)


def _few(count: int, at_once: int) -> Iterator[slice]:
    """0…count in pieces."""
    return (slice(start, start + at_once) for start in range(0, count, at_once))
