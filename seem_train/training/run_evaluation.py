"""Evaluation during a run: the rows a user watches, pictures, the best weights, the closing table."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seem_data.common.files import sha256_file, write_json, write_text
from seem_data.common.terminal import typed
from seem_data.common.wording import table
from seem_data.version import __version__
from seem_train.config import METRICS, Config, EvalTask, Metric, measured
from seem_train.data.dataset import SegmentationSet
from seem_train.evaluation.comparison import Findings
from seem_train.evaluation.evaluate import EvaluationSettings, evaluate
from seem_train.evaluation.memory import estimate
from seem_train.evaluation.report import write_report
from seem_train.evaluation.result import EvaluationResult, gains, shown_number
from seem_train.files import share
from seem_train.formatting import time_text
from seem_train.model.card import Base, Card, CardCategory
from seem_train.model.seem import SEEM
from seem_train.runtime import Runtime, Stop
from seem_train.training import checkpoint, run_folder
from seem_train.training.reporting.curves import draw_curves
from seem_train.training.reporting.example import worth_trying
from seem_train.training.reporting.previews import chosen, draw_previews
from seem_train.weights import adapter_folder
from seem_train.weights.thresholds import read_thresholds, write_thresholds

if TYPE_CHECKING:
    from seem_train.training.session import Session

SHOWN = ("PQ", "SQ", "RQ", "mIoU", "AP", "cIoU", "NoC@0.85", "IoU@1")  #: numbers of a row


REPORT, REPORTED = "report.html", 6  #: of the last evaluation; its worst and best images


class Interrupted(Exception):
    """A signal came during an evaluation; what was learned is already saved."""


class RunEvaluation:
    """Evaluates the validation split, if there is one, with the same settings each time."""

    def __init__(self, config: Config, val_set: SegmentationSet | None) -> None:
        self.config = config
        self.val_set = val_set
        self.size = config.run.eval_size or max(32, round(config.data.size * 800 / 1024))
        self.shown = chosen(len(val_set or ()), config.run.previews)
        tasks, best = self._measured(), config.run.best
        #: what weights are compared by: the chosen number, or the first of what is measured at all
        self.metric: Metric = (
            best if METRICS[best] in tasks else next(n for n, task in METRICS.items() if task == tasks[0])
        )

    def _measured(self) -> list[EvalTask]:
        grounded = self.val_set is None or self.val_set.split.has_grounding
        found: list[EvalTask] = [
            task
            for task in self.config.run.eval_tasks
            if measured(self.config, task) and (grounded or task != "grounding")
        ]
        return found or ["panoptic"]

    def tasks(self, thorough: bool) -> list[EvalTask]:
        """Clicks, which take long, only before and after training, or where weights are compared by them."""
        found = self._measured()
        every = thorough or len(found) == 1 or METRICS[self.metric] == "interactive"
        return found if every else [task for task in found if task != "interactive"]

    def peak_bytes(self, model: SEEM) -> int:
        """What the evaluations of a run will take, as estimated; 0 where there are none."""
        if self.val_set is None:
            return 0
        return estimate(model, self.val_set, self.tasks(True), self.size, self.config.run.eval_limit)

    def evaluate(
        self, model: SEEM, runtime: Runtime, stop: Stop, thorough: bool, show: int = 0
    ) -> EvaluationResult | None:
        """None where there is no split to evaluate on.

        Args:
            thorough: clicks, too.
            show: keep so many of the worst and of the best images for a report.

        Raises:
            Interrupted: a signal came, and this process is alone (several would wait for each other).
        """
        if self.val_set is None:
            return None

        def look(_done: int, _all: int) -> None:
            if stop.signal is not None and runtime.world == 1:
                raise Interrupted

        return evaluate(
            model,
            self.val_set,
            self.tasks(thorough),
            EvaluationSettings(size=self.size, limit=self.config.run.eval_limit),
            runtime=runtime,
            show=show if "panoptic" in self.tasks(thorough) else 0,
            calibrate=True,
            progress=look,
        )

    def write(self, session: Session, result: EvaluationResult, moment: str, better: bool) -> None:
        """Row, pictures and curves of one evaluation."""
        progress, log, folder = session.progress, session.log, session.place.folder
        headline = result.headline()
        epoch = progress.step / session.steps_per_epoch
        label = f"epoch {epoch:5.1f}" if moment == "epoch" else moment
        row = f"{label:<12} {_cells(headline, progress.zero_shot if progress.step else {})}"
        log.say(row + ("  ★ best" if better and progress.step > 0 else ""))
        numbers = {n: v * (1 if n.startswith("NoC") else 100) for n, v in headline.items() if v is not None}
        log.row({"split": "val", "step": progress.step, "epoch": round(epoch, 4), **numbers})
        log.write_csv()
        if self.shown:
            picture = folder / "previews" / f"step_{progress.step:06d}.jpg"
            assert self.val_set is not None
            draw_previews(session.model, self.val_set, self.shown, self.size, picture)
            log.picture(progress.step, "previews", picture)
        draw_curves(log.rows, folder / "curves.png")
        report = run_folder.read_summary(folder)
        report |= {
            "finished": False,
            "step": progress.step,
            "zero_shot": progress.zero_shot,
            "last": headline,
        }
        if better:
            report |= {"best": headline, "best_step": progress.step, "per_class": result.per_class()}
        write_json(folder / run_folder.SUMMARY, report)
        if moment == "final" and self.val_set is not None:
            write_report(folder / REPORT, Findings(f"{folder}, the last weights", result), self.val_set)

    def keep(self, session: Session, result: EvaluationResult | None) -> None:
        """Write best/: an adapter folder that stands for the run, and which scores are worth showing."""
        folder = session.place.folder / run_folder.BEST
        new = checkpoint.beside(folder, lambda place: (place / adapter_folder.CARD).is_file())
        base = session.source.base
        if base is None:
            kept = session.place.folder / run_folder.BASE
            share(kept, new / adapter_folder.BASE)
            base = Base(adapter_folder.BASE, sha256_file(kept))
        else:
            base = Base(str(Path(base.path).resolve()), base.sha256)
        config = session.model.config
        card = Card(
            model=session.source.preset,
            strategy=session.strategy.name,
            placement=session.placement,
            base=base,
            categories=tuple(CardCategory(**row) for row in session.train_set.categories.as_coco()),
            preprocessing={
                "size": self.config.data.size,
                "eval_size": self.size,
                "pixel_mean": list(config.pixel_mean),
                "pixel_std": list(config.pixel_std),
            },
            metrics={} if result is None else result.headline(),
            step=session.progress.step,
            parameters=sum(p.numel() for p in session.trained.values()),
            tool=f"seem-tools {__version__}",
        )
        adapter_folder.write(new, session.trained, card)
        if result is not None and result.thresholds:
            write_thresholds(new, result.thresholds, result.measured_on())
        write_text(new / "README.md", _card_text(card, self.config))
        checkpoint.put_in_place(new, folder)

    def finish(self, session: Session) -> None:
        """summary.json, the closing table and the next command."""
        folder, progress, log = session.place.folder, session.progress, session.log
        report = run_folder.read_summary(folder)
        rows = [row for row in log.rows if row.get("split") == "train"]
        speed = sum(row["img_s"] for row in rows) / len(rows) if rows else None
        report |= {
            "finished": True,
            "steps": progress.step,
            "seconds": session.seconds,
            "img_s": speed,
            "peak_memory_gb": session.runtime.peak_memory() / 1e9,
            "strategy": session.strategy.name,
            "model": session.source.preset,
        }
        write_json(folder / run_folder.SUMMARY, report)
        least = read_thresholds(folder / run_folder.BEST).phrases or 0.0
        example = worth_trying(session.model, self.val_set or session.train_set, self.size, least)
        log.say(closing(report, session.seconds, folder, *example))


def _cells(headline: dict[str, float | None], before: dict[str, float | None]) -> str:
    gained = gains(headline, before)
    cells = []
    for name in SHOWN:
        if name in headline:
            gain = f" ({shown_number(name, gained[name], signed=True)})" if name in gained else ""
            cells.append(f"{name} {shown_number(name, headline[name])}{gain}")
    return "  ".join(cells)


def closing(report: dict[str, Any], seconds: float, folder: Path, photo: str, sentence: str) -> str:
    """The last words of a run; the sentence is about the photo."""
    best, before = report.get("best", {}), report.get("zero_shot", {})
    step = report.get("best_step", 0)
    when = f"step {step:,}" if step else "before training; no later weights were better"
    lines = ["", f"Done in {time_text(seconds)} · best ({when}): {_cells(best, before if step else {})}"]
    rows: list[tuple[str, ...]] = [("category", "PQ", "SQ", "RQ", "IoU", "AP")]
    for row in report.get("per_class", []):
        numbers = [shown_number("", row.get(key)) for key in ("pq", "sq", "rq", "iou", "ap")]
        rows.append((row["name"], *numbers))
    used = [i for i in range(len(rows[0])) if i == 0 or any(r[i] != "–" for r in rows[1:])]
    if len(used) > 1:
        lines.append(table([[row[i] for i in used] for row in rows], indent="  "))
    words = shlex.join([str(folder / run_folder.BEST), photo, "--text", sentence])
    lines.append(f"  next:  {typed('seem-train')} predict {words}")
    return "\n".join(lines)


def _card_text(card: Card, config: Config) -> str:
    metrics = "\n".join(f"| {n} | {shown_number(n, v)} |" for n, v in card.metrics.items())
    names = ", ".join(str(c["name"]) for c in card.categories)
    return (
        f"# {card.model} fine-tuned: {card.strategy}\n\n"
        f"{card.parameters:,} trained parameters after {card.step:,} steps on `{config.data.dataset}`; "
        f"they stand on `{Path(card.base.path).name}` (SHA-256 `{card.base.sha256}`).\n\n"
        f"Categories: {names}\n\n"
        f"| {config.data.val_split} | |\n|---|---|\n{metrics}\n\n"
        '```python\nimport seem_train\nmodel = seem_train.load_model("this/folder")\n```\n'
    )
