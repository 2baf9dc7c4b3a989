"""`seem-train evaluate`: every number SEEM reports, for one model or for two side by side."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from seem_train.cli.numbers import check_numbers
from seem_train.errors import UserError

if TYPE_CHECKING:
    from seem_train.evaluation.comparison import Comparison, Findings
    from seem_train.evaluation.result import EvaluationResult

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


def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="run folder, weights file, or a model such as focal-l")
    ] = None,
    dataset: Annotated[Path, typer.Argument(help="folder that seem-data build wrote")] = Path("dataset"),
    split: Annotated[str, typer.Option(help="which split")] = "val",
    tasks: Annotated[
        str, typer.Option(help="some of panoptic,semantic,instance,grounding,interactive, or all")
    ] = "all",
    against: Annotated[
        str | None,
        typer.Option(
            help="compare with: 'base' (what the run started from), weights, or an earlier evaluation.json"
        ),
    ] = None,
    base_dataset: Annotated[
        Path | None, typer.Option(help="another dataset, on which to measure what was forgotten")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for evaluation.json and report.html")] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="also write a COCO panoptic result into OUT/predictions")
    ] = False,
    preset: Annotated[
        str | None, typer.Option("--model", help="model of a weights file that does not tell")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="shorter side of the photos; default: the run's, else the original's (800, phrases 512)"
        ),
    ] = None,
    object_threshold: Annotated[
        float | None, typer.Option(help="least score of a panoptic segment, 0 to 1 (the original: 0.8)")
    ] = None,
    overlap_threshold: Annotated[
        float | None, typer.Option(help="least share of itself that a segment must keep, 0 to 1 (0.8)")
    ] = None,
    max_clicks: Annotated[int | None, typer.Option(help="clicks of the simulated user (20)")] = None,
    all_sentences: Annotated[
        bool, typer.Option("--all-sentences", help="ask every sentence, not the first of each segment")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="only the first N images")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16")] = "auto",
    devices: Annotated[int, typer.Option(help="processes on this machine, one for each GPU")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="say what the numbers mean, and stop")] = False,
) -> None:
    """Score a model on a split: panoptic, semantic, instances, phrases, clicks."""
    if explain:
        for name, meaning in GLOSSARY.items():
            print(f"{name:15} {meaning}")
        return
    if model is None:
        raise UserError("name what to evaluate: a run folder, a weights file, or a model such as focal-l")
    if predictions and out is None:
        raise UserError("--predictions needs --out, a folder to write them to")
    check_numbers(
        {"--object-threshold": object_threshold, "--overlap-threshold": overlap_threshold},
        {"--size": size, "--max-clicks": max_clicks, "--limit": limit, "--devices": devices},
    )
    from seem_train import runtime as runtimes
    from seem_train.evaluation.comparison import Examination
    from seem_train.evaluation.evaluate import TASKS, EvaluationSettings
    from seem_train.weights.opening import open_model

    if devices > 1 and runtimes.world_size() == 1:
        raise typer.Exit(runtimes.launch([sys.executable, "-m", "seem_train", *sys.argv[1:]], devices))
    asked: Any = TASKS if tasks == "all" else [task.strip() for task in tasks.split(",") if task.strip()]
    with runtimes.start(device, precision) as runtime, _progress(as_json or not runtime.is_main) as progress:
        opened = open_model(model, preset, runtime.device)
        settings = EvaluationSettings(
            size=size or opened.size,
            object_threshold=object_threshold,
            overlap_threshold=overlap_threshold,
            max_clicks=max_clicks,
            all_sentences=all_sentences,
            limit=limit,
        )
        findings = Examination(runtime, split, asked, settings, progress).of(
            opened,
            dataset,
            against,
            base_dataset,
            predictions=out / "predictions" if out is not None and predictions else None,
            show=_SHOWN if out is not None else 0,
        )
    if not runtime.is_main:
        return
    if out is not None:
        _write(out, findings, dataset)
    if as_json:
        print(json.dumps(findings.as_dict(), ensure_ascii=False))
    else:
        _print(findings, out)


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield show


def _write(out: Path, findings: Findings, dataset: Path) -> None:
    from seem_train.data.dataset import SegmentationSet
    from seem_train.evaluation.report import write_report
    from seem_train.training.checkpoint import write_text

    text = json.dumps(findings.as_dict(), indent=1, ensure_ascii=False)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / "evaluation.json", text + "\n")
        write_report(out / "report.html", findings, SegmentationSet(dataset, findings.result.split))
    except OSError as error:
        raise UserError(f"{out}: cannot be written to ({error.strerror}); name another folder") from None


def _print(findings: Findings, out: Path | None) -> None:
    console, result, against = _console(), findings.result, findings.against
    console.print(_class_table(result))
    if against is not None and against.differences:
        print(f"note: {against.name} was measured otherwise: {'; '.join(against.differences)}")
    console.print(_headline_table(result.headline(), against))
    found = [f"{result.images:,} images"]
    if result.grounding is not None:
        found.append(f"{result.grounding.phrases:,} phrases")
    if (clicks := result.interactive) is not None:
        failed = f"{clicks.failures['0.9']:,} under IoU 0.9 after {clicks.max_clicks} clicks"
        found.append(f"{clicks.objects:,} objects clicked ({failed})")
    console.print(f"{result.dataset} · {result.split} · " + " · ".join(found), soft_wrap=True)
    if (lost := findings.forgetting) is not None:
        print(f"\n{lost.dataset}, which was not trained on:")
        console.print(_headline_table(lost.headline, lost.before))
    if out is not None:
        print(f"Look at {out / 'report.html'}")


def _class_table(result: EvaluationResult) -> Table:
    from seem_train.evaluation.result import shown_number

    rows = result.per_class()
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
        for row in rows:
            kind = "thing" if row["isthing"] else "stuff"
            table.add_row(row["name"], kind, *(shown_number(key, row[key]) for key in keys))
    return table


def _headline_table(headline: Mapping[str, float], base: Comparison | None) -> Table:
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


def _console() -> Console:
    return Console(highlight=False)
