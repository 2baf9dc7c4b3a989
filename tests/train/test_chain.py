"""From scenes to a model to take away by the command line: what one command writes, the next reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from panopticapi.utils import rgb2id
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
TABLETOP = ROOT / "examples" / "tabletop"
PROMPTS = (
    ["--text", "the wall", "--text", "a mug"],
    ["--point", "160,60", "--point", "160,200,0"],
    ["--box", "10,10,300,80"],
    ["--stroke", "20,40 150,50 300,30"],
)


def _do(*command: object) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *(str(part) for part in command)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _segments(folder: Path) -> tuple[np.ndarray, dict[int, str]]:
    """The id map of the only photo, and the category of each id."""
    written = json.loads((folder / "panoptic.json").read_text())
    names = {category["id"]: category["name"] for category in written["categories"]}
    (row,) = written["annotations"]
    id_map = np.asarray(rgb2id(np.array(Image.open(folder / "panoptic" / row["file_name"]))))
    return id_map, {s["id"]: names[s["category_id"]] for s in row["segments_info"]}


@pytest.mark.slow
def test_a_trained_model_is_evaluated_used_and_exported(tmp_path: Path) -> None:
    train = "-m", "seem_train"
    scenes, dataset, run = tmp_path / "scenes", tmp_path / "dataset", tmp_path / "run"
    colors = TABLETOP / "categories.json"
    _do(TABLETOP / "make.py", scenes, "--images", 30)
    _do("-m", "seem_data", "build", "--colors", colors, "--polys", scenes, "--out", dataset)
    quick = "--set", "run.devices=1", "--set", "run.eval_every=9", "--no-zero-shot", "--steps", 60
    recipe = "--config", TABLETOP / "train.yaml", "--strategy", "lora"
    _do(*train, "run", dataset, *recipe, "--out", run, *quick)

    tasks = "panoptic,semantic,instance,grounding,interactive"
    _do(*train, "evaluate", run, dataset, "--tasks", tasks, "--out", tmp_path / "evaluation")
    scores = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert all(task in json.dumps(scores) for task in tasks.split(","))
    assert "NoC" in (tmp_path / "evaluation" / "report.html").read_text()

    photos = sorted((dataset / "val" / "images").iterdir())
    mask = tmp_path / "mask.png"
    Image.fromarray(np.uint8(255) * (np.arange(240)[:, None] < np.full(320, 60))).save(mask)
    prompts = [*PROMPTS, ["--reference", f"{photos[1]}:{mask}"]]
    for number, prompt in enumerate(prompts):
        out = tmp_path / f"prompt{number}"
        _do(*train, "predict", run, photos[0], *prompt, "--min-score", 0, "--out", out)
        found = json.loads((out / "prompts.json").read_text())
        assert len(found["annotations"]) == max(1, prompt.count("--text"))
        assert list((out / "overlays").iterdir())

    weights = tmp_path / "merged.safetensors"
    _do(*train, "export", run, "--merge", "--out", weights)  # which says itself what it knows
    everything = "--panoptic", "--object-threshold", 0, "--overlap-threshold", 0
    for model, name in ((run, "tuned"), (weights, "merged")):
        how = [*everything, "--out", tmp_path / name]
        _do(*train, "predict", model, photos[0], *how)
    tuned, merged = _segments(tmp_path / "tuned"), _segments(tmp_path / "merged")
    assert len(tuned[1]) > 0
    assert np.array_equal(tuned[0] > 0, merged[0] > 0)
    assert np.array_equal(
        np.vectorize(tuned[1].get)(tuned[0]).astype(str), np.vectorize(merged[1].get)(merged[0]).astype(str)
    )
