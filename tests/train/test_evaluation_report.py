"""The report is one page that holds everything, whatever was measured, and trusts no text in it."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from PIL import Image
from tiny_dataset import write_dataset

from seem_train.data.dataset import SegmentationSet
from seem_train.evaluation.comparison import Comparison, Findings, Forgetting
from seem_train.evaluation.evaluate import EvaluationSettings, evaluate
from seem_train.evaluation.report import write_report
from seem_train.evaluation.result import EvaluationResult, PromptScore, ReportImage
from seem_train.metrics.grounding import GroundingScores
from seem_train.metrics.instance import InstanceAP
from seem_train.metrics.interactive import InteractiveScores
from seem_train.metrics.panoptic import PanopticQuality
from seem_train.metrics.semantic import SemanticScores
from seem_train.model.postprocess import PanopticSegment


class _Page(HTMLParser):
    """Notes outside addresses, and tags that are left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and not (value or "").startswith("data:"):
                self.outside.append(f"{tag} {value}")
        if tag in ("table", "tr", "div", "figure", "svg", "figcaption"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("table", "tr", "div", "figure", "svg", "figcaption"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def images(tmp_path: Path) -> SegmentationSet:
    return SegmentationSet(write_dataset(tmp_path / "dataset"), "val")


def _result(images: SegmentationSet, tasks: set[str], categories: list[dict[str, Any]]) -> EvaluationResult:
    """Everything predicted right on image 0, nothing on image 1."""
    panoptic, semantic = PanopticQuality(categories), SemanticScores(len(categories))
    instance, grounding, interactive = InstanceAP(categories[:2]), GroundingScores(), InteractiveScores(5)
    shown = []
    for index, record in enumerate(images.images[:2]):
        sample = images.load(index)
        id_map = sample.id_map.numpy()
        gt = [
            {"id": n, "category_id": s.category_id, "area": s.area, "iscrowd": s.iscrowd}
            for n, s in enumerate(record.segments, start=1)
        ]
        segments = [
            PanopticSegment(n, s.category, s.category < 2, 0.9, 1) for n, s in enumerate(sample.segments, 1)
        ]
        labels = np.array([255, *(s.category for s in sample.segments)])[id_map]
        if index:
            id_map, segments = np.zeros_like(id_map), []
        added = panoptic.update(id_map, gt if not index else [], sample.id_map.numpy(), gt)
        semantic.update(labels if not index else np.zeros_like(labels), labels)
        found = sample.id_map.numpy() == 1
        prompted = (
            [PromptScore("the <b>cup", found, 0.5), PromptScore((4.0, 5.0), found, 0.25)] if index else []
        )
        shown.append(
            ReportImage(index, record.file_name, panoptic.quality(added).pq, id_map, segments, prompted)
        )
        grounding.update(id_map[None] == 1, sample.id_map.numpy()[None] == 1)
        interactive.update(np.array([[0.2, 0.6, 0.86]]))
    scores = {
        "panoptic": panoptic.result(),
        "semantic": semantic.result(),
        "instance": instance.result(),
        "grounding": grounding.result(),
        "interactive": interactive.result(),
    }
    return EvaluationResult(
        dataset="dataset",
        split="val",
        images=2,
        settings={"size": 64, "object_threshold": 0.8, "overlap_threshold": 0.8},
        categories=categories,
        **{task: score if task in tasks else None for task, score in scores.items()},
        confusion=semantic.confusion if "semantic" in tasks else None,
        shown=shown[::-1] if "panoptic" in tasks else [],
    )


EVERYTHING = {"panoptic", "semantic", "instance", "grounding", "interactive"}


def _write(folder: Path, findings: Findings, images: SegmentationSet) -> tuple[str, _Page]:
    write_report(folder / "report.html", findings, images)
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert page.open == []
    assert page.outside == []
    return text, page


def test_the_page_holds_scores_gains_and_pictures(images: SegmentationSet, tmp_path: Path) -> None:
    result = _result(images, EVERYTHING, images.categories.as_coco())
    base = Comparison("zero-shot", {"PQ": 0.25, "NoC@0.85": 4.5}, ["size 800 there, 64 here"])
    lost = Forgetting("coco", {"PQ": 0.5}, Comparison("zero-shot", {"PQ": 0.56}))
    text, page = _write(tmp_path, Findings("runs/one", result, base, lost), images)
    words = " ".join(page.words)
    for word in ("runs/one", "+1.50", "-6.0", "zero-shot", "size 800 there", "Worst images", "0.png", "cup"):
        assert word in words, word
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall(r"base64,([^']+)", text)
    ]
    assert len(pictures) == 5 + 3
    assert "“the <b>cup”, IoU 50%" in words and "one click, IoU 25%" in words


def test_an_evaluation_keeps_what_a_phrase_and_a_click_found_for_the_images_it_shows(
    images: SegmentationSet,
) -> None:
    tasks = ("panoptic", "grounding", "interactive")
    result = evaluate(toy.micro(), images, tasks, EvaluationSettings(size=64, max_clicks=2), show=1)
    asked = [(shown, images.load(shown.index)) for shown in result.shown]
    asked = [(shown, sample) for shown, sample in asked if sample.phrases]
    assert asked
    for shown, sample in asked:
        phrase, click = shown.prompted
        assert phrase.prompt == max((p.sentences[0].raw for p in sample.phrases), key=len).lower()
        assert phrase.mask.shape == click.mask.shape == sample.id_map.shape
        x, y = click.prompt
        assert isinstance(x, float) and sample.id_map[int(y), int(x)] > 0
        assert 0 <= phrase.iou <= 1 and 0 <= click.iou <= 1


@pytest.mark.parametrize("tasks", [{task} for task in EVERYTHING] + [set()])
def test_the_page_can_be_written_whatever_was_measured(
    tasks: set[str], images: SegmentationSet, tmp_path: Path
) -> None:
    _write(tmp_path, Findings("m", _result(images, tasks, images.categories.as_coco())), images)


def test_names_cannot_break_the_page(images: SegmentationSet, tmp_path: Path) -> None:
    hostile = "<script>alert('1')</script>\" & <b>"
    categories = [{**category, "name": hostile} for category in images.categories.as_coco()]
    result = replace(_result(images, EVERYTHING, categories), dataset=hostile)
    text, page = _write(tmp_path, Findings(hostile, result, Comparison(hostile, {"PQ": 0.1})), images)
    assert "<script" not in text
    assert hostile in " ".join(page.words)
