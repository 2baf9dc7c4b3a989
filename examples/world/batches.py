"""Scenes ─▶ batches of a pretraining, made by worker processes; step n sees the same whoever makes them.

All that a step would have to do image by image is done here; what is left for the device is a few tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from examples.world.recipe import Recipe
from examples.world.scene import Scene, make_scene
from examples.world.words import CATEGORIES, NAMES, THINGS
from seem_train.data.clicks import deepest_pixel
from seem_train.data.strokes import SMALLEST, draw_stroke
from seem_train.model.language import BACKGROUND, tokenize, training_prompts

NOBODY = 255  #: no segment's number: padding among the prompted objects


@dataclass(frozen=True)
class Asked:
    """What a step asks about one scene."""

    scene: Scene
    phrases: tuple[tuple[str, int], ...]  #: a sentence in lower case, and the segment that it means
    prompted: tuple[int, ...]  #: segments
    strokes: NDArray[np.bool_]  #: [k, S, S] on these


@dataclass(frozen=True)
class SceneBatch:
    """B scenes of side S: N segments, P phrases and K prompts of the fullest image; T texts of L tokens.

    The names of all categories, each in one sentence, and the background's are the first `names` texts; the
    batch's different phrases follow.
    """

    images: Tensor  #: [B, 3, S, S] uint8 RGB
    id_maps: Tensor  #: [B, S, S] uint8; 0 void, n + 1 for segment n of the image
    strokes: Tensor  #: [B, K, S, S] bool
    segments: tuple[int, ...]  #: of each image, N in all
    phrases: tuple[int, ...]  #: of each image, P in all
    prompts: tuple[int, ...]  #: of each image
    numbers: NDArray[np.int64]  #: [3, N] the image, the number in its id map, and the category of a segment
    meanings: NDArray[np.int64]  #: [3, P] the segment (of N), the text (of T) and the group of a phrase
    prompted: NDArray[np.int64]  #: [B, K] numbers in the id map; `NOBODY` for padding
    texts: NDArray[np.int64]  #: [T, L] token ids
    ends: NDArray[np.int64]  #: [T] place of the last token
    names: int
    told: NDArray[np.int64]  #: [B, W] the tokens an image is told, of the flattened [T·L]; −1 for padding

    def pin_memory(self) -> SceneBatch:
        """Called by ``DataLoader``."""
        images, id_maps, strokes = (t.pin_memory() for t in (self.images, self.id_maps, self.strokes))
        return replace(self, images=images, id_maps=id_maps, strokes=strokes)


class SceneBatches(Dataset[SceneBatch]):
    """Batch n is that of step n."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def __getitem__(self, step: int) -> SceneBatch:
        stage, _ = self.recipe.at(step)
        asked = []
        for number in range(stage.batch):
            r = np.random.default_rng([self.recipe.seed, step, number])
            asked.append(ask(make_scene(r, stage.side), self.recipe, r))
        r = np.random.default_rng([self.recipe.seed, step, 1 << 20])
        sentences = training_prompts(
            (*names_of_step(self.recipe, r), BACKGROUND), lambda n: int(r.integers(n))
        )
        return gather(asked, sentences)


def names_of_step(recipe: Recipe, r: np.random.Generator) -> tuple[str, ...]:
    """One of its names for each category."""
    return tuple(
        str(r.choice(NAMES[c][1:])) if len(NAMES[c]) > 1 and r.random() < recipe.aliases else c
        for c in CATEGORIES
    )


def ask(scene: Scene, recipe: Recipe, r: np.random.Generator) -> Asked:
    phrases = [scene.phrases[i] for i in r.permutation(len(scene.phrases))[: recipe.phrases]]
    areas = np.bincount(scene.id_map.ravel(), minlength=len(scene.categories) + 1)[1:]
    things = np.array([CATEGORIES[c] in THINGS for c in scene.categories], bool)
    order = np.argsort(r.random(len(areas)) - 0.5 * things, kind="stable")
    chosen = tuple(int(n) for n in order if areas[n] >= SMALLEST)[: recipe.objects]
    strokes = np.zeros((len(chosen), *scene.id_map.shape), bool)
    names = list(recipe.strokes)
    chance = np.array([recipe.strokes[n] for n in names]) / sum(recipe.strokes.values())
    for stroke, segment in zip(strokes, chosen, strict=True):
        kind = names[int(r.choice(len(names), p=chance))]
        mask = scene.id_map == segment + 1
        stroke[:] = click(mask, r) if kind == "click" else draw_stroke(mask, kind, r)
    return Asked(scene, tuple((text.lower(), segment) for text, segment in phrases), chosen, strokes)


def click(mask: NDArray[np.bool_], r: np.random.Generator) -> NDArray[np.bool_]:
    """One click, 3 × 3 pixels, as evaluation makes it: in the middle of the object, or anywhere on it."""
    if r.random() < 0.6:
        y, x = deepest_pixel(mask)
    else:
        places = np.flatnonzero(mask)
        y, x = divmod(int(places[r.integers(len(places))]), mask.shape[1])
    marked = np.zeros_like(mask)
    marked[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
    return marked


def gather(asked: Sequence[Asked], sentences: Sequence[str]) -> SceneBatch:
    """`sentences`: of all categories and the background."""
    scenes = [one.scene for one in asked]
    most = max(len(one.prompted) for one in asked)
    side = scenes[0].id_map.shape[0]
    strokes = np.zeros((len(asked), most, side, side), bool)
    prompted = np.full((len(asked), most), NOBODY, np.int64)
    for image, one in enumerate(asked):
        strokes[image, : len(one.prompted)] = one.strokes
        prompted[image, : len(one.prompted)] = np.array(one.prompted, np.int64) + 1

    spoken = dict.fromkeys(text for one in asked for text, _ in one.phrases)
    place = {text: len(sentences) + n for n, text in enumerate(spoken)}
    ids, lengths = tokenize([*sentences, *spoken])
    width = ids.shape[1]
    numbers, meanings, told = [], [], []
    for image, one in enumerate(asked):
        first = len(numbers)
        numbers += [(image, n + 1, category) for n, category in enumerate(one.scene.categories)]
        texts = list(dict.fromkeys(text for text, _ in one.phrases))
        meanings += [(first + segment, place[text], texts.index(text)) for text, segment in one.phrases]
        told.append([place[t] * width + n for t in texts for n in range(lengths[place[t]])])
    tokens = np.full((len(asked), max(1, *map(len, told))), -1, np.int64)
    for row, places in zip(tokens, told, strict=True):
        row[: len(places)] = places
    return SceneBatch(
        images=torch.from_numpy(np.stack([s.image.transpose(2, 0, 1) for s in scenes])),
        id_maps=torch.from_numpy(np.stack([s.id_map for s in scenes]).astype(np.uint8)),
        strokes=torch.from_numpy(strokes),
        segments=tuple(len(s.categories) for s in scenes),
        phrases=tuple(len(one.phrases) for one in asked),
        prompts=tuple(len(one.prompted) for one in asked),
        numbers=np.array(numbers, np.int64).T,
        meanings=np.array(meanings, np.int64).reshape(-1, 3).T,
        prompted=prompted,
        texts=ids.numpy(),
        ends=np.array(lengths) - 1,
        names=len(sentences),
        told=tokens,
    )
