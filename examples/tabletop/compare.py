"""Compare fine-tuning strategies from the same weights, at the same steps and at the same CPU time.

    python examples/tabletop/compare.py DATASET … [--steps 30] [--seeds 3] [--limit 30] [--jobs 2]

Each strategy trains for the same steps; then once more for as many steps as fit into the CPU seconds that
`full` took. Prints two Markdown tables a dataset: mean ± half the range over seeds, with trained parameters,
CPU seconds and memory. What is measured is kept in OUT: a comparison that was stopped goes on where it was.
Arguments that are not its own go to ``seem-train run``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

STRATEGIES = (
    "head-adapter",
    "backbone-adapter+head-adapter",
    "head",
    "backbone-adapter+head",
    "lora",
    "full",
    "from scratch",
)
REFERENCE = "full"
#: Only the trunk has learned something, from ImageNet: everything is trained, at rates for that.
SCRATCH = ("--model", "seem-tiny", "--weights", "random", "--strategy", "full", "--unfreeze", "language")
SCRATCH += ("--size", "256", "--lr", "1e-3", "--set", "optim.backbone_lr=0.3", "--set", "optim.language_lr=1")
METRICS = ("PQ", "PQ things", "cIoU", "NoC@0.5", "NoC@0.85", "IoU@1")
SETTINGS = Path(__file__).with_name("compare.yaml")


@dataclass(frozen=True)
class Trained:
    """One run: what it cost, and its scores (shares of 1, and clicks)."""

    steps: int
    parameters: int
    cpu: float  #: seconds of the whole process, its start included
    memory: float  #: GB, the most that it held
    scores: dict[str, float | None]


@dataclass(frozen=True)
class Comparison:
    """Where everything starts and lies."""

    dataset: Path
    weights: str
    out: Path
    limit: int
    options: tuple[str, ...] = ()

    def train(self, strategy: str, steps: int, seed: int) -> Trained:
        """One run, or what is kept of it."""
        folder = self.out / f"{strategy.replace(' ', '-')}-{steps}-{seed}"
        kept = folder / "compared.json"
        if kept.is_file():
            return Trained(**json.loads(kept.read_text(encoding="utf-8")))
        start = SCRATCH if strategy == "from scratch" else ("--weights", self.weights, "--strategy", strategy)
        length = ("--steps", steps, "--seed", seed, "--out", folder)
        cpu, memory = spent("run", self.dataset, "--config", SETTINGS, *start, *length, *self.options)
        parameters = json.loads((folder / "best" / "adapter.json").read_text(encoding="utf-8"))["parameters"]
        trained = Trained(steps, parameters, cpu, memory, self.evaluate(folder, folder / "evaluation"))
        kept.write_text(json.dumps(asdict(trained)), encoding="utf-8")
        return trained

    def evaluate(self, model: str | Path, out: Path) -> dict[str, float | None]:
        """The headline of a model, measured alike for all."""
        report = out / "evaluation.json"
        if not report.is_file():
            how = ["--tasks", "panoptic,grounding,interactive", "--limit", self.limit, "--out", out]
            spent("evaluate", model, self.dataset, *how)
        return json.loads(report.read_text(encoding="utf-8"))["headline"]


def spent(*arguments: object) -> tuple[float, float]:
    """CPU seconds and peak memory in GB of a ``seem-train`` command, which must end well."""
    command = [sys.executable, "-m", "seem_train", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9


def same_time(comparison: Comparison, trained: dict[str, list[Trained]]) -> dict[str, int]:
    """The steps of each strategy that take the CPU time of `REFERENCE`, by its mean cost a step."""
    start = comparison.train("head-adapter", 1, 0).cpu  # of the process, and one step

    def cost(strategy: str) -> float:
        return sum((run.cpu - start) / (run.steps - 1) for run in trained[strategy]) / len(trained[strategy])

    steps = trained[REFERENCE][0].steps
    return {strategy: max(round(steps * cost(REFERENCE) / cost(strategy)), 1) for strategy in trained}


def table(before: dict[str, float | None], trained: dict[str, list[Trained]]) -> str:
    """Markdown, a row a strategy: mean ± half the range over its seeds."""
    headings = ("strategy", "steps", *METRICS, f"PQ gain of {REFERENCE}'s", "trained", "CPU s", "GB")
    rows = [("as it comes", "", *(shown([before], metric) for metric in METRICS), "", "", "", "")]
    full = gain(before, trained[REFERENCE]) if REFERENCE in trained else 0.0
    for strategy, runs in trained.items():
        scores = [run.scores for run in runs]
        rows.append(
            (
                strategy,
                str(runs[0].steps),
                *(shown(scores, metric) for metric in METRICS),
                f"{100 * gain(before, runs) / full:.0f} %" if full > 0 else "–",
                f"{runs[0].parameters / 1e6:.2f} M",
                f"{sum(run.cpu for run in runs) / len(runs):.0f}",
                f"{max(run.memory for run in runs):.1f}",
            )
        )
    rule = ("---", *("---:" for _ in headings[1:]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, rule, *rows))


def gain(before: dict[str, float | None], runs: list[Trained]) -> float:
    """Mean over seeds of the panoptic quality gained, in shares of 1."""
    return sum((run.scores["PQ"] or 0.0) for run in runs) / len(runs) - (before["PQ"] or 0.0)


def shown(scores: list[dict[str, float | None]], metric: str) -> str:
    """Percent, or clicks; with half the range over seeds where there are several."""
    scale = 1 if metric.startswith("NoC") else 100
    values = [scale * value for score in scores if (value := score.get(metric)) is not None]
    if not values:
        return "–"
    mean, spread = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{mean:.1f}" + (f" ± {spread:.1f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare fine-tuning strategies from the same weights.")
    parser.add_argument("datasets", nargs="+", type=Path, metavar="dataset")
    parser.add_argument(
        "--weights", default="seem-tiny", help="where all start; as seem-train run takes them"
    )
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=30, help="images of the evaluation")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, of one thread each")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    arguments, options = parser.parse_known_args()  # what is left goes to seem-train run
    strategies: list[str] = arguments.strategies
    many: int = arguments.steps
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for dataset in arguments.datasets:
        out = arguments.out / "-".join(dataset.absolute().parts[-2:])
        comparison = Comparison(dataset, arguments.weights, out, arguments.limit, tuple(options))
        before = comparison.evaluate(arguments.weights, out / "before")
        steps = dict.fromkeys(strategies, many)
        trained = train_all(comparison, steps, arguments.seeds, arguments.jobs)
        print(f"\n{dataset}, the same steps\n\n{table(before, trained)}", flush=True)
        if REFERENCE in trained:
            steps = same_time(comparison, trained)
            trained = train_all(comparison, steps, arguments.seeds, arguments.jobs)
            print(f"\n{dataset}, the CPU time of {REFERENCE}\n\n{table(before, trained)}", flush=True)


def train_all(
    comparison: Comparison, steps: dict[str, int], seeds: int, jobs: int
) -> dict[str, list[Trained]]:
    """All seeds of all strategies, `jobs` at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {
            strategy: [pool.submit(comparison.train, strategy, many, seed) for seed in range(seeds)]
            for strategy, many in steps.items()
        }
        return {strategy: [run.result() for run in runs] for strategy, runs in waiting.items()}


if __name__ == "__main__":
    main()
