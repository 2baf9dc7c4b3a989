"""Inputs as real tools write them, built as a user would, and compared with masks drawn by other means."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from seem_data.cli import app
from seem_data.layout import Dataset
from seem_data.layout.pixels import read_id_map


@pytest.fixture
def cases(shared_real: Path) -> Path:
    folder = shared_real.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"there are no cases in {folder}")
    return folder


def built(folder: Path) -> dict[str, list[tuple[str, np.ndarray]]]:
    """The photo's name, less folders, ─▶ category and mask of each segment."""
    names = {category.id: category.name for category in Dataset(folder).categories}
    found = {}
    for file in sorted(folder.glob("*/panoptic.json")):
        panoptic = json.loads(file.read_text())
        photos = {image["id"]: Path(image["file_name"]).stem for image in panoptic["images"]}
        for row in panoptic["annotations"]:
            ids = read_id_map(file.parent / "panoptic" / row["file_name"])
            found[photos[row["image_id"]]] = [
                (names[s["category_id"]], ids == s["id"]) for s in row["segments_info"]
            ]
    return found


def test_every_case_is_built_as_it_was_drawn_or_told(cases, tmp_path, monkeypatch):
    wrong = []
    for case in sorted(cases.iterdir()):
        work = shutil.copytree(case, tmp_path / case.name)
        monkeypatch.chdir(work)
        result = CliRunner().invoke(app, shlex.split((case / "command.txt").read_text())[1:])
        if result.exit_code not in (0, 1, 2) or "internal-error" in result.output:
            wrong.append(f"{case.name}: {result.output[-200:]}")
        if not (case / "expected.json").is_file():
            continue
        found = built(work / "ds") if (work / "ds" / "dataset.json").is_file() else {}
        for photo, segments in json.loads((case / "expected.json").read_text()).items():
            stem = Path(photo).stem
            truth = np.asarray(Image.open(case / f"expected_{stem}.png"))
            here = next(
                (value for key, value in found.items() if key.endswith(stem) or stem.endswith(key)), []
            )
            same = [
                any(
                    name == s["category"] and np.array_equal(mask, truth == s["value"]) for name, mask in here
                )
                for s in segments
            ]
            if not all(same) or len(here) != len(segments):
                wrong.append(f"{case.name}: {photo} has {len(here)} segments, {len(segments)} are expected")
    assert not wrong
