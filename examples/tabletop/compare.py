"""Compare strategies on one dataset from the same weights: same steps, or the same time, over several seeds.

    python examples/tabletop/compare.py DATASET [--weights FILE] [--steps 300 | --max-time 5m] [--seeds 3]

Prints a Markdown table: quality (mean ± half the range over seeds), trained parameters, CPU seconds, memory.
Runs that are finished are not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

STRATEGIES = ("head-adapter", "backbone-adapter+head-adapter", "head", "lora", "full")
METRICS = ("PQ", "PQ things", "cIoU", "P@0.5", "NoC@0.5", "IoU@1")


def run(arguments: argparse.Namespace, strategy: str, seed: int) -> dict[str, Any]:
    """One run's numbers; from its folder where it was finished before."""
    folder = arguments.out / f"{strategy}-{seed}"
    kept = folder / "compared.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    much = ["--max-time", arguments.max_time] if arguments.max_time else ["--steps", str(arguments.steps)]
    weights = ["--weights", arguments.weights] if arguments.weights else []
    command = [sys.executable, "-m", "seem_train", "run", arguments.dataset, "--strategy", strategy, *weights]
    command += ["--out", folder, "--seed", str(seed), "--eval-every", "0", *much, *arguments.options]
    before = _used()
    done = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{strategy}, seed {seed}: seem-train ended with {done.returncode}")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    card = json.loads((folder / "best" / "adapter.json").read_text(encoding="utf-8"))
    row = {
        "before": summary["zero_shot"],
        "after": summary["best"],
        "parameters": card["parameters"],
        "cpu": _used() - before,
    }
    kept.write_text(json.dumps(row), encoding="utf-8")
    return row


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(rows: dict[str, list[dict[str, Any]]]) -> str:
    lines = [
        f"| strategy | {' | '.join(METRICS)} | trained | CPU s |",
        f"|---|{'---:|' * (len(METRICS) + 2)}",
    ]
    first = next(iter(rows.values()))[0]["before"]
    lines.append(f"| before | {' | '.join(_shown([first], m) for m in METRICS)} | | |")
    for strategy, runs in rows.items():
        cells = [_shown([run["after"] for run in runs], metric) for metric in METRICS]
        seconds = sum(run["cpu"] for run in runs) / len(runs)
        lines.append(
            f"| {strategy} | {' | '.join(cells)} | {runs[0]['parameters'] / 1e6:.2f} M | {seconds:.0f} |"
        )
    return "\n".join(lines)


def _shown(scores: list[dict[str, float]], metric: str) -> str:
    """Percent, or clicks; with half the range over seeds where there are several."""
    values = [
        s[metric] * (1 if metric.startswith("NoC") else 100) for s in scores if s.get(metric) is not None
    ]
    if not values:
        return "–"
    mean, spread = sum(values) / len(values), (max(values) - min(values)) / 2
    return f"{mean:.1f}" + (f" ± {spread:.1f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare fine-tuning strategies from the same weights.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--weights", help="where all start; as seem-train run takes them")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--max-time", help="the same time for each instead of the same steps: 5m")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--out", type=Path, default=Path("runs/compare"))
    arguments, arguments.options = parser.parse_known_args()  # what is left goes to seem-train run
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = {s: [run(arguments, s, seed) for seed in range(arguments.seeds)] for s in arguments.strategies}
    print(table(rows))


if __name__ == "__main__":
    main()
