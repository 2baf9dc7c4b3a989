"""Batches: examples that repeat exactly, phrases, and masks made last."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from table_scenes import table_scene, write_split, write_tables

from seem_train.config import DataConfig
from seem_train.data.batch import (
    TASKS,
    Batch,
    Example,
    StepPhrase,
    TrainingSet,
    choose_phrases,
    collate,
    training_batches,
)
from seem_train.data.dataset import SegmentationSet
from seem_train.data.sampler import Draw, Order, StepSampler
from seem_train.errors import UserError


def training_set(root: Path, seed: int = 0, objects: int = 2) -> TrainingSet:
    config = DataConfig(size=96, min_scale=0.6, max_scale=1.4, color=1.0, prompts=objects)
    return TrainingSet(SegmentationSet(root, "train"), config, seed)


def same(one: Example, other: Example) -> bool:
    return (
        torch.equal(one.image, other.image)
        and torch.equal(one.id_map, other.id_map)
        and torch.equal(one.strokes, other.strokes)
        and (one.categories, one.mode, one.phrases, one.prompted, one.file)
        == (other.categories, other.mode, other.phrases, other.prompted, other.file)
    )


def test_an_example_is_a_function_of_seed_and_draw(tmp_path: Path) -> None:
    root = write_tables(tmp_path)
    examples, again = training_set(root), training_set(root)
    order = [Draw(epoch, index, copy) for epoch in (0, 1) for index in range(6) for copy in (0, 1)]
    for draw in order:
        examples[draw]
    assert all(same(examples[draw], again[draw]) for draw in reversed(order))
    assert not same(examples[Draw(0, 1)], examples[Draw(1, 1)])
    assert not same(examples[Draw(0, 1)], examples[Draw(0, 1, 1)])
    assert not same(examples[Draw(0, 1)], training_set(root, seed=1)[Draw(0, 1)])


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_number_of_workers(tmp_path: Path, workers: int) -> None:
    dataset = training_set(write_tables(tmp_path))
    sampler = StepSampler(Order(6, 0), global_batch=4, micro_batch=2, first_step=1, last_step=4)
    alone = list(training_batches(dataset, sampler, workers=0))
    others = list(training_batches(dataset, sampler, workers=workers))
    assert len(alone) == len(others) == 6
    for one, other in zip(alone, others, strict=True):
        assert isinstance(one, Batch)
        assert isinstance(other, Batch)
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.id_maps, other.id_maps)
        assert one.texts == other.texts
        assert one.files == other.files


def test_workers_start_where_opencv_has_threads_already(tmp_path: Path) -> None:
    large = table_scene(0, height=900, width=1200)  # large enough for OpenCV to share out
    write_split(tmp_path, "train", {"a.png": large})
    dataset = TrainingSet(SegmentationSet(tmp_path, "train"), DataConfig(size=768), 0)
    sampler = StepSampler(Order(1, 0), global_batch=4, micro_batch=4, first_step=0, last_step=1)
    threads = cv2.getNumThreads()
    signal.alarm(60)  # what would fail here hangs
    try:
        cv2.setNumThreads(4)
        cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (3000, 3000))
        assert len(list(training_batches(dataset, sampler, workers=1))) == 1
    finally:
        signal.alarm(0)
        cv2.setNumThreads(threads)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path, workers: int) -> None:
    dataset = training_set(write_tables(tmp_path))
    for photo in (tmp_path / "train" / "images").iterdir():
        photo.write_bytes(b"")
    sampler = StepSampler(Order(6, 0), global_batch=2, micro_batch=2, first_step=0, last_step=1)
    with pytest.raises(
        UserError, match=r"^\S+ cannot be decoded: it is damaged or no image; build .* again$"
    ):
        list(training_batches(dataset, sampler, workers))


def test_an_error_in_a_worker_ends_the_process(tmp_path: Path) -> None:
    """Workers ignore SIGTERM, by which Python ends them at exit; one that was left would be waited for."""
    write_tables(tmp_path)
    code = (
        "import sys, test_batch as t\n"
        "from pathlib import Path\n"
        "t.TrainingSet.__getitem__ = lambda *_: 1 / 0\n"
        "sampler = t.StepSampler(t.Order(6, 0), 2, 2, 0, 1)\n"
        "list(t.training_batches(t.training_set(Path(sys.argv[1])), sampler, workers=2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr


def test_masks_are_those_of_the_id_maps(tmp_path: Path) -> None:
    dataset = training_set(write_tables(tmp_path))
    batch = collate([dataset[Draw(0, index)] for index in range(4)])
    targets = batch.targets()
    row = 0
    for b, example in enumerate(batch.examples):
        for place, category in enumerate(example.categories):
            assert torch.equal(targets.objects.masks[row], batch.id_maps[b] == place + 1)
            assert targets.objects.categories[row] == category
            row += 1
    assert row == len(targets.objects.masks)
    assert targets.objects.masks.dtype == torch.bool
    assert targets.grounding is not None
    assert targets.spatial is not None
    phrases = [(b, phrase) for b, example in enumerate(batch.examples) for phrase in example.phrases]
    for mask, (b, phrase) in zip(targets.grounding.masks, phrases, strict=True):
        assert torch.equal(mask, batch.id_maps[b] == phrase.segment + 1)
    prompts = [(b, place) for b, example in enumerate(batch.examples) for place in example.prompted]
    for mask, (b, place) in zip(targets.spatial.masks, prompts, strict=True):
        assert torch.equal(mask, batch.id_maps[b] == place + 1)
        assert mask.sum() >= 10
    assert len(targets.grounding.masks) == len(batch.texts)
    for tasks in (("panoptic",), ("panoptic", "grounding"), ("interactive",), TASKS):
        assert batch.targets(tasks).sizes == batch.sizes(tasks)
        assert (batch.targets(tasks).grounding is None) == ("grounding" not in tasks)
        assert (batch.targets(tasks).spatial is None) == ("interactive" not in tasks)


def test_an_image_without_segments_makes_a_batch_too(tmp_path: Path) -> None:
    photo, ids, _ = table_scene(0)
    write_split(tmp_path, "train", {"a.png": (photo, ids * 0, {})})
    dataset = training_set(tmp_path)
    batch = collate([dataset[Draw(0, 0)]])
    targets = batch.targets()
    assert targets.objects.masks.shape == (0, 96, 96)
    assert targets.spatial is None
    assert batch.strokes(0) is None
    assert batch.texts == batch.said(0) == []
    assert batch.sizes().segments == (0,)


def test_sentences_are_asked_where_there_are_some_and_categories_elsewhere(tmp_path: Path) -> None:
    images = SegmentationSet(write_tables(tmp_path), "train")
    spoken, named = images.load(0), images.load(1)
    seen = set()
    for seed in range(60):
        mode, phrases = choose_phrases(spoken, images.names, 4, np.random.default_rng(seed))
        assert mode == "text"
        assert 1 <= len(phrases) <= 2
        assert len({p.segment for p in phrases}) == len(phrases)
        seen |= {p.text for p in phrases}
    assert seen == {"the mug on the left", "the cat on the right", "the mug", "the cat"}
    asked = set()
    for seed in range(60):
        mode, phrases = choose_phrases(named, images.names, 4, np.random.default_rng(seed))
        assert mode == "class"
        categories = {p.group for p in phrases}
        assert 1 <= len(categories) <= 4
        expected = [n for n, s in enumerate(named.segments) if s.category in categories]
        assert [p.segment for p in phrases] == expected  # every segment of the category
        assert all(images.names[p.group].removesuffix("-other-merged") in p.text for p in phrases)
        asked.add(len(categories))
    assert asked == {1, 2, 3, 4}


def test_equal_sentences_share_a_group_and_are_said_once() -> None:
    phrases = (StepPhrase("the mug", 0, 0), StepPhrase("the cat", 2, 1), StepPhrase("the mug", 1, 0))
    nothing = torch.empty(0)
    example = Example(nothing, nothing, (0, 0, 3), "text", phrases, (), nothing, "a.jpg")
    batch = Batch(nothing, nothing, (example,))
    assert batch.texts == ["the mug", "the cat", "the mug"]
    assert batch.said(0) == ["the mug", "the cat"]


def test_pixels_move_and_everything_else_stays(tmp_path: Path) -> None:
    dataset = training_set(write_tables(tmp_path))
    batch = collate([dataset[Draw(0, 0)]])
    moved = batch.to(torch.device("meta"))
    assert moved.images.device.type == moved.id_maps.device.type == "meta"
    strokes = moved.strokes(0)
    assert strokes is not None
    assert strokes.device.type == "cpu"
    assert moved.examples is batch.examples
    assert batch.id_maps.dtype == torch.int16
