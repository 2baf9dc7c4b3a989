"""examples/tabletop/compare.py: all strategies from the same weights, in one table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from examples.tabletop.compare import table
from tests.train.tiny_dataset import write_dataset

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "tabletop" / "compare.py"


def test_the_table_shows_the_mean_and_half_the_range_of_seeds() -> None:
    before = {"PQ": 0.1, "NoC@0.5": 20.0}
    runs = [
        {"before": before, "after": {"PQ": pq, "NoC@0.5": 5.0}, "parameters": 170_000, "cpu": 10.0}
        for pq in (0.5, 0.7)
    ]
    text = table({"lora": runs})
    assert "| before | 10.0 |" in text
    assert "| lora | 60.0 ± 10.0 | – |" in text
    assert "| 5.0 ± 0.0 |" in text
    assert text.endswith("| 0.17 M | 10 |")


@pytest.mark.slow
def test_strategies_are_run_once_and_not_again_when_they_are_there(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", split="train")
    write_dataset(dataset, split="val")
    command = [sys.executable, SCRIPT, dataset, "--weights", "random", "--model", "tiny", "--steps", "1"]
    command += ["--size", "32", "--global-batch", "2", "--workers", "0", "--device", "cpu", "--seeds", "1"]
    command += ["--strategies", "head-adapter", "--out", tmp_path / "runs"]
    texts = [subprocess.run([str(c) for c in command], capture_output=True, text=True) for _ in range(2)]
    assert [t.returncode for t in texts] == [0, 0], texts[0].stderr
    assert "| head-adapter |" in texts[0].stdout
    assert texts[1].stdout == texts[0].stdout  # CPU seconds included: nothing was run again
