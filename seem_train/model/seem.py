"""SEEM: encode an image once, encode texts once, decode as many prompts as you like.

features = model.encode_image(image)                              # slow
everything = model.decode(features, categories=embeddings)         # free: kept with the features
click = model.decode(features, ImagePrompts.of([ObjectPrompt(Marks(points=[(310, 240)]))], size))  # fast
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from seem_train.errors import UserError
from seem_train.model.attention import QUERIES, Kind
from seem_train.model.card import Card
from seem_train.model.checks import check_device, check_image, check_prompts
from seem_train.model.config import SEEMConfig
from seem_train.model.decoder import Memory, QueryVectors, SEEMDecoder, best_fitting
from seem_train.model.draws import SeededDraws
from seem_train.model.language import (
    BACKGROUND,
    LanguageEncoder,
    TextEmbeddings,
    spoken_names,
    training_prompts,
)
from seem_train.model.pixel_decoders.deformable import DeformablePixelDecoder
from seem_train.model.pixel_decoders.fpn import FPNPixelDecoder
from seem_train.model.predictions import (
    GroundingPredictions,
    LayerPredictions,
    ObjectPredictions,
    Predictions,
    RegionVectors,
    SpatialPredictions,
)
from seem_train.model.prepare import PreparedPrompts, prepare, prepare_regions
from seem_train.model.prompts import ImagePrompts, RegionTokens
from seem_train.model.trunks.build import build_trunk

PIXEL_DECODERS = {"fpn": FPNPixelDecoder, "deformable": DeformablePixelDecoder}


@dataclass(frozen=True)
class ImageFeatures:
    """A batch of encoded images; holds all that decoding needs, so that the images may be forgotten."""

    memory: Memory  #: mask features and three levels, as the decoder looks at them
    sizes: tuple[tuple[int, int], ...]  #: (height, width) of each image before padding
    padded: tuple[int, int]  #: (height, width) of the batch; mask logits are a quarter of it
    objects: ObjectPredictions | None = None  #: v1 in evaluation: the answer no prompt changes

    @property
    def mask_features(self) -> Tensor:
        """[B, D, H/4, W/4] of the padded batch."""
        return self.memory.mask_features

    def __len__(self) -> int:
        return len(self.sizes)


class SEEM(nn.Module):
    """The whole model; the official names of its parts are `OFFICIAL_PREFIX` and the trunk's own key map."""

    OFFICIAL_PREFIX: ClassVar[dict[str, str]] = {
        "backbone": "backbone.",
        "pixel_decoder": "sem_seg_head.pixel_decoder.",
        "language": "sem_seg_head.predictor.lang_encoder.",
        "decoder": "sem_seg_head.predictor.",
    }

    def __init__(self, config: SEEMConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_trunk(config.trunk)
        decoder = PIXEL_DECODERS[config.pixel_decoder.kind]
        self.pixel_decoder = decoder(config.pixel_decoder, self.backbone.out_channels)
        self.language = LanguageEncoder(config.language)
        self.decoder = SEEMDecoder(
            config.decoder,
            conv_dim=config.pixel_decoder.conv_dim,
            mask_dim=config.pixel_decoder.mask_dim,
            projection=config.language.projection,
        )
        self.register_buffer("pixel_mean", torch.tensor(config.pixel_mean)[:, None, None], persistent=False)
        self.register_buffer("pixel_std", torch.tensor(config.pixel_std)[:, None, None], persistent=False)
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.card: Card | None = None  #: of the adapter folder it came from: categories, sizes, …

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    # ── images ─────────────────────────────────────────────────────────────────────────────────────

    def encode_image(self, images: Tensor | Sequence[Tensor]) -> ImageFeatures:
        """RGB images of values 0…255, uint8 or float: one [3, H, W], a batch [B, 3, H, W], or a list of them.

        Images are normalised, then padded right and below with zeros to the largest of the batch, rounded up
        to a multiple of 32. Without gradients, in evaluation, the v1 model's object predictions are kept with
        the features, and the keys and values of all decoder layers, which makes a prompt cheap, for 252 bytes
        a pixel (float32, full size).
        """
        batch, sizes = self.normalise(images)
        mask_features, levels = self.pixel_decoder(self.backbone(batch))
        final = not (self.training or torch.is_grad_enabled())
        memory = self.decoder.look(mask_features, levels, keep=final)
        features = ImageFeatures(memory, sizes, (batch.shape[-2], batch.shape[-1]))
        if final and self.config.decoder.mode == "v1":
            answers = self.decoder(memory, PreparedPrompts(), kinds=(Kind.OBJECT,))
            features = replace(features, objects=_objects(answers[-1][Kind.OBJECT], memory))
        return features

    def normalise(self, images: Tensor | Sequence[Tensor]) -> tuple[Tensor, tuple[tuple[int, int], ...]]:
        """The padded batch [B, 3, H, W] and each image's (height, width)."""
        if isinstance(images, Tensor):
            images = images if images.dim() == 4 else [images]
        if len(images) == 0:
            raise UserError("there is no image to encode: give [3, H, W], [B, 3, H, W] or a list of images")
        for image in images:
            check_image(image)
        sizes = tuple((int(i.shape[-2]), int(i.shape[-1])) for i in images)
        divisor = self.config.size_divisor
        height = -(-max(h for h, _ in sizes) // divisor) * divisor
        width = -(-max(w for _, w in sizes) // divisor) * divisor
        batch = self.pixel_mean.new_zeros(len(sizes), 3, height, width)
        if isinstance(images, Tensor):  # one shape: all at once
            h, w = sizes[0]
            batch[:, :, :h, :w] = (images.to(self.device, torch.float32) - self.pixel_mean) / self.pixel_std
            return batch, sizes
        for row, image, (h, w) in zip(batch, images, sizes, strict=True):
            row[:, :h, :w] = (image.to(self.device, torch.float32) - self.pixel_mean) / self.pixel_std
        return batch, sizes

    # ── texts and categories ───────────────────────────────────────────────────────────────────────

    def encode_text(self, texts: Sequence[str]) -> TextEmbeddings:
        """Embeddings of texts; those of a frozen or evaluating encoder are kept by text."""
        if isinstance(texts, str):
            texts = [texts]
        return self.language(texts)

    def class_embeddings(
        self, names: Sequence[str], *, train: bool = False, draws: torch.Generator | None = None
    ) -> Tensor:
        """[C+1, D] unit vectors of categories, the background last; for `decode(…, categories=…)`.

        The mean over all templates, or with `train` one template each, drawn from `draws`.
        """
        if not train:
            return self.language.category_embeddings(names)

        def draw(n: int) -> int:
            return int(torch.randint(n, (1,), generator=draws))

        prompts = training_prompts((*spoken_names(names), BACKGROUND), draw)
        return self.language.sentence_embeddings(prompts)

    # ── prompts ────────────────────────────────────────────────────────────────────────────────────

    def encode_regions(
        self, features: ImageFeatures, marks: Sequence[Tensor], draws: SeededDraws | None = None
    ) -> RegionTokens:
        """Tokens under marks [K, H, W] of each reference image: the `ImagePrompts.reference` of another.

        In the demo mode they are a group of their own. In v1, whose reference path fails in the original,
        they join the stroke tokens of object k.
        """
        pixels = prepare_regions(marks, features.padded, self.config.decoder, self._draws(draws), self.device)
        return self.decoder.region_tokens(features.memory, pixels, max(len(m) for m in marks))

    def prepare(
        self,
        features: ImageFeatures,
        prompts: ImagePrompts | Sequence[ImagePrompts],
        draws: SeededDraws | None = None,
    ) -> PreparedPrompts:
        """Checks prompts, makes the random draws, pads the batch and moves it to the device."""
        prompts = [prompts] if isinstance(prompts, ImagePrompts) else list(prompts)
        if len(prompts) != len(features):
            raise UserError(
                f"{len(features)} images are encoded, but prompts are given for {len(prompts)}; give one "
                "ImagePrompts for each image (empty ones for images without prompts)"
            )
        for number, (prompt, size) in enumerate(zip(prompts, features.sizes, strict=True)):
            check_prompts(prompt, number, size, features.padded, features.mask_features)
        texts = [p.texts if isinstance(p.texts, TextEmbeddings) else None for p in prompts]
        for number, prompt in enumerate(prompts):
            if texts[number] is None and len(prompt.texts):
                texts[number] = self.encode_text(prompt.texts)  # pyright: ignore[reportArgumentType]
        return prepare(prompts, texts, features.padded, self.config.decoder, self._draws(draws), self.device)

    def _draws(self, draws: SeededDraws | None) -> SeededDraws:
        """Deterministic in evaluation, torch's own generator in training."""
        if draws is not None:
            return draws
        return SeededDraws(generator=torch.default_generator) if self.training else SeededDraws(0)

    # ── decoding ───────────────────────────────────────────────────────────────────────────────────

    def decode(
        self,
        features: ImageFeatures,
        prompts: ImagePrompts | Sequence[ImagePrompts] | PreparedPrompts | None = None,
        categories: Tensor | None = None,
        *,
        draws: SeededDraws | None = None,
        every_layer: bool | None = None,
    ) -> Predictions:
        """Predictions of encoded images under prompts (one `ImagePrompts` for each image).

        `categories` [C+1, D] give the class logits. `every_layer` (default: in training)
        returns the predictions of all layers, else only the last. Once `prompts` are prepared (`prepare`) it
        runs without waiting for the device.
        """
        if categories is not None:
            check_device("the categories' embeddings", categories, features.mask_features)
            if categories.dim() != 2 or categories.shape[1] != self.config.language.projection:
                raise UserError(
                    f"categories must be [C+1, {self.config.language.projection}] embeddings, as "
                    f"`class_embeddings` gives them; these are {list(categories.shape)}"
                )
        if prompts is None:
            prompts = PreparedPrompts()
        elif not isinstance(prompts, PreparedPrompts):
            prompts = self.prepare(features, prompts, draws)
        every_layer = self.training if every_layer is None else every_layer
        known = features.objects if not every_layer and not torch.is_grad_enabled() else None
        kinds = QUERIES if known is None else (Kind.GROUNDING, Kind.SPATIAL)
        regions = self._regions(features, prompts)
        answers: list[dict[Kind, QueryVectors]] = [{}]
        if known is None or prompts.texts is not None or prompts.objects:
            answers = self.decoder(features.memory, prompts, regions, kinds)
        chosen = answers if every_layer else answers[-1:]
        vectors = _merge(regions, prompts.reference)
        return Predictions(
            layers=tuple(self._layer(a, features.memory, vectors, known, categories) for a in chosen),
            strokes=_vectors(regions),
            references=_vectors(prompts.reference),
        )

    @torch.no_grad()
    def refine(
        self,
        features: ImageFeatures,
        prompts: ImagePrompts | Sequence[ImagePrompts] | PreparedPrompts,
        draws: SeededDraws | None = None,
    ) -> Tensor:
        """[B, K, h, w] mask logits of each object: of the query that fits its strokes best. One click round.

        Runs the spatial queries alone. Give the result back as `ImagePrompts.previous`.
        """
        if not isinstance(prompts, PreparedPrompts):
            prompts = self.prepare(features, prompts, draws)
        regions = self._regions(features, prompts)
        vectors = _merge(regions, prompts.reference)
        if vectors is None:
            raise UserError("there is no object to refine: give points, boxes, strokes, polygons or masks")
        v1 = self.config.decoder.mode == "v1"
        kind = Kind.SPATIAL if v1 else Kind.OBJECT
        masks = self.decoder(features.memory, prompts, regions, (kind,))[-1][kind].masks
        if v1:
            candidates = masks.unflatten(1, (prompts.objects, -1))  # [B, K, n, D]
        else:
            candidates = masks[:, None].expand(-1, prompts.objects, -1, -1)
        chosen = best_fitting(candidates, vectors.positive)
        return features.memory.masks(chosen)

    def _regions(self, features: ImageFeatures, prompts: PreparedPrompts) -> RegionTokens | None:
        if not prompts.pixels:
            return None
        return self.decoder.region_tokens(features.memory, prompts.pixels, prompts.objects)

    def _layer(
        self,
        answers: dict[Kind, QueryVectors],
        memory: Memory,
        vectors: RegionVectors | None,
        known: ObjectPredictions | None,
        categories: Tensor | None,
    ) -> LayerPredictions:
        objects = known if known is not None else _objects(answers[Kind.OBJECT], memory)
        if categories is not None:
            logits = self.language.class_logits(objects.class_vectors, categories)
            objects = replace(objects, logits=logits)
        grounding = spatial = None
        if (texts := answers.get(Kind.GROUNDING)) is not None:
            grounding = GroundingPredictions(texts.classes, memory.masks(texts.masks))
        if (marked := answers.get(Kind.SPATIAL)) is not None and vectors is not None:
            spatial = SpatialPredictions(
                marked.classes, marked.masks, memory.masks(marked.masks), vectors.positive, vectors.negative
            )
        return LayerPredictions(objects, grounding, spatial)


def _objects(vectors: QueryVectors, memory: Memory) -> ObjectPredictions:
    return ObjectPredictions(vectors.classes, vectors.masks, memory.masks(vectors.masks), None)


def _vectors(regions: RegionTokens | None) -> RegionVectors | None:
    return None if regions is None else RegionVectors(regions.positive, regions.negative)


def _merge(strokes: RegionTokens | None, reference: RegionTokens | None) -> RegionVectors | None:
    """An object's own marks speak for it; where it has none, those on its reference image."""
    if strokes is None or reference is None:
        return _vectors(strokes or reference)

    def first(own: Tensor, other: Tensor) -> Tensor:
        return torch.where((own == -1).all(-1, keepdim=True), other, own)

    return RegionVectors(
        first(strokes.positive, reference.positive), first(strokes.negative, reference.negative)
    )
