"""The world that a model is pretrained on: scenes whose truth is exact, sentences that mean one thing."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

pytest.importorskip("skimage")

import seem_data
from examples.world import held_out as held_out_scenes
from examples.world import pretrain
from examples.world.batches import Asked, SceneBatches, ask, gather
from examples.world.recipe import Recipe, Stage
from examples.world.scene import SMALLEST, make_scene
from examples.world.shapes import SHAPES
from examples.world.surfaces import SURFACES
from examples.world.words import CATEGORIES, COLORS, NAMES, STUFF, THINGS, held_out
from seem_train.data.batch import Example, StepPhrase, collate
from seem_train.data.dataset import SegmentationSet
from seem_train.model.language import BACKGROUND, training_prompts
from seem_train.runtime import Runtime
from seem_train.training.step import StepDraws, TrainingStep
from seem_train.weights.official import official_state_dict
from seem_train.weights.tensor_files import read_tensors
from tests.parity.fixed import GridPoints

RECIPE = Path(pretrain.__file__).with_name("pretrain.yaml")


def scenes(count: int, side: int = 64, held: bool = False):
    return [make_scene(np.random.default_rng([7, n]), side, held) for n in range(count)]


def test_the_world_is_wide_and_every_name_means_one_category() -> None:
    assert len(THINGS) >= 60
    assert len(STUFF) >= 20
    names = [name for all_names in NAMES.values() for name in all_names]
    assert len(names) >= 200
    assert len(names) == len(set(names))
    assert set(SHAPES) == set(THINGS)
    assert set(SURFACES) == set(STUFF)


def test_the_same_seed_gives_the_same_scene_and_another_another() -> None:
    first, again = scenes(3), scenes(3)
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.image, two.image)
        assert np.array_equal(one.id_map, two.id_map)
        assert one.phrases == two.phrases
    assert not np.array_equal(first[0].image, first[1].image)


def test_ids_are_those_of_the_segments_and_none_is_a_speck() -> None:
    for scene in scenes(20):
        areas = np.bincount(scene.id_map.ravel(), minlength=len(scene.categories) + 1)
        assert len(areas) == len(scene.categories) + 1
        assert areas[1:].min() >= SMALLEST
        stuff = [c for c in scene.categories if CATEGORIES[c] in STUFF]
        assert len(stuff) == len(set(stuff))  # stuff is one segment an image


def test_every_shape_lies_where_it_says_and_has_a_body() -> None:
    for name, draw in SHAPES.items():
        for seed in range(3):
            points = np.concatenate([part for part, _ in draw(np.random.default_rng(seed))])
            assert np.isfinite(points).all(), name
            assert np.ptp(points, axis=0).min() > 0.05, name
            assert np.abs(points).max() < 1.3, name


def test_a_sentence_names_its_segment_and_is_said_of_no_other() -> None:
    said = 0
    for scene in scenes(40):
        about: dict[str, int] = {}
        for text, segment in scene.phrases:
            own = NAMES[CATEGORIES[scene.categories[segment]]]
            assert any(re.search(rf"\b{re.escape(n)}\b", text) for n in (*own, "thing", "object", "one")), (
                text
            )
            assert about.setdefault(text, segment) == segment, text
            said += 1
    assert said > 100


def test_pairs_that_are_held_out_appear_only_where_they_are_wanted() -> None:
    pairs = [(c, k) for c in COLORS for k in THINGS]
    share = np.mean([held_out(*pair) for pair in pairs])
    assert 0.04 < share < 0.15

    def kept(held: bool) -> set[bool]:
        found: set[bool] = set()
        for scene in scenes(15, held=held):
            for text, segment in scene.phrases:
                kind = CATEGORIES[scene.categories[segment]]
                for color in COLORS:
                    if kind in THINGS and re.match(rf"(the )?{color} {kind}$", text):
                        found.add(held_out(color, kind))
        return found

    assert kept(False) <= {False}
    assert kept(True) <= {True}
    assert kept(True)


def test_held_out_scenes_are_written_as_annotations_that_build_into_the_same_masks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, built = tmp_path / "scenes", tmp_path / "dataset"
    monkeypatch.setattr(sys, "argv", ["held_out", str(written), "--images", "2", "--side", "64"])
    held_out_scenes.main()
    seem_data.build(written / "categories.json", polys=written / "annotations.json", out=built, split="val=1")
    for number, sample in enumerate(SegmentationSet(built, "val").load(i) for i in range(2)):
        scene = make_scene(np.random.default_rng([1, number + 1]), 64, held=True)
        names = [CATEGORIES[scene.categories[i - 1]] for i in np.unique(scene.id_map) if i]
        assert sorted(names) == sorted(CATEGORIES[segment.category] for segment in sample.segments)
        assert np.array_equal(sample.id_map.numpy() > 0, scene.id_map > 0)


@pytest.mark.slow
def test_scenes_are_made_faster_than_a_step_learns_them() -> None:
    """Baseline: the training step of the committed recipe, in the same process."""
    recipe = msgspec.yaml.decode(RECIPE.read_bytes(), type=Recipe)
    training = pretrain.Pretraining(Path("unused"), recipe)
    scenes = SceneBatches(recipe)
    began = time.process_time()
    batches = [scenes[step] for step in range(6)]
    making = time.process_time() - began
    training.take(batches[0])
    began = time.process_time()
    for batch in batches[1:]:
        training.take(batch)
    learning = (time.process_time() - began) * 6 / 5
    assert making < learning / 2


@pytest.mark.slow
def test_pretraining_goes_on_where_it_was_stopped_to_the_bit(tmp_path: Path) -> None:
    small = b"""
