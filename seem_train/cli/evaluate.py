"""`seem-train evaluate`: every number SEEM reports, for one model or for two side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import typer
from rich import box
from rich.table import Table

from seem_data.common.console import PlainConsole
from seem_data.common.terminal import tell
from seem_train.cli import options
from seem_train.cli.early import check_all, check_dataset, check_model
from seem_train.cli.options import argument, option, with_options
from seem_train.cli.progress import progress, say
from seem_train.config import EvalTask
from seem_train.errors import UserError
from seem_train.ranges import MAX_PIXELS, check_ranges

if TYPE_CHECKING:
    from seem_train.data.dataset import SegmentationSet
    from seem_train.evaluation.comparison import Comparison, Findings
    from seem_train.evaluation.evaluate import EvaluationSettings
    from seem_train.evaluation.result import EvaluationResult
    from seem_train.weights.opening import OpenModel

_SHOWN = 6  #: worst images in the report, and as many best ones
GLOSSARY = {
    "PQ": "panoptic quality = SQ × RQ, mean over categories: are all segments found, and how well outlined",
    "SQ": "segmentation quality: mean IoU of the segments that were found (IoU above 0.5)",
    "RQ": "recognition quality: the F1 score of finding segments",
    "mIoU": "overlap of prediction and truth, pixel by pixel, mean over categories",
    "fwIoU": "the same, weighted by how many pixels a category has",
    "pixel acc": "share of labelled pixels whose category is right; mean acc: the mean of it over categories",
    "AP": "average precision of masks of things, over IoU 0.50 to 0.95 (COCO); AP50, AP75: at one IoU",
    "cIoU": "phrases: all intersections over all unions; large objects count more",
    "grounding mIoU": "phrases: mean IoU of the masks found; P@0.5: share of phrases with IoU 0.5 and more",
    "NoC@0.85": "clicks a simulated user needs until IoU 0.85, mean over objects, at most 20; less is better",
    "IoU@1": "mean IoU after one click",
}


@dataclass(frozen=True)
class EvaluateOptions:
    model: str | None = argument(options.MODEL, None)
    dataset: Path = argument("folder that seem-data build wrote", Path("dataset"))
    split: str = option("val", "which split")
    tasks: str = option("all", f"some of {','.join(get_args(EvalTask))}, or all")
    against: str | None = option(
        None, "compare with: 'base' (what the run started from), weights, or an earlier evaluation.json"
    )
    base_dataset: Path | None = option(None, "another dataset, on which to measure what was forgotten")
    out: Path | None = option(None, "folder for evaluation.json and report.html")
    predictions: bool = option(
        False, "also write a COCO panoptic result into OUT/predictions", "--predictions"
    )
    preset: str | None = option(None, options.PRESET, "--model")
    size: int | None = option(
        None, f"{options.SIZE}; default: the run's, else the original's (800, phrases 512)"
    )
    object_threshold: float | None = option(None, options.OBJECT_THRESHOLD)
    overlap_threshold: float | None = option(None, options.OVERLAP_THRESHOLD)
    max_clicks: int | None = option(None, "clicks of the simulated user (20)")
    all_sentences: bool = option(
        False, "ask every sentence, not the first of each segment", "--all-sentences"
    )
    limit: int | None = option(None, "only the first N images")
    max_pixels: int = option(MAX_PIXELS, options.MAX_PIXELS)
    device: str = options.device_option()
    precision: str = options.precision_option()
    devices: int = option(1, "processes on this machine, one for each GPU")
    as_json: bool = option(False, options.AS_JSON, "--json")
    explain: bool = option(False, "say what the numbers mean, and stop", "--explain")


@with_options(EvaluateOptions)
def evaluate(chosen: EvaluateOptions) -> None:
    """Score a model on a split: panoptic, semantic, instances, phrases, clicks."""
    if chosen.explain:
        for name, meaning in GLOSSARY.items():
            tell(f"{name:15} {meaning}")
        return
    model = _checked(chosen)
    say(f"loading {model} …", chosen.as_json)
    from seem_train import runtime as runtimes
    from seem_train.data.dataset import SegmentationSet
    from seem_train.evaluation.comparison import compare
    from seem_train.weights.opening import open_model

    if chosen.devices > 1 and runtimes.world_size() == 1:
        command = [sys.executable, "-m", "seem_train", *sys.argv[1:]]
        raise typer.Exit(runtimes.launch(command, chosen.devices))
    words = [task.strip() for task in chosen.tasks.split(",") if task.strip()]
    asked: Any = get_args(EvalTask) if chosen.tasks == "all" else words
    out, other = chosen.out, chosen.base_dataset
    with (
        runtimes.start(chosen.device, chosen.precision) as runtime,
        progress(chosen.as_json or not runtime.is_main) as show,
    ):
        images = SegmentationSet(chosen.dataset, chosen.split, chosen.max_pixels)
        opened = open_model(model, chosen.preset, runtime.device)
        say(_plan(opened, images, chosen, asked), chosen.as_json)
        findings = compare(
            opened,
            images,
            asked,
            _settings(chosen, opened.size),
            runtime,
            progress=show,
            against=chosen.against,
            base_images=None if other is None else SegmentationSet(other, chosen.split, chosen.max_pixels),
            predictions=out / "predictions" if out is not None and chosen.predictions else None,
            show=_SHOWN if out is not None else 0,
        )
    if not runtime.is_main:
        return
    if out is not None:
        _write(out, findings, images)
    kept = _keep_thresholds(opened.folder, findings.result)
    if chosen.as_json:
        tell(json.dumps(findings.as_dict(), ensure_ascii=False))
    else:
        _print(findings, out)
        if kept:
            tell(kept)


def _checked(chosen: EvaluateOptions) -> str:
    """What to evaluate, after all that can be told at once."""
    if chosen.model is None:
        raise UserError("name what to evaluate: a run folder, a weights file, or a model such as focal-l")
    if chosen.predictions and chosen.out is None:
        raise UserError("--predictions needs --out, a folder to write them to")
    check_ranges(
        {
            "--object-threshold": chosen.object_threshold,
            "--overlap-threshold": chosen.overlap_threshold,
        },
        {
            "--size": chosen.size,
            "--max-clicks": chosen.max_clicks,
            "--limit": chosen.limit,
            "--max-pixels": chosen.max_pixels,
            "--devices": chosen.devices,
        },
    )
    check_all(partial(check_model, chosen.model), partial(check_dataset, chosen.dataset, chosen.split))
    return chosen.model


def _plan(
    opened: OpenModel, images: SegmentationSet, chosen: EvaluateOptions, tasks: Sequence[EvalTask]
) -> str:
    """What will be done, and what it takes."""
    from seem_train.evaluation.evaluate import check_tasks
    from seem_train.evaluation.memory import estimate
    from seem_train.formatting import size_text

    check_tasks(tasks)
    size = _settings(chosen, opened.size).size
    needed = size_text(estimate(opened.model, images, tasks, size, chosen.limit))
    count = min(len(images), chosen.limit or len(images))
    return f"{count:,} images of {chosen.dataset} · {', '.join(tasks)} · estimated peak {needed} …"


def _settings(chosen: EvaluateOptions, size_of_run: int | None) -> EvaluationSettings:
    from seem_train.evaluation.evaluate import EvaluationSettings

    return EvaluationSettings(
        size=chosen.size or size_of_run,
        object_threshold=chosen.object_threshold,
        overlap_threshold=chosen.overlap_threshold,
        max_clicks=chosen.max_clicks,
        all_sentences=chosen.all_sentences,
        limit=chosen.limit,
    )


def _keep_thresholds(folder: Path | None, result: EvaluationResult) -> str:
    """Put the least scores worth showing into the run, where `predict` finds them; what to say of it.

    Nothing is kept of an evaluation of a few images only.
    """
    from seem_train.weights.thresholds import THRESHOLDS, write_thresholds

    if folder is None or not result.thresholds or result.settings["limit"] is not None:
        return ""
    try:
        write_thresholds(folder, result.thresholds, result.measured_on())
    except UserError as error:  # the run may lie where nothing can be written; what was measured is shown
        return f"note: {error}"
    told = [f"{kind} {best.score:.2f} (F1 {100 * best.f1:.1f})" for kind, best in result.thresholds.items()]
    return f"Least scores worth showing: {', '.join(told)}; predict takes them from {folder / THRESHOLDS}"


def _write(out: Path, findings: Findings, images: SegmentationSet) -> None:
    from seem_data.common.files import write_json
    from seem_train.evaluation.report import write_report

    try:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "evaluation.json", findings.as_dict(), indent=1)
        write_report(out / "report.html", findings, images)
    except OSError as error:
        raise UserError(f"{out}: cannot be written to ({error.strerror}); name another folder") from None


def _print(findings: Findings, out: Path | None) -> None:
    console, result, against = PlainConsole(), findings.result, findings.against
    console.print(_class_table(result))
    if against is not None and against.differences:
        tell(f"note: {against.name} was measured otherwise: {'; '.join(against.differences)}")
    console.print(_headline_table(result.headline(), against))
    found = [f"{result.images:,} images"]
    if result.grounding is not None:
        found.append(f"{result.grounding.phrases:,} phrases")
    if (clicks := result.interactive) is not None:
        failed = f"{clicks.failures['0.9']:,} under IoU 0.9 after {clicks.max_clicks} clicks"
        found.append(f"{clicks.objects:,} objects clicked ({failed})")
    console.print(f"{result.dataset} · {result.split} · " + " · ".join(found), soft_wrap=True)
    if (lost := findings.forgetting) is not None:
        tell(f"\n{lost.dataset}, which was not trained on:")
        console.print(_headline_table(lost.headline, lost.before))
    if out is not None:
        tell(f"Look at {out / 'report.html'}")


def _class_table(result: EvaluationResult) -> Table:
    from seem_train.evaluation.result import shown_number

    rows = result.category_scores()
    titles = {
        "pq": "PQ",
        "sq": "SQ",
        "rq": "RQ",
        "iou": "IoU",
        "precision": "prec",
        "recall": "recall",
        "ap": "AP",
    }
    keys = [key for key in titles if key in rows[0]]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("category", no_wrap=True)
    table.add_column("")
    for key in keys:
        table.add_column(titles[key], justify="right", no_wrap=True)
    if keys:
        for category, row in zip(result.categories, rows, strict=True):
            kind = "thing" if category["isthing"] else "stuff"
            table.add_row(category["name"], kind, *(shown_number(key, row[key]) for key in keys))
    return table


def _headline_table(headline: Mapping[str, float | None], base: Comparison | None) -> Table:
    from seem_train.evaluation.result import gains, shown_number

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    gained = gains(headline, base.headline) if base is not None else {}
    if base is not None:
        table.add_column(base.name, justify="right")
    table.add_column("score" if base is None else "now", justify="right", no_wrap=True)
    if base is not None:
        table.add_column("gain", justify="right", no_wrap=True)
    for name, value in headline.items():
        cells = [shown_number(name, value)]
        if base is not None:
            gain = shown_number(name, gained[name], signed=True) if name in gained else "–"
            cells = [shown_number(name, base.headline.get(name)), *cells, gain]
        table.add_row(name, *cells)
    return table
