"""examples/tabletop/compare.py: all strategies from the same weights, in the same steps and the same time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.tabletop import compare
from examples.tabletop.compare import Comparison, Trained, same_time, table
from tests.train.tiny_dataset import write_dataset

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "tabletop" / "compare.py"
BEFORE = {"PQ": 0.1, "NoC@0.5": 20.0}


def trained(pq: float, cpu: float = 10.0, steps: int = 5) -> Trained:
    return Trained(steps, 170_000, cpu, 0.5, {"PQ": pq, "NoC@0.5": 5.0})


def test_the_table_shows_the_mean_and_half_the_range_of_seeds() -> None:
    text = table(BEFORE, {"lora": [trained(0.5), trained(0.7)], "full": [trained(0.9), trained(0.9)]})
    before, lora, full = text.splitlines()[2:]
    assert before.startswith("| as it comes |  | 10.0 | – |")
    assert lora.startswith("| lora | 5 | 60.0 ± 10.0 | – |") and "| 5.0 ± 0.0 |" in lora
    assert lora.endswith("| 62 % | 0.17 M | 10 | 0.5 |"), "50 of the 80 points that full gains"
    assert full.endswith("| 100 % | 0.17 M | 10 | 0.5 |")


def test_what_costs_half_gets_twice_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = Comparison(tmp_path, "seem-tiny", tmp_path, 1)
    monkeypatch.setattr(Comparison, "train", lambda *_: trained(0.0, cpu=2.0, steps=1))
    runs = {"lora": [trained(0.0, 22.0, 11)], "full": [trained(0.0, 42.0, 11)]}
    assert same_time(comparison, runs) == {"lora": 22, "full": 11}


def test_from_scratch_trains_everything_and_the_rest_starts_from_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[object, ...]] = []

    def spent(*arguments: object) -> tuple[float, float]:
        given.append(arguments)
        best = Path(str(arguments[arguments.index("--out") + 1])) / "best"
        best.mkdir(parents=True)
        (best / "adapter.json").write_text('{"parameters": 3}')
        return 1.0, 1.0

    monkeypatch.setattr(compare, "spent", spent)
    monkeypatch.setattr(Comparison, "evaluate", lambda *_: BEFORE)
    comparison = Comparison(tmp_path, "seem-tiny", tmp_path / "out", 1)
    comparison.train("from scratch", 2, 0)
    comparison.train("lora", 2, 0)
    scratch, lora = (" ".join(map(str, arguments)) for arguments in given)
    assert "--weights random --strategy full" in scratch
    assert "--weights seem-tiny --strategy lora" in lora


@pytest.mark.slow
def test_strategies_are_run_once_and_not_again_when_they_are_there(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", split="train")
    write_dataset(dataset, split="val")
    command = [
        sys.executable,
        SCRIPT,
        dataset,
        "--steps",
        "2",
        "--seeds",
        "1",
        "--limit",
        "1",
        "--size",
        "64",
    ]
    command += ["--global-batch", "2", "--workers", "0", "--strategies", "head-adapter", "full"]
    command += ["--out", tmp_path / "runs"]
    texts = [subprocess.run([str(c) for c in command], capture_output=True, text=True) for _ in range(2)]
    assert [t.returncode for t in texts] == [0, 0], texts[0].stderr
    assert texts[0].stdout.count("| head-adapter |") == 2, "in the same steps, and in the same time"
    assert texts[1].stdout == texts[0].stdout  # CPU seconds included: nothing was run again
