"""Embed a photo once, ask it many times: everything in it, words, clicks, boxes, strokes, another photo.

    predictor = Predictor("runs/kitchen/best")        # or weights, or a model
    predictor.set_image("photo.jpg")                  # slow, once
    predictor.panoptic().save("everything.png")
    mug = predictor.segment(text="the red mug", points=[(310, 240)])
    mug = predictor.refine(points=[(290, 300, 0)])    # not this part
    mug.masks[0]                                      # [H, W] bool

Photos go in as they are, coordinates are (x, y) pixels of the photo as a viewer shows it (EXIF applied),
answers have its size. The same calls give the same answers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seem_train.data.image_scale import OBJECTS, Scale
from seem_train.errors import UserError
from seem_train.model import postprocess
from seem_train.model.postprocess import OnDemandMasks
from seem_train.model.seem import SEEM
from seem_train.prediction.answers import Objects, Panoptic, Semantic, encoded_objects
from seem_train.prediction.asking import Asking
from seem_train.prediction.embedding import EmbeddedPhoto, embed_photos
from seem_train.prediction.photo import PhotoSource, open_photo
from seem_train.prediction.user_prompts import Asked, read_prompts
from seem_train.prediction.vocabulary import Category, CategoryLike, as_categories, coco_categories
from seem_train.runtime import Precision, Runtime
from seem_train.weights.opening import open_model

#: Above so many numbers (queries × pixels) a result is decided at a smaller size and then enlarged.
_LARGEST_DECISION = 128_000_000
UNNAMED = "object"  #: what an object is called that is pointed at without a word


class Predictor:
    """A model at work on one photo after another.

    Args:
        model: a run or adapter folder, a file of weights, the name of a preset, or a model.
        categories: names or rows (see `vocabulary.as_categories`) for `panoptic`, `semantic` and `instances`;
            by default those the model was tuned on, of official weights and of a bare model COCO's 133.
        size: shorter side in pixels at which the model sees photos; by default what its run was evaluated
            at, else the original's 800.
        device: where to put the model; None leaves a model where it is, and means the CPU for a folder.
        precision: "bf16" and "fp16" are faster on a GPU.

    Raises:
        UserError: there is no such model, or the categories are none.
    """

    def __init__(
        self,
        model: SEEM | str | os.PathLike[str],
        categories: Sequence[CategoryLike] | str | None = None,
        *,
        size: int | None = None,
        device: str | torch.device | None = None,
        precision: Precision = "fp32",
    ) -> None:
        if isinstance(model, SEEM):
            self.model = model.eval() if device is None else model.to(device).eval()
        else:
            self.model = open_model(str(model), device=device or "cpu").model
        known, self.scale = _habits(self.model)
        self.categories = known if categories is None else as_categories(categories, known)
        if size is not None:
            if size < 1:
                raise UserError(f"size {size}: photos need at least one pixel; 800 is usual")
            self.scale = Scale.of(size)
        self._runtime = Runtime(self.model.device, precision)
        self._embedded: EmbeddedPhoto | None = None
        self._reference: EmbeddedPhoto | None = None
        self.reset()

    # ── photos ─────────────────────────────────────────────────────────────────────────────────────

    def set_image(self, image: PhotoSource | EmbeddedPhoto) -> None:
        """Look at a photo (see `photo.open_photo` for what it may be); forgets the prompts of the last one.

        Raises:
            UserError: the photo cannot be read; the last one stays.
        """
        self._embedded = image if isinstance(image, EmbeddedPhoto) else self.embed([image])[0]
        self.reset()

    def embed(self, images: Sequence[PhotoSource]) -> list[EmbeddedPhoto]:
        """Look at several photos for later; those that the model sees at one size go through it together."""
        return embed_photos(self.model, self._runtime, self.scale, images)

    @property
    def image(self) -> np.ndarray:
        """The photo of now, [H, W, 3] uint8."""
        return self._now.photo

    @property
    def _now(self) -> EmbeddedPhoto:
        if self._embedded is None:
            raise UserError("there is no image yet; call set_image first")
        return self._embedded

    # ── everything ─────────────────────────────────────────────────────────────────────────────────

    @torch.no_grad()
    def panoptic(
        self,
        categories: Sequence[CategoryLike] | str | None = None,
        *,
        object_threshold: float | None = None,
        overlap_threshold: float | None = None,
    ) -> Panoptic:
        """Every pixel to one thing or kind of stuff, or to nothing.

        Args:
            categories: names or rows; default: the predictor's own. A bare name that those do not know is
                taken for a thing.
            object_threshold, overlap_threshold: see `postprocess.panoptic`; default: the model's.
        """
        now, named = self._now, self._named(categories)
        settings = self.model.config.postprocess
        sure = settings.object_threshold if object_threshold is None else object_threshold
        free = settings.overlap_threshold if overlap_threshold is None else overlap_threshold
        logits, masks = self._answer(named)
        queries = postprocess.confident(logits, sure).nonzero()[:, 0]
        size = _decision_size(now.photo, len(queries))
        things = [category.isthing for category in named]
        resized = _masks(masks[queries], now, size).at(slice(None))
        result = postprocess.panoptic(logits[queries], resized, things, sure, free)
        id_map, segments = result.id_map.cpu().numpy(), result.segments
        if size != now.photo.shape[:2]:
            id_map = _enlarged(id_map, now.photo)
            areas = np.bincount(id_map.ravel(), minlength=len(segments) + 1)
            segments = [replace(segment, area=int(areas[segment.id])) for segment in segments]
        return Panoptic(now.photo, named, now.file_name, id_map=id_map, segments=segments)

    @torch.no_grad()
    def semantic(self, categories: Sequence[CategoryLike] | str | None = None) -> Semantic:
        """The likeliest category of every pixel; `categories` as in `panoptic`."""
        now, named = self._now, self._named(categories)
        logits, masks = self._answer(named)
        size = _decision_size(now.photo, len(masks))
        best = postprocess.semantic_labels(logits, _masks(masks, now, size).at(slice(None)))
        labels = best.cpu().numpy().astype(np.int32)
        return Semantic(now.photo, named, now.file_name, labels=_enlarged(labels, now.photo))

    @torch.no_grad()
    def instances(
        self,
        categories: Sequence[CategoryLike] | str | None = None,
        *,
        top: int | None = None,
        min_score: float = 0.0,
    ) -> Objects:
        """Things one by one, best first; masks may overlap, and one mask may bear several names.

        Args:
            categories: as in `panoptic`; of stuff there are no instances.
            top: how many pairs of mask and category are looked at; default: the model's, 100.
            min_score: leave out what scores less.
        """
        now, named = self._now, self._named(categories)
        logits, masks = self._answer(named)
        top = self.model.config.postprocess.top_instances if top is None else top
        chances, category, query = postprocess.rank_pairs(logits, top, [c.isthing for c in named])
        keep = chances >= min_score  # the quality of a mask, at most 1, only makes it less
        chances, category, query = chances[keep], category[keep], query[keep]
        used, slot = query.unique(return_inverse=True)
        found = self._encoded(masks[used], ["bicubic"] * len(used))
        scores = chances.cpu().numpy() * found.scores[slot.cpu().numpy()]
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] >= min_score]
        return Objects(
            now.photo,
            named,
            now.file_name,
            encoded=[found.encoded[int(slot[place])] for place in order],
            category_index=category.cpu().numpy()[order],
            scores=scores[order],
        )

    def _answer(self, categories: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """Class logits [Q, C+1] and mask logits [Q, h, w] of the object queries."""
        with self._runtime.autocast():
            embeddings = self.model.class_embeddings([category.name for category in categories])
            objects = self.model.decode(self._now.features, categories=embeddings).final.objects
        assert objects.logits is not None
        return objects.logits[0].float(), objects.masks[0]

    def _named(self, categories: Sequence[CategoryLike] | str | None) -> tuple[Any, ...]:
        return self.categories if categories is None else as_categories(categories, self.categories)

    # ── what is asked for ──────────────────────────────────────────────────────────────────────────

    def segment(
        self,
        text: str | Sequence[str | None] | None = None,
        points: Any = None,
        boxes: Any = None,
        strokes: Any = None,
        masks: Any = None,
        reference: Any = None,
    ) -> Objects:
        """One mask for each object that is asked for; begins anew, without memory of earlier calls.

        What is given together speaks of the same object: text and points find "the mug, this one". For
        several objects give lists of equal length, None where an object has none of a kind.

        Args:
            text: "the red mug", or one text for each object. Texts of one call are read together, as in
                training and evaluation.
            points: [(x, y), (x, y, 0), …], 0 for what the object is not; or one such list for each object.
            boxes: (left, top, right, bottom), or one for each object; right and bottom are outside.
            strokes: a line [(x, y), …] drawn over the object (or with (x, y, 0) over what it is not), a mask
                [H, W], or one of these, or a list of lines, for each object.
            masks: [H, W], true (or not zero) inside, or [K, H, W]: a rough mask to be made better.
            reference: (image, mask): another photo, and [H, W] or [K, H, W] what is meant in it; or a list.

        Returns:
            K objects in the order asked for. A score is the mean probability inside the mask; with text,
            times the probability that this mask, of all the model's, is the one the text means.

        Raises:
            UserError: a prompt lies outside the photo, is empty, or does not fit the others.
        """
        asked = read_prompts(
            self._now.size,
            text=text,
            points=points,
            boxes=boxes,
            strokes=strokes,
            masks=masks,
            reference=reference,
        )
        _refuse_negatives_alone(asked)
        self.reset()
        return self._ask(asked)

    def refine(
        self,
        points: Any = None,
        boxes: Any = None,
        strokes: Any = None,
        masks: Any = None,
        reference: Any = None,
        text: str | Sequence[str | None] | None = None,
    ) -> Objects:
        """A further round on the objects of the last `segment`: new marks join the old, and the masks of the
        last round are remembered (the v1 models' memory). Arguments, answer and errors as of `segment`.

        Raises:
            UserError: also where nothing was segmented yet, or the number of objects differs.
        """
        if not self._asked:
            raise UserError("there is nothing to refine; call segment first")
        more = read_prompts(
            self._now.size,
            text=text,
            points=points,
            boxes=boxes,
            strokes=strokes,
            masks=masks,
            reference=reference,
        )
        if len(more) != len(self._asked):
            raise UserError(
                f"{len(self._asked)} objects were segmented, but marks are given for {len(more)}; "
                "give a list with None for those to be left as they are"
            )
        return self._ask([old.plus(new) for old, new in zip(self._asked, more, strict=True)])

    def reset(self) -> None:
        """Forget prompts and memory; the photo stays."""
        self._asked: list[Asked] = []
        self._memory: Tensor | None = None  # [K, h, w] mask logits of the last round

    @torch.no_grad()
    def _ask(self, asked: list[Asked]) -> Objects:
        with self._runtime.autocast():
            asking = Asking(self.model, self._now, self._look)
            logits, chances = asking.answer(asked, self._memory)
        found = self._encoded(logits, ["bilinear" if one.text is None else "bicubic" for one in asked])
        self._asked, self._memory = asked, logits
        names = [(one.text or UNNAMED).strip() for one in asked]
        distinct = {name.casefold(): name for name in reversed(names)}
        named = as_categories(list(distinct.values()), self.categories)
        place = {category.name.casefold(): number for number, category in enumerate(named)}
        index = np.array([place[name.casefold()] for name in names])
        return replace(
            found,
            categories=named,
            category_index=index,
            scores=found.scores * np.array(chances, np.float32),
        )

    def _look(self, image: PhotoSource) -> EmbeddedPhoto:
        """At a reference photo; the last one is kept, for several objects and rounds."""
        photo = open_photo(image)
        if self._reference is None or not np.array_equal(self._reference.photo, photo):
            self._reference = self.embed([photo])[0]
        return self._reference

    # ── answers ────────────────────────────────────────────────────────────────────────────────────

    def _encoded(self, logits: Tensor, modes: list[Any]) -> Objects:
        """Mask logits [N, h, w] at the photo's size, run-length encoded; scores are the masks' quality."""
        now, parts = self._now, []
        for mode in dict.fromkeys(modes):
            places = [place for place, other in enumerate(modes) if other == mode]
            masks = _masks(logits[places], now, self._now.size, mode)
            for start in range(0, len(places), masks.at_once):
                few = slice(start, start + masks.at_once)
                foreground, quality = postprocess.judge_masks(masks.at(few))
                pixels = foreground.cpu().numpy()
                index, scores = np.zeros(len(pixels), np.int64), quality.cpu().numpy()
                part = encoded_objects(now.photo, (), now.file_name, pixels, index, scores)
                parts += zip(places[few], part.encoded, part.scores, strict=True)
        parts.sort(key=lambda part: part[0])
        return Objects(
            now.photo,
            (),
            now.file_name,
            encoded=[encoded for _, encoded, _ in parts],
            category_index=np.zeros(len(parts), np.int64),
            scores=np.array([score for _, _, score in parts], np.float32),
        )


def _habits(model: SEEM) -> tuple[tuple[Category, ...], Scale]:
    """What a model was tuned on and its run evaluated at; else COCO's categories and the original's size."""
    card = model.card
    categories = as_categories(card.categories) if card and card.categories else coco_categories()
    size = card.preprocessing.get("eval_size") if card else None
    return categories, Scale.of(int(size)) if size else OBJECTS


def _refuse_negatives_alone(asked: list[Asked]) -> None:
    for number, one in enumerate(asked):
        nothing_for = not any(
            (one.positive.points, one.positive.boxes, one.positive.strokes, one.positive.masks)
        )
        if nothing_for and one.text is None and one.reference is None:
            what = "only says what it is not" if one.is_marked else "has no prompt"
            raise UserError(f"object {number} {what}; give it a point, box, stroke, mask, text or reference")


def _masks(logits: Tensor, now: EmbeddedPhoto, size: tuple[int, int], mode: Any = "bicubic") -> OnDemandMasks:
    return OnDemandMasks(logits, now.features.padded, now.features.sizes[0], size, mode)


def _decision_size(photo: np.ndarray, layers: int) -> tuple[int, int]:
    """(height, width) at which so many layers of floats fit in memory; normally the photo's own."""
    height, width = photo.shape[:2]
    factor = min(1.0, (_LARGEST_DECISION / (height * width * max(layers, 1))) ** 0.5)
    return max(1, int(height * factor)), max(1, int(width * factor))


def _enlarged(values: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Ids or labels at the size of the photo."""
    if values.shape == photo.shape[:2]:
        return values
    rows = np.arange(photo.shape[0]) * values.shape[0] // photo.shape[0]
    columns = np.arange(photo.shape[1]) * values.shape[1] // photo.shape[1]
    return values[rows[:, None], columns]
