"""`seem_train.evaluate`: a model by name or folder, and all that can be set, as keywords."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from seem_train.config import EvalTask
from seem_train.data.dataset import SegmentationSet
from seem_train.devices import Precision
from seem_train.evaluation import evaluate as scoring
from seem_train.evaluation.result import EvaluationResult
from seem_train.evaluation.tasks import TASKS
from seem_train.model.seem import SEEM
from seem_train.ranges import MAX_PIXELS, check_ranges
from seem_train.runtime import Runtime, pick_precision, start
from seem_train.weights.opening import OpenModel, open_model


def evaluate(
    model: SEEM | str | os.PathLike[str],
    dataset: str | os.PathLike[str] = "dataset",
    split: str = "val",
    tasks: Sequence[EvalTask] = TASKS,
    *,
    size: int | None = None,
    object_threshold: float | None = None,
    overlap_threshold: float | None = None,
    max_clicks: int | None = None,
    all_sentences: bool = False,
    limit: int | None = None,
    max_pixels: int = MAX_PIXELS,
    predictions: str | os.PathLike[str] | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Precision | Literal["auto"] = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Score a model on a split of a dataset.

    Args:
        model: run or adapter folder, a file of weights, a model's name, or a model, which stays where it is.
        dataset: folder that `seem_data.build` wrote.
        tasks: some of "panoptic", "semantic", "instance", "grounding" and "interactive".
        size: shorter side of the photos; default: the run's, else the original's (800, phrases 512).
        object_threshold, overlap_threshold: of panoptic segments, 0 to 1; default: the model's, 0.8.
        max_clicks: of the simulated user; default: the model's, 20.
        all_sentences: ask every sentence of a segment, not the first only.
        limit: only the first images.
        max_pixels: photos of more are refused.
        predictions: folder for a COCO panoptic result.
        progress: called with (done, all) images.

    Raises:
        UserError: model or dataset cannot be used, or a setting is out of its range.

    >>> result = evaluate("runs/kitchen", "dataset", tasks=["panoptic", "grounding"])
    >>> sorted(result.headline())
    ['P@0.5', 'PQ', 'PQ stuff', 'PQ things', 'RQ', 'SQ', 'cIoU', 'grounding mIoU']
    >>> [row["name"] for row in result.per_class()]
    ['cup', 'plate', 'table']
    """
    check_ranges(
        {"object_threshold": object_threshold, "overlap_threshold": overlap_threshold},
        {"size": size, "max_clicks": max_clicks, "limit": limit, "max_pixels": max_pixels},
    )
    images = SegmentationSet(Path(dataset), split, max_pixels)
    with _opened(model, device, precision) as (opened, runtime):
        settings = scoring.EvaluationSettings(
            size=size or opened.size,
            object_threshold=object_threshold,
            overlap_threshold=overlap_threshold,
            max_clicks=max_clicks,
            all_sentences=all_sentences,
            limit=limit,
        )
        out = None if predictions is None else Path(predictions)
        return scoring.evaluate(
            opened.model, images, tasks, settings, runtime=runtime, predictions=out, progress=progress
        )


@contextmanager
def _opened(
    model: SEEM | str | os.PathLike[str], device: str, precision: str
) -> Iterator[tuple[OpenModel, Runtime]]:
    """The model and where it computes; one that is handed over is taken as it is, where it is."""
    if isinstance(model, SEEM):
        yield OpenModel(model, ""), Runtime(model.device, pick_precision(precision, model.device))
        return
    with start(device, precision) as runtime:
        yield open_model(str(model), device=runtime.device), runtime
