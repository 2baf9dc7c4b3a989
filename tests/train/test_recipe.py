"""``make dataset train``: the tabletop example, from scenes to a quality that only learning can reach."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_tabletop_recipe_tunes_seem_tiny(tmp_path: Path) -> None:
    """To what a newcomer is promised: PQ 78, things 70, no category under 50, phrases 75, one click 0.7."""
    command = [sys.executable, "-m"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    scenes, dataset, run = tmp_path / "scenes", tmp_path / "dataset", tmp_path / "run"
    colors = ROOT / "examples" / "tabletop" / "categories.json"
    recipe = ROOT / "examples" / "tabletop" / "train.yaml"
    for step in (
        [sys.executable, ROOT / "examples" / "tabletop" / "make.py", scenes],
        [*command, "seem_data", "build", "--colors", colors, "--polys", scenes, "--out", dataset],
        [*command, "seem_train", "run", dataset, "--config", recipe, "--out", run],
    ):
        done = subprocess.run([str(part) for part in step], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    summary = json.loads((run / "summary.json").read_text())
    assert summary["finished"]
    best = summary["best"]
    assert best["PQ"] >= 0.78
    assert best["PQ things"] >= 0.70
    assert best["P@0.5"] >= 0.75
    assert best["IoU@1"] >= 0.70
    assert best["PQ"] > summary["zero_shot"]["PQ"]
    by_category = re.findall(r"^  (\w+) +(\d+\.\d) ", done.stdout, re.MULTILINE)
    assert {name for name, _ in by_category} == {"ball", "box", "mug", "plate", "bottle", "table", "wall"}
    assert all(float(quality) >= 50 for _, quality in by_category)
    known = json.loads((run / "best" / "thresholds.json").read_text())["phrases"]
    assert known["precision"] > 0.5 and known["recall"] > 0.4
