"""A few validation images as a run goes on: photo | truth | prediction, then a text and a click."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from seem_data.common.files import atomic_path
from seem_train.data.clicks import deepest_pixel
from seem_train.data.dataset import Sample, SegmentationSet
from seem_train.data.image_scale import Scale
from seem_train.model import postprocess
from seem_train.model.draws import SeededDraws
from seem_train.model.prompts import ImagePrompts, Marks, ObjectPrompt
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.output import draw

HEIGHT = 240  #: of each picture of a sheet, pixels


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
    with atomic_path(file) as new:
        Image.fromarray(sheet).save(new, format="JPEG", quality=88)


def _row(
    model: SEEM, images: SegmentationSet, index: int, scale: Scale, categories: torch.Tensor
) -> tuple[list[np.ndarray], list[str]]:
    sample = images.load(index)
    photo = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
    features = model.encode_image(scale.apply(photo).to(model.device))
    pictures = [photo, _truth(images, sample, photo), _prediction(model, images, features, photo, categories)]
    captions = [Path(sample.file).name, "truth", "prediction"]
    sentence = telling_sentence(sample, images.things)
    if sentence:
        mask = _answer_text(model, features, sentence, photo.shape[:2])
        pictures.append(draw.overlay(photo, [draw.Tinted(mask, draw.FOUND)]))
        captions.append(f"“{sentence}”")
    target = _target(sample)
    if target is not None:
        pictures.append(_answer_click(model, features, target, photo))
        pictures.append(_answer_box(model, features, target, photo))
        captions += ["one click", "one box"]
    return pictures, captions


def telling_sentence(sample: Sample, things: Sequence[bool]) -> str:
    """The longest sentence about a thing, which says most; about anything where there is no thing."""
    about = [p for p in sample.phrases if things[sample.segments[p.segment].category]] or sample.phrases
    return max((s.raw for phrase in about for s in phrase.sentences), key=len, default="")


def _target(sample: Sample) -> np.ndarray | None:
    """[H, W] the smallest segment but one: neither a speck nor the wall."""
    ids = sample.id_map.numpy()
    areas = np.bincount(ids.ravel(), minlength=len(sample.segments) + 1)[1:]
    order = [int(n) for n in np.argsort(areas) if areas[n] > 0]
    return ids == order[min(1, len(order) - 1)] + 1 if order else None


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


def _answer_click(model: SEEM, features: ImageFeatures, target: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """What one click into the middle of the target finds."""
    row, column = deepest_pixel(target)
    x, y = _scaled(features, photo, column + 0.5, row + 0.5)
    shown = _answer_marks(model, features, Marks(points=[(x, y)]), photo)
    return draw.draw_marks(shown, points=[(column, row, True)])


def _answer_box(model: SEEM, features: ImageFeatures, target: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """What the box around the target finds."""
    rows, columns = np.flatnonzero(target.any(1)), np.flatnonzero(target.any(0))
    box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    corners = (*_scaled(features, photo, *box[:2]), *_scaled(features, photo, *box[2:]))
    shown = _answer_marks(model, features, Marks(boxes=[corners]), photo)
    return draw.draw_marks(shown, boxes=[box])


def _answer_marks(model: SEEM, features: ImageFeatures, marks: Marks, photo: np.ndarray) -> np.ndarray:
    answer = model.refine(features, ImagePrompts.of([ObjectPrompt(marks)], features.sizes[0]), SeededDraws(0))
    mask = _at_full_size(answer[0], features, photo.shape[:2])[0].gt(0).cpu().numpy()
    return draw.overlay(photo, [draw.Tinted(mask, draw.FOUND)])


def _scaled(features: ImageFeatures, photo: np.ndarray, x: float, y: float) -> tuple[float, float]:
    """A place in the photo, in pixels of what the model sees."""
    height, width = features.sizes[0]
    return x * width / photo.shape[1], y * height / photo.shape[0]


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
