"""The command that a run proposes at its end finds something."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import toy

from seem_train.data.dataset import SegmentationSet
from seem_train.training.reporting import example
from seem_train.training.reporting.previews import telling_sentence

pytestmark = pytest.mark.usefixtures("micro")


def things_said(images: SegmentationSet) -> list[tuple[str, int]]:
    """Sentences about things of the first photo, and whose they are; the longest first."""
    sample = images.load(0)
    about = [p for p in sample.phrases if images.things[sample.segments[p.segment].category]]
    said = [(sentence.raw, phrase.segment) for phrase in about for sentence in phrase.sentences]
    return sorted(said, key=lambda pair: -len(pair[0]))


@pytest.mark.parametrize(
    ("understood", "score", "least"), [(True, 0.9, 0.5), (True, 0.4, 0.5), (False, 0.9, 0.5)]
)
def test_the_longest_sentence_that_is_found_is_proposed(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, understood: bool, score: float, least: float
) -> None:
    images = SegmentationSet(dataset, "val")
    sample = images.load(0)
    (longest, _), (known, segment) = things_said(images)[:2]

    def segment_one(_: object, text: str) -> SimpleNamespace:
        truth = sample.id_map.numpy() == segment + 1
        mask = truth if understood and text == known else np.zeros_like(truth)
        return SimpleNamespace(mask=lambda _: mask, scores=np.array([score]))

    monkeypatch.setattr(example.Predictor, "segment", segment_one)
    found = example.worth_trying(toy.micro(), images, 64, least)
    expected = known if understood and score >= least else telling_sentence(sample, images.things)
    assert found == (sample.file, expected)
    assert longest != known
