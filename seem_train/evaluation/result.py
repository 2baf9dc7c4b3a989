"""What an evaluation found: numbers as plain data, the few that papers report, rows per class, gains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np

from seem_data.layout import CategoryRow
from seem_train.evaluation.tasks import TASKS
from seem_train.metrics.grounding import GroundingResult
from seem_train.metrics.instance import InstanceResult
from seem_train.metrics.interactive import InteractiveResult
from seem_train.metrics.panoptic import PanopticScores
from seem_train.metrics.semantic import SemanticResult
from seem_train.metrics.thresholds import BestThreshold
from seem_train.model.postprocess import PanopticSegment

FORMAT = 1
Headline: TypeAlias = "dict[str, float | None]"
Score: TypeAlias = PanopticScores | SemanticResult | InstanceResult | GroundingResult | InteractiveResult
Plain: TypeAlias = dict[str, Any]  #: of JSON


@dataclass(frozen=True)
class ImageScore:
    """Panoptic quality of one image, mean over its categories."""

    file_name: str
    pq: float


@dataclass(frozen=True)
class PromptScore:
    """One prompt of an image, and what it found."""

    prompt: str | tuple[float, float]  #: a sentence, or a click (x, y) in pixels of the photo
    mask: np.ndarray  #: [H, W] bool
    iou: float  #: with the segment that was meant


@dataclass(frozen=True)
class ReportImage:
    """An image kept for the report, with what was predicted for it."""

    index: int  #: in the split
    file_name: str
    pq: float
    id_map: np.ndarray  #: [H, W] int32 as predicted
    segments: list[PanopticSegment]
    prompted: list[PromptScore] = field(default_factory=list)  #: a phrase and a click, where they were asked


@dataclass(frozen=True)
class EvaluationResult:
    """All scores are fractions from 0 to 1 (clicks are counts); a task that was not asked for is None.

    `headline` has the few numbers that papers report; `as_dict` all of them for JSON.
    """

    dataset: str
    split: str
    images: int
    settings: dict[str, object]
    categories: list[CategoryRow]  #: as categories.json has them
    panoptic: PanopticScores | None = None
    semantic: SemanticResult | None = None
    instance: InstanceResult | None = None
    grounding: GroundingResult | None = None
    interactive: InteractiveResult | None = None
    per_image: list[ImageScore] = field(default_factory=list)
    confusion: np.ndarray | None = None  #: [C, C+1] pixels, truth by row; last column: no prediction
    shown: list[ReportImage] = field(default_factory=list)  #: worst first
    #: of "things" and "phrases": the least score worth showing, where it was asked for and found
    thresholds: dict[str, BestThreshold] = field(default_factory=dict)

    def measured_on(self) -> dict[str, object]:
        """What its thresholds were found on, to be kept beside them."""
        where = {"dataset": self.dataset, "split": self.split, "images": self.images}
        return {**where, "size": self.settings["size"]}

    def headline(self) -> Headline:
        """Short name ─▶ number in the order of tables: fractions, NoC in clicks, None: nothing to measure."""
        numbers: Headline = {}
        scores = self.scores()
        if p := scores.get("panoptic"):
            numbers |= {"PQ": p["all"]["pq"], "SQ": p["all"]["sq"], "RQ": p["all"]["rq"]}
            numbers |= {"PQ things": p["things"]["pq"], "PQ stuff": p["stuff"]["pq"]}
        if s := scores.get("semantic"):
            numbers |= {"mIoU": s["miou"], "fwIoU": s["fwiou"]}
            numbers |= {"pixel acc": s["pixel_accuracy"], "mean acc": s["mean_accuracy"]}
        if i := scores.get("instance"):
            numbers |= {"AP": i["ap"], "AP50": i["ap50"], "AP75": i["ap75"]}
        if g := scores.get("grounding"):
            numbers |= {"cIoU": g["ciou"], "grounding mIoU": g["miou"], "P@0.5": g["precision"]["0.5"]}
        if c := scores.get("interactive"):
            numbers |= {f"NoC@{threshold}": clicks for threshold, clicks in c["noc"].items()}
            numbers["IoU@1"] = c["iou_at"][0]
        return numbers

    def scores(self) -> dict[str, Plain]:
        """The numbers of each task that was asked for; None where there was nothing to measure."""
        found = {task: getattr(self, task) for task in TASKS}
        return {task: plain(score) for task, score in found.items() if score is not None}

    def category_scores(self) -> list[dict[str, float | None]]:
        """Of each category pq, sq, rq, iou, precision, recall, ap, as far as asked for; None: undefined."""
        found: list[dict[str, float | None]] = []
        for index, category in enumerate(self.categories):
            scores: dict[str, float | None] = {}
            if self.panoptic is not None:
                score = self.panoptic.per_class[category["id"]]
                known = score.categories > 0
                scores |= {name: getattr(score, name) if known else None for name in ("pq", "sq", "rq")}
            if self.semantic is not None:
                scores |= {n: getattr(self.semantic, n)[index] for n in ("iou", "precision", "recall")}
            if self.instance is not None:
                ap = self.instance.per_class.get(category["id"], -1.0)
                scores["ap"] = ap if ap >= 0 else None
            found.append(scores)
        return found

    def per_class(self) -> list[dict[str, object]]:
        """One row a category: name, isthing, and its scores."""
        return [
            {"name": category["name"], "isthing": bool(category["isthing"]), **scores}
            for category, scores in zip(self.categories, self.category_scores(), strict=True)
        ]

    def as_dict(self) -> Plain:
        """Everything but pictures and the confusion matrix."""
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "split": self.split,
            "images": self.images,
            "settings": self.settings,
            "headline": self.headline(),
            **self.scores(),
            **({"thresholds": {k: asdict(v) for k, v in self.thresholds.items()}} if self.thresholds else {}),
            "per_class": self.per_class(),
            "per_image": [asdict(score) for score in self.per_image],
        }


def plain(score: Score) -> Plain:
    """All numbers of a task, None where there was nothing to measure.

    The metrics themselves keep the values of the tools that they equal: 0 of panopticapi, −1 of pycocotools.
    """
    numbers = asdict(score)
    if isinstance(score, PanopticScores):
        means = {name: _quality(numbers[name]) for name in ("all", "things", "stuff")}
        return numbers | means | {"per_class": {i: _quality(row) for i, row in numbers["per_class"].items()}}
    if isinstance(score, InstanceResult):
        return {name: _defined(value) for name, value in numbers.items()}
    if isinstance(score, SemanticResult):
        return numbers if any(value is not None for value in score.recall) else _only(numbers, "images")
    if isinstance(score, GroundingResult):
        return numbers if score.phrases else _only(numbers, "phrases")
    return numbers if score.objects else _only(numbers, "failures", "objects", "max_clicks")


def _quality(row: Plain) -> Plain:
    return row if row["categories"] else _only(row, "categories")


def _only(numbers: Plain, *counts: str) -> Plain:
    """Where there was nothing to measure: None for every number that is no count."""
    return {name: value if name in counts else _nothing(value) for name, value in numbers.items()}


def _nothing(value: object) -> object:
    if isinstance(value, dict):
        return {name: _nothing(inner) for name, inner in value.items()}
    return [_nothing(inner) for inner in value] if isinstance(value, list) else None


def _defined(value: object) -> object:
    """With None for pycocotools' −1."""
    if isinstance(value, dict):
        return {name: _defined(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and value < 0 else value


def fewer_is_better(name: str) -> bool:
    return name.startswith("NoC")


def shown_number(name: str, value: float | None, signed: bool = False) -> str:
    """As tables show it: percent with one digit, clicks with two; a dash where there is no number.

    pycocotools' -1 is no number either.
    """
    if value is None or (value < 0 and not signed):
        return "–"
    number = value if fewer_is_better(name) else 100 * value
    digits = 2 if fewer_is_better(name) else 1
    return f"{number:+.{digits}f}" if signed else f"{number:.{digits}f}"


def gains(tuned: Mapping[str, float | None], base: Mapping[str, float | None]) -> dict[str, float]:
    """How much better: positive is better, also for clicks. Only for numbers that both have."""
    found = {}
    for name, value in tuned.items():
        before = base.get(name)
        if value is not None and before is not None and value >= 0 and before >= 0:  # once −1 was written
            found[name] = before - value if fewer_is_better(name) else value - before
    return found
