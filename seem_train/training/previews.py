"""A few validation images as a run goes on: photo | truth | prediction, then a text and a click."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from seem_train.data.clicks import deepest_pixel
from seem_train.data.dataset import Sample, SegmentationSet
from seem_train.data.image_scale import Scale
from seem_train.files import writing
from seem_train.model import postprocess
from seem_train.model.draws import SeededDraws
from seem_train.model.prompts import ImagePrompts, Marks, ObjectPrompt
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.output import draw

HEIGHT = 240  #: of each picture of a sheet, pixels
_FOUND = (46, 134, 222)


def chosen(images: int, count: int) -> list[int]:
    """The same few images at every evaluation, spread over the split."""
    return (
        sorted({round(place) for place in np.linspace(0, images - 1, min(count, images))}) if images else []
    )


@torch.no_grad()
def draw_previews(
    model: SEEM, images: SegmentationSet, indices: Sequence[int], scale: Scale, file: Path
) -> None:
    """Write one sheet, a row for each image. The model is put into evaluation mode for it."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        categories = model.class_embeddings(images.names)
        rows = [_row(model, images, index, scale, categories) for index in indices]
    finally:
        for module, training in modes.items():
            module.training = training
    columns = max(len(pictures) for pictures, _ in rows)
    blank = np.full((HEIGHT, HEIGHT, 3), 255, np.uint8)
    pictures = [p for row, _ in rows for p in [*row, *[blank] * (columns - len(row))]]
    captions = [c for _, row in rows for c in [*row, *[""] * (columns - len(row))]]
    sheet = draw.contact_sheet(pictures, captions, columns, HEIGHT)
    with writing(file) as new:
        Image.fromarray(sheet).save(new, format="JPEG", quality=88)


def _row(
    model: SEEM, images: SegmentationSet, index: int, scale: Scale, categories: torch.Tensor
) -> tuple[list[np.ndarray], list[str]]:
    sample = images.load(index)
    photo = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
    features = model.encode_image(scale.apply(photo).to(model.device))
    pictures = [photo, _truth(images, sample, photo), _prediction(model, images, features, photo, categories)]
    captions = [Path(sample.file).name, "truth", "prediction"]
    if sample.phrases:
        sentence = sample.phrases[0].sentences[0].raw
        mask = _answer_text(model, features, sentence, photo.shape[:2])
        pictures.append(draw.overlay(photo, [draw.Tinted(mask, _FOUND)]))
        captions.append(f"“{sentence}”")
    if sample.segments:
        pictures.append(_answer_click(model, features, sample, photo))
        captions.append("one click")
    return pictures, captions


def _truth(images: SegmentationSet, sample: Sample, photo: np.ndarray) -> np.ndarray:
    segments = [
        _shown(images, number + 1, segment.category) for number, segment in enumerate(sample.segments)
    ]
    return draw.overlay(photo, draw.panoptic_regions(sample.id_map.numpy(), segments, _colors(images)))


def _prediction(
    model: SEEM,
    images: SegmentationSet,
    features: ImageFeatures,
    photo: np.ndarray,
    categories: torch.Tensor,
) -> np.ndarray:
    objects = model.decode(features, categories=categories).final.objects
    assert objects.logits is not None
    thresholds = model.config.postprocess
    masks = _at_full_size(objects.masks[0], features, photo.shape[:2])
    found = postprocess.panoptic(
        objects.logits[0].float(),
        masks,
        images.things,
        thresholds.object_threshold,
        thresholds.overlap_threshold,
    )
    segments = [_shown(images, segment.id, segment.category_index) for segment in found.segments]
    return draw.overlay(photo, draw.panoptic_regions(found.id_map.cpu().numpy(), segments, _colors(images)))


def _answer_text(model: SEEM, features: ImageFeatures, text: str, size: Sequence[int]) -> np.ndarray:
    texts = model.encode_text([text])
    grounding = model.decode(features, ImagePrompts(texts), draws=SeededDraws(0)).final.grounding
    assert grounding is not None
    logits = model.language.text_logits(grounding.class_vectors[0], texts.vectors)
    best = int(logits[:, 0].argmax())
    return _at_full_size(grounding.masks[0, best : best + 1], features, size)[0].gt(0).cpu().numpy()


def _answer_click(model: SEEM, features: ImageFeatures, sample: Sample, photo: np.ndarray) -> np.ndarray:
    """What one click into the middle of the smallest segment but one finds: neither a speck nor the wall."""
    ids = sample.id_map.numpy()
    areas = np.bincount(ids.ravel(), minlength=len(sample.segments) + 1)[1:]
    order = [int(n) for n in np.argsort(areas) if areas[n] > 0]
    if not order:
        return photo
    row, column = deepest_pixel(ids == order[min(1, len(order) - 1)] + 1)
    height, width = features.sizes[0]
    x, y = (column + 0.5) * width / photo.shape[1], (row + 0.5) * height / photo.shape[0]
    prompt = ImagePrompts.of([ObjectPrompt(Marks(points=[(x, y)]))], (height, width))
    answer = model.refine(features, prompt, SeededDraws(0))
    mask = _at_full_size(answer[0], features, photo.shape[:2])[0].gt(0).cpu().numpy()
    shown = draw.overlay(photo, [draw.Tinted(mask, _FOUND)])
    return draw.draw_marks(shown, points=[(column, row, True)])


def _at_full_size(masks: torch.Tensor, features: ImageFeatures, size: Sequence[int]) -> torch.Tensor:
    return postprocess.resize_masks(masks, features.padded, features.sizes[0], (size[0], size[1]))


def _shown(images: SegmentationSet, number: int, category: int) -> dict[str, Any]:
    return {
        "id": number,
        "category_id": category,
        "label": images.names[category],
        "isthing": images.things[category],
    }


def _colors(images: SegmentationSet) -> dict[int, draw.Color]:
    found = {place: category.color for place, category in enumerate(images.categories)}
    return {place: (int(c[0]), int(c[1]), int(c[2])) for place, c in found.items()}
