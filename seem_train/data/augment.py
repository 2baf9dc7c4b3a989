"""Augmentation: image and id map are scaled, mirrored and cropped together, and words about sides with them.

The recipe is the original's (detectron2's large-scale jitter): mirror with probability ½, scale so that the
image fits a square of 0.1 to 2 times the training size, cut out or pad to the training size. Every choice
comes from the generator that is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from seem_train.config import DataConfig
from seem_train.data.dataset import Phrase, Sample

Pixels = np.ndarray  # [H, W] or [H, W, 3]
PAD_IMAGE = 128  #: grey, as in the original; the id map is padded with 0, unlabelled


@dataclass(frozen=True)
class Geometry:
    """Where one image goes."""

    height: int  #: of the scaled image
    width: int
    top: int  #: of the cut, in the scaled image
    left: int
    mirrored: bool


def draw_geometry(height: int, width: int, config: DataConfig, rng: np.random.Generator) -> Geometry:
    """For an image of that size. Always takes the same number of draws from `rng`."""
    mirrored = bool(rng.random() < config.flip)
    target = config.size * rng.uniform(config.min_scale, config.max_scale)
    scale = min(target / height, target / width)
    new_height, new_width = max(round(height * scale), 1), max(round(width * scale), 1)
    down, across = rng.random(2)
    top = round(max(new_height - config.size, 0) * down)
    left = round(max(new_width - config.size, 0) * across)
    return Geometry(new_height, new_width, top, left, mirrored)


def augment(
    sample: Sample,
    geometry: Geometry,
    config: DataConfig,
    rng: np.random.Generator,
    names: Sequence[str] = (),
) -> Sample:
    """The sample as its geometry says: image [3, size, size], id map [size, size]; colours changed if
    configured.

    The sample's image and id map may have different sizes (`SegmentationSet.load` with `at_least`). Crowds
    become unlabelled; segments that the cut lost go, with what was said about them. (The original keeps these
    with empty masks.) In a mirrored image sentences change sides; sentences that cannot are dropped
    (`mirror_sentence`, which needs the category `names`).
    """
    image = _place(sample.pixels, geometry, config.size, PAD_IMAGE, nearest=False)
    ids = _place(sample.id_map.numpy(), geometry, config.size, 0, nearest=True)
    if config.color:
        image = change_colors(image, config.color, rng)
    areas = np.bincount(ids.ravel(), minlength=len(sample.segments) + 1)[1:]
    kept = [place for place, s in enumerate(sample.segments) if areas[place] and not s.iscrowd]
    new_place = {old: new for new, old in enumerate(kept)}
    table = np.zeros(len(sample.segments) + 1, np.int32)
    table[np.array(kept, int) + 1] = np.arange(1, len(kept) + 1)
    phrases = [replace(p, segment=new_place[p.segment]) for p in sample.phrases if p.segment in new_place]
    if geometry.mirrored:
        phrases = [mirrored for p in phrases if (mirrored := _mirror(p, names)) is not None]
    return Sample(
        image=torch.from_numpy(image).permute(2, 0, 1),
        id_map=torch.from_numpy(table[ids]),
        segments=tuple(sample.segments[place] for place in kept),
        phrases=tuple(phrases),
        file=sample.file,
    )


def _place(pixels: Pixels, geometry: Geometry, size: int, padding: int, nearest: bool) -> Pixels:
    """Scale, cut (or pad right and below), mirror. Pixels [H, W] or [H, W, 3]."""
    smaller = geometry.height * geometry.width < pixels.shape[0] * pixels.shape[1]
    how = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    if pixels.shape[:2] != (geometry.height, geometry.width):
        pixels = cv2.resize(
            np.ascontiguousarray(pixels), (geometry.width, geometry.height), interpolation=how
        )
    cut = pixels[geometry.top : geometry.top + size, geometry.left : geometry.left + size]
    if geometry.mirrored:
        cut = cut[:, ::-1]
    placed = np.full((size, size, *pixels.shape[2:]), padding, pixels.dtype)
    # The original mirrors first, then pads on the right: padding is never mirrored.
    placed[: cut.shape[0], : cut.shape[1]] = cut
    return placed


def change_colors(image: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """The colour distortion of SSD (arXiv:1512.02325) on RGB uint8, each of four changes with probability ½.

    At strength 1 brightness changes by up to ±32 of 255, contrast and saturation by a factor of 0.5 to 1.5,
    hue by up to ±36 degrees.
    """
    apply = rng.random(5) < 0.5
    brightness, contrast, saturation, hue = strength * rng.uniform(-1, 1, 4)
    if apply[0]:
        image = cv2.convertScaleAbs(np.maximum(image.astype(np.int16) + round(32 * brightness), 0))
    if apply[1] and apply[4]:
        image = _scaled(image, contrast)
    if apply[2] or apply[3]:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)  # hue in steps of 2 degrees, 0…179
        if apply[2]:
            hsv[..., 1] = _scaled(hsv[..., 1], saturation)
        if apply[3]:
            hsv[..., 0] = (hsv[..., 0].astype(np.int16) + round(18 * hue)) % 180
        image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    if apply[1] and not apply[4]:
        image = _scaled(image, contrast)
    return image


def _scaled(values: Pixels, change: float) -> Pixels:
    return cv2.convertScaleAbs(values, alpha=max(1 + 0.5 * change, 0.0))


_OPPOSITE = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}
_SIDE = re.compile(
    r"\b(left|right)(?=(?:-?(?:most|hand|handed|hander|side|ward|wards))?\b)|\b(?:counter-?)?clockwise\b",
    re.IGNORECASE,
)
#: Where "left" and "right" may mean something else, or a side is said in other words.
_DOUBTFUL = re.compile(
    r"\b(?:all|just|turned out|copy) right\b|o['’ ]?clock\b|"
    r"\bright (?:next|behind|beside|by|near|under|beneath|below|above|after|before|there|here|now|away|at|up|"
    r"angled?|angles|size|colou?r|way|in front|in (?:the )?(?:middle|cent(?:er|re))|on top)\b|"
    r"\bleft (?:over|behind|alone|out|open|unattended)\b",
    re.IGNORECASE,
)
#: Kinds of sentences that speak of no side; a "left" in them is part of a name.
_SIDELESS = frozenset({"name", "size", "color"})


def mirror_sentence(sentence: str, kind: str, names: Sequence[str] = ()) -> str | None:
    """What is true of the mirror image: left and right change places. English only; other words stay.

    None where that cannot be told: "right behind", "left over", o'clock directions, or a category whose own
    name has a side ("left turn lane") beside other words about sides.
    """
    if kind in _SIDELESS or not (_SIDE.search(sentence) or _DOUBTFUL.search(sentence)):
        return sentence
    lowered = sentence.lower()
    if _DOUBTFUL.search(sentence) or any(_SIDE.search(n) and n.lower() in lowered for n in names):
        return None
    return _SIDE.sub(_swap, sentence)


def _swap(match: re.Match[str]) -> str:
    word = match.group(0)
    other = _OPPOSITE[word.lower().replace("-", "")]
    return other.upper() if word.isupper() else other.capitalize() if word[0].isupper() else other


def _mirror(phrase: Phrase, names: Sequence[str]) -> Phrase | None:
    sentences = tuple(
        replace(sentence, raw=raw)
        for sentence in phrase.sentences
        if (raw := mirror_sentence(sentence.raw, sentence.kind, names)) is not None
    )
    return replace(phrase, sentences=sentences) if sentences else None