model: seem-tiny
warmup: 2
points: 64
workers: 0
stages:
  - {steps: 2, side: 64, batch: 2, lr: 1.0e-3}
  - {steps: 2, side: 64, batch: 2, lr: 1.0e-3, trunk: 0.3, last_lr: 1.0e-4}
"""
    (tmp_path / "recipe.yaml").write_bytes(small)
    recipe = msgspec.yaml.decode(small, type=Recipe)
    pretrain.run(tmp_path / "whole", recipe, None, tmp_path / "recipe.yaml")
    torch.manual_seed(5)
    for _ in range(4):
        pretrain.run(tmp_path / "cut", recipe, 0.0, tmp_path / "recipe.yaml")  # a step, then its time is up
    whole = torch.load(tmp_path / "whole" / "state.pt", weights_only=True)
    cut = torch.load(tmp_path / "cut" / "state.pt", weights_only=True)
    assert cut["step"] == whole["step"] == 4
    assert all(torch.equal(t, whole["weights"][name]) for name, t in cut["weights"].items())
    average = read_tensors(tmp_path / "cut" / "weights.safetensors")
    assert set(average) == set(official_state_dict(pretrain.new_model(recipe)))


def test_a_step_of_the_world_is_a_step_of_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same losses and gradients, where nothing is drawn: clicks, of which every pixel is taken, on a grid
    of points."""
    recipe = Recipe("seem-tiny", (Stage(1, 96, 3, 1e-3),), strokes={"click": 1.0}, rounds=0)
    pretraining = pretrain.Pretraining(Path("unused"), recipe)
    model, step = pretraining.model, pretraining.module
    step.criterion.points = GridPoints(24, 24)
    seeds = [np.random.default_rng([1, number]) for number in range(3)]
    asked = [ask(make_scene(r, 96), recipe, r) for r in seeds]
    sentences = training_prompts((*CATEGORIES, BACKGROUND), lambda n: int(seeds[0].integers(n)))
    said = lambda *_, **__: model.language.sentence_embeddings(sentences)  # noqa: E731
    monkeypatch.setattr(model, "class_embeddings", said)
    tasks = ("panoptic", "grounding", "interactive")
    trainers = TrainingStep(model, step.criterion, CATEGORIES, tasks, 0, Runtime(pretrain.CPU).autocast)
    batch = collate([as_example(one) for one in asked])
    found = []
    for take in (
        lambda: trainers(batch, trainers.count(batch), StepDraws(0, 0)),
        lambda: step(gather(asked, sentences), StepDraws(0, 0).model()),
    ):
        model.zero_grad()
        loss, parts = take()
        loss.backward()
        found.append((parts, {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    (theirs, their_gradients), (ours, our_gradients) = found
    assert set(ours) == set(theirs)
    assert all(torch.allclose(ours[name], theirs[name], rtol=1e-5) for name in ours)
    assert set(their_gradients) - set(our_gradients) == {  # which the trainer touches, for DDP
        "decoder.spatial_embed.weight",
        "decoder.spatial_featured.weight",
    }
    for name, gradient in our_gradients.items():
        assert (gradient - their_gradients[name]).norm() <= 1e-4 * gradient.norm() + 1e-7, name


def as_example(one: Asked) -> Example:
    texts = [text for text, _ in one.phrases]
    return Example(
        image=torch.from_numpy(one.scene.image.transpose(2, 0, 1).copy()),
        id_map=torch.from_numpy(one.scene.id_map),
        categories=one.scene.categories,
        mode="text",
        phrases=tuple(StepPhrase(text, segment, texts.index(text)) for text, segment in one.phrases),
        prompted=one.prompted,
        strokes=torch.from_numpy(one.strokes),
        file="scene",
    )
