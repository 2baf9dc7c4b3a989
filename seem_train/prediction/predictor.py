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
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from seem_train.data.image_scale import OBJECTS, Scale
from seem_train.devices import Precision
from seem_train.errors import UserError
from seem_train.model.seem import SEEM
from seem_train.prediction.answers import Objects, Panoptic, Semantic
from seem_train.prediction.asking import Asking
from seem_train.prediction.conversation import Conversation
from seem_train.prediction.embedding import EmbeddedPhoto, embed_photos
from seem_train.prediction.everything import Everything
from seem_train.prediction.full_size import encoded_masks
from seem_train.prediction.photo import PhotoSource, open_photo
from seem_train.prediction.prompt_types import (
    Boxes,
    Masks,
    Points,
    Prompts,
    References,
    Strokes,
    Texts,
    UserPrompt,
    any_marks,
)
from seem_train.prediction.user_prompts import read_prompts
from seem_train.prediction.vocabulary import CategoriesLike, Category, as_categories, coco_categories
from seem_train.ranges import check_ranges
from seem_train.runtime import Runtime, pick_precision
from seem_train.weights.opening import open_model

UNNAMED = "object"  #: what an object is called that is pointed at without a word


class Predictor:
    """A model at work on one photo after another.

    Args:
        model: a run or adapter folder, a file of weights, the name of a preset, or a model.
        categories: names, rows or their JSON file (see `vocabulary.as_categories`) for `panoptic`, `semantic`
            and `instances`; by default those the model was tuned on, of official weights and of a bare model
            COCO's 133.
        size: shorter side in pixels at which the model sees photos; by default what its run was evaluated
            at, else the original's 800.
        device: where to put the model; None leaves a model where it is, and means the CPU for a folder.
        precision: "bf16" and "fp16" are faster on a GPU; "auto" takes the best the device has.

    >>> predictor = Predictor("runs/kitchen", size=64)
    >>> predictor.set_image("photo.png")
    >>> mugs = predictor.segment(text=["the red mug", None], points=[None, [(10, 20), (70, 50, 0)]])
    >>> mugs.names, mugs.masks.shape
    (['the red mug', 'object'], (2, 60, 80))
    >>> len(predictor.refine(points=[[(12, 22)], None]))
    2

    Raises:
        UserError: there is no such model, the categories are none, or the device has no such precision.
    """

    def __init__(
        self,
        model: SEEM | str | os.PathLike[str],
        categories: CategoriesLike | None = None,
        *,
        size: int | None = None,
        device: str | torch.device | None = None,
        precision: Precision | Literal["auto"] = "fp32",
    ) -> None:
        check_ranges({}, {"size": size})
        if isinstance(model, SEEM):
            self.model = model.eval() if device is None else model.to(device).eval()
        else:
            self.model = open_model(str(model), device=device or "cpu").model
        known, self.scale = _habits(self.model)
        self.categories = known if categories is None else as_categories(categories, known)
        if size is not None:
            self.scale = Scale.of(size)
        self._runtime = Runtime(self.model.device, pick_precision(precision, self.model.device))
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
        categories: CategoriesLike | None = None,
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
        check_ranges({"object_threshold": object_threshold, "overlap_threshold": overlap_threshold}, {})
        own = self.model.config.postprocess
        return self._everything(categories).panoptic(
            own.object_threshold if object_threshold is None else object_threshold,
            own.overlap_threshold if overlap_threshold is None else overlap_threshold,
        )

    @torch.no_grad()
    def semantic(self, categories: CategoriesLike | None = None) -> Semantic:
        """The likeliest category of every pixel; `categories` as in `panoptic`."""
        return self._everything(categories).semantic()

    @torch.no_grad()
    def coarse_semantic(self) -> np.ndarray:
        """As `semantic` for the predictor's own categories, but as fine as the model's own masks (a quarter
        of what it sees): [h, w] int32 index into `categories`. Quick, for naming what was pointed at."""
        return self._everything(None).coarse_semantic()

    @torch.no_grad()
    def instances(
        self,
        categories: CategoriesLike | None = None,
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
        check_ranges({"min_score": min_score}, {"top": top})
        most = self.model.config.postprocess.top_instances if top is None else top
        return self._everything(categories).instances(most, min_score)

    def _everything(self, categories: CategoriesLike | None) -> Everything:
        named = self.categories if categories is None else as_categories(categories, self.categories)
        return Everything.of(self.model, self._runtime, self._now, named)

    # ── what is asked for ──────────────────────────────────────────────────────────────────────────

    def segment(
        self,
        text: Texts | None = None,
        points: Points | None = None,
        boxes: Boxes | None = None,
        strokes: Strokes | None = None,
        masks: Masks | None = None,
        reference: References | None = None,
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
        return self.segment_prompts(Prompts(text, points, boxes, strokes, masks, reference))

    def segment_prompts(self, prompts: Prompts) -> Objects:
        """As `segment`, for prompts that are kept and asked of several photos."""
        asked = read_prompts(self._now.size, prompts)
        _refuse_negatives_alone(asked)
        self.reset()
        return self._ask(asked)

    def refine(
        self,
        points: Points | None = None,
        boxes: Boxes | None = None,
        strokes: Strokes | None = None,
        masks: Masks | None = None,
        reference: References | None = None,
        text: Texts | None = None,
    ) -> Objects:
        """A further round on the objects of the last `segment`: new marks join the old, and the masks of the
        last round are remembered (the v1 models' memory). Arguments, answer and errors as of `segment`.

        Raises:
            UserError: also where nothing was segmented yet, or the number of objects differs.
        """
        if not self._asked:
            raise UserError("there is nothing to refine; call segment first")
        given = Prompts(text, points, boxes, strokes, masks, reference)
        more = read_prompts(self._now.size, given)
        if len(more) != len(self._asked):
            raise UserError(
                f"{len(self._asked)} objects were segmented, but marks are given for {len(more)}; "
                "give a list with None for those to be left as they are"
            )
        return self._ask([old.plus(new) for old, new in zip(self._asked, more, strict=True)])

    def reset(self) -> None:
        """Forget prompts and memory; the photo stays."""
        self._asked: list[UserPrompt] = []
        self._memory: Tensor | None = None  # [K, h, w] mask logits of the last round

    @property
    def conversation(self) -> Conversation:
        """What was asked since the last `segment`, and what the model remembers; for `resume`."""
        return Conversation(tuple(self._asked), self._memory)

    def resume(self, conversation: Conversation) -> None:
        """Let the next `refine` go on from there, about the same photo; one predictor can so serve many
        objects in turn. `conversation.about_mask` makes one of a mask that came from elsewhere."""
        self._asked, self._memory = list(conversation.asked), conversation.memory

    @torch.no_grad()
    def _ask(self, asked: list[UserPrompt]) -> Objects:
        with self._runtime.autocast():
            asking = Asking(self.model, self._now, self._look)
            logits, chances = asking.answer(asked, self._memory)
        found = encoded_masks(
            logits, self._now, ["bilinear" if one.text is None else "bicubic" for one in asked]
        )
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


def _habits(model: SEEM) -> tuple[tuple[Category, ...], Scale]:
    """What a model was tuned on and its run evaluated at; else COCO's categories and the original's size."""
    card = model.card
    categories = as_categories(card.categories) if card and card.categories else coco_categories()
    return categories, Scale.of(card.photo_size) if card and card.photo_size else OBJECTS


def _refuse_negatives_alone(asked: list[UserPrompt]) -> None:
    for number, one in enumerate(asked):
        if not any_marks(one.positive) and one.text is None and one.reference is None:
            what = "only says what it is not" if one.is_marked else "has no prompt"
            raise UserError(f"object {number} {what}; give it a point, box, stroke, mask, text or reference")
