"""Augmentation: image, id map and words move together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from table_scenes import table_scene, write_tables

from seem_train.config import DataConfig
from seem_train.data.augment import (
    PAD_IMAGE,
    Geometry,
    augment,
    change_colors,
    draw_geometry,
    mirror_sentence,
)
from seem_train.data.dataset import Phrase, Sample, SampleSegment, SegmentationSet, Sentence, renumber


def scene(height: int = 120, width: int = 160) -> Sample:
    photo, ids, segments = table_scene(0, height, width)
    return Sample(
        image=torch.from_numpy(photo).permute(2, 0, 1),
        id_map=torch.from_numpy(renumber(ids, list(segments))),
        segments=tuple(
            SampleSegment(id, category, bool(crowd)) for id, (category, crowd) in segments.items()
        ),
        phrases=(
            Phrase(1, (Sentence("the mug on the left", "position"), Sentence("right behind it", "own"))),
        ),
        file="scene.png",
    )


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([32, 96, 160]),
    shape=st.tuples(st.integers(96, 300), st.integers(96, 300)),
)
def test_pixels_and_ids_stay_together(seed: int, size: int, shape: tuple[int, int]) -> None:
    sample = scene(*shape)
    config = DataConfig(size=size, min_scale=max(0.1, 48 / size))
    geometry = draw_geometry(*shape, config, rng(seed))
    out = augment(sample, geometry, config, rng(seed))
    assert out.image.shape == (3, size, size)
    assert out.id_map.shape == (size, size)
    assert out.image.dtype == torch.uint8
    assert out.id_map.dtype == torch.int32
    assert set(out.id_map.unique().tolist()) - {0} == set(range(1, len(out.segments) + 1))
    grey = out.image[0].numpy().astype(int)
    for place, segment in enumerate(out.segments):
        assert not segment.iscrowd
        inside = (out.id_map == place + 1).numpy()
        # away from edges, where interpolation mixes, a segment's pixels have its colour
        core = cv2.erode(inside.astype(np.uint8), np.ones((5, 5)), borderValue=0).astype(bool)
        assert (np.abs(grey[core] - segment.id // 1000) <= 1).all()


def test_the_whole_image_is_fitted_into_a_square_of_the_drawn_scale() -> None:
    config = DataConfig(size=64, min_scale=0.5, max_scale=0.5, flip=0.0)
    assert draw_geometry(120, 160, config, rng()) == Geometry(24, 32, 0, 0, False)
    out = augment(scene(), draw_geometry(120, 160, config, rng()), config, rng())
    assert (out.image[:, 24:] == PAD_IMAGE).all()
    assert (out.image[:, :, 32:] == PAD_IMAGE).all()
    assert not out.id_map[24:].any()
    assert not out.id_map[:, 32:].any()
    assert out.id_map[2:24, :32].any()


def test_scales_flips_and_cuts_are_spread_over_their_ranges() -> None:
    config = DataConfig(size=96)
    drawn = [draw_geometry(200, 400, config, rng(seed)) for seed in range(600)]
    scales = np.array([g.width / config.size for g in drawn])
    assert scales.min() < 0.15
    assert scales.max() > 1.95
    assert np.mean(scales) == pytest.approx(1.05, abs=0.08)
    assert np.mean([g.mirrored for g in drawn]) == pytest.approx(0.5, abs=0.08)
    cut = [g.left / (g.width - config.size) for g in drawn if g.width > config.size + 20]
    assert min(cut) < 0.05
    assert max(cut) > 0.95
    assert all(g.top == 0 for g in drawn if g.height <= config.size)


def test_mirroring_mirrors_the_cut_and_not_the_padding() -> None:
    config = DataConfig(size=192)
    plain = augment(scene(), Geometry(120, 160, 0, 0, False), config, rng())
    mirrored = augment(scene(), Geometry(120, 160, 0, 0, True), config, rng())
    assert torch.equal(mirrored.image[:, :120, :160].flip(2), plain.image[:, :120, :160])
    assert torch.equal(mirrored.id_map[:120, :160].flip(1), plain.id_map[:120, :160])
    assert (mirrored.image[:, :, 160:] == PAD_IMAGE).all()
    assert [s.raw for s in plain.phrases[0].sentences] == ["the mug on the left", "right behind it"]
    assert [s.raw for s in mirrored.phrases[0].sentences] == ["the mug on the right"]


def test_crowds_become_unlabelled_and_segments_outside_the_cut_go() -> None:
    sample = scene()
    corner = Geometry(240, 320, 176, 256, False)  # bottom right: table and crowd only
    out = augment(sample, corner, DataConfig(size=64), rng())
    assert [s.id for s in out.segments] == [20_000]
    assert out.phrases == ()
    assert out.id_map.unique().tolist() == [0, 1]


def test_a_smaller_decoded_photo_gives_nearly_the_same_image(tmp_path: Path) -> None:
    images = SegmentationSet(write_tables(tmp_path, 1), "train")
    sample, geometry = images.load(0), Geometry(40, 53, 0, 0, False)
    half = Sample(
        torch.nn.functional.avg_pool2d(sample.image[None].float(), 2)[0].byte(),
        sample.id_map,
        sample.segments,
        sample.phrases,
        sample.file,
    )
    config = DataConfig(size=64)
    one, other = augment(sample, geometry, config, rng()), augment(half, geometry, config, rng())
    assert torch.equal(one.id_map, other.id_map)
    assert (one.image.int() - other.image.int()).abs().float().mean() < 2


def test_colours_change_only_if_configured_and_never_the_ids() -> None:
    whole = Geometry(120, 160, 0, 0, False)
    noise = replace(scene(), image=torch.randint(0, 256, (3, 120, 160), dtype=torch.uint8))
    plain = augment(noise, whole, DataConfig(size=160), rng())
    changed = [augment(noise, whole, DataConfig(size=160, color=1.0), rng(seed)) for seed in range(8)]
    assert all(torch.equal(out.id_map, plain.id_map) for out in changed)
    assert sum(not torch.equal(out.image, plain.image) for out in changed) >= 6


@given(seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_colour_changes_keep_shape_and_type(seed: int) -> None:
    image = rng(seed).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    out = change_colors(image, 1.0, rng(seed))
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    slight = change_colors(image, 0.1, rng(seed))
    assert np.abs(slight.astype(int) - image).mean() <= np.abs(out.astype(int) - image).mean() + 3


@pytest.mark.parametrize(
    ("sentence", "mirrored"),
    [
        ("the mug on the left", "the mug on the right"),
        ("Left mug, not the RIGHT one", "Right mug, not the LEFT one"),
        ("top-left corner, right-most plate", "top-right corner, left-most plate"),
        ("the leftmost of the right-hand cups", "the rightmost of the left-hand cups"),
        ("the cup to the left of the plate", "the cup to the right of the plate"),
        ("man's left hand", "man's right hand"),
        ("turning clockwise", "turning counterclockwise"),
        ("the bright upright copyright sign", "the bright upright copyright sign"),
        ("der Becher links", "der Becher links"),
        ("the mug", "the mug"),
        ("mug right behind the plate", None),
        ("the food left over", None),
        ("player at 3 o'clock", None),
        ("all right", None),
    ],
)
def test_words_about_sides_change_places_or_the_sentence_goes(sentence: str, mirrored: str | None) -> None:
    assert mirror_sentence(sentence, "own") == mirrored


def test_names_with_a_side_are_no_words_about_sides() -> None:
    names = ["left turn lane", "mug"]
    assert mirror_sentence("left turn lane", "name", names) == "left turn lane"
    assert mirror_sentence("the left turn lane on the right", "position", names) is None
    assert mirror_sentence("the mug on the right", "position", names) == "the mug on the left"


@given(st.text(alphabet="leftrigh -most", max_size=40))
def test_mirroring_twice_gives_the_sentence_back(sentence: str) -> None:
    once = mirror_sentence(sentence, "own")
    if once is not None:
        twice = mirror_sentence(once, "own")
        assert twice is None or twice.lower() == sentence.lower()
