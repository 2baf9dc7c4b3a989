"""What evaluation takes of memory: bounded for large photos, and told before, within a factor of 1.5."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_dataset import write_dataset

from seem_train.data.dataset import SegmentationSet
from seem_train.evaluation.memory import estimate
from seem_train.evaluation.tasks import TASKS
from seem_train.model.seem import SEEM
from seem_train.weights.presets import get_preset

MEASURE = """
import sys, torch
torch.set_num_threads(1)
from seem_train.data.dataset import SegmentationSet
from seem_train.evaluation.evaluate import EvaluationSettings, evaluate
from seem_train.model.footprint import weight_bytes
from seem_train.model.seem import SEEM
from seem_train.runtime import process_peak as peak
from seem_train.weights.presets import get_preset

torch.manual_seed(0)
model = SEEM(get_preset("tiny").config).eval()
settings = EvaluationSettings(size=256, object_threshold=0.0, overlap_threshold=0.0, max_clicks=2)
images = [SegmentationSet(root, "val") for root in sys.argv[1:3]]
evaluate(model, images[1], tasks=sys.argv[3].split(","), settings=settings)  # what is loaded once is loaded
before = peak()
evaluate(model, images[0], tasks=sys.argv[3].split(","), settings=settings)
print(peak() - before + weight_bytes(model))
"""


def _enlarged(root: Path, height: int, width: int) -> Path:
    """A dataset whose one image is as large as that."""
    write_dataset(root, images=1)
    rows = json.loads((root / "val" / "panoptic.json").read_text())
    (image,), (row,) = rows["images"], rows["annotations"]
    image |= {"height": height, "width": width}
    for folder in ("images", "panoptic"):
        path = root / "val" / folder / image["file_name"]
        Image.fromarray(np.asarray(Image.open(path))).resize((width, height), Image.Resampling.NEAREST).save(
            path
        )
    for segment in row["segments_info"]:
        segment["area"] = round(segment["area"] * height * width / (32 * 48))
    (root / "val" / "panoptic.json").write_text(json.dumps(rows))
    return root


def test_more_pixels_and_a_larger_size_need_more(tmp_path: Path) -> None:
    model = SEEM(get_preset("tiny").config).eval()
    small = SegmentationSet(_enlarged(tmp_path / "small", 60, 80), "val")
    large = SegmentationSet(_enlarged(tmp_path / "large", 600, 800), "val")
    assert (
        estimate(model, small, TASKS, 64)
        < estimate(model, large, TASKS, 64)
        < estimate(model, large, TASKS, 512)
    )
    assert estimate(model, large, ["grounding"], 64) < estimate(model, large, TASKS, 64)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage")
@pytest.mark.parametrize("size", [(1500, 2000), (3000, 4000)])
@pytest.mark.parametrize("tasks", ["panoptic", "semantic", "grounding,interactive", ",".join(TASKS)])
def test_the_estimate_holds_and_twelve_megapixels_stay_below_two_gigabytes(
    tmp_path: Path, size: tuple[int, int], tasks: str
) -> None:
    dataset, small = _enlarged(tmp_path / "large", *size), write_dataset(tmp_path / "small")
    command = [sys.executable, "-c", MEASURE, str(dataset), str(small), tasks]
    taken = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    asked = [task for task in TASKS if task in tasks.split(",")]
    told = estimate(SEEM(get_preset("tiny").config).eval(), SegmentationSet(dataset, "val"), asked, 256)
    assert taken < 2e9
    assert told / 1.5 < taken < told * 1.5, f"{taken / 1e6:.0f} MB taken, {told / 1e6:.0f} MB told"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no getrusage")
def test_the_peak_of_a_process_is_its_own_whatever_started_it() -> None:
    child = "from seem_train.runtime import process_peak; print(process_peak())"
    run = f"subprocess.run([sys.executable, '-c', {child!r}])"
    starter = f"import subprocess, sys; large = b'x' * 3_000_000_000; {run}"
    told = subprocess.run([sys.executable, "-c", starter], check=True, capture_output=True, text=True).stdout
    assert int(told) < 2e9
