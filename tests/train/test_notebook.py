"""examples/finetune.ipynb runs from its first cell to its last and shows pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="of the extra `dev`")
    nbclient = pytest.importorskip("nbclient", reason="of the extra `dev`")
    notebook = nbformat.read(ROOT / "examples" / "finetune.ipynb", as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert 'WORK = Path("../build/notebook")' in first.source and "STEPS = 60" in first.source
    first.source = first.source.replace("../build/notebook", str(tmp_path)).replace("STEPS = 60", "STEPS = 5")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    client = nbclient.NotebookClient(
        notebook, timeout=900, resources={"metadata": {"path": str(ROOT / "examples")}}
    )
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 7, "polygons, dataset, curves, everything, text, click, box"


def test_the_notebook_is_kept_without_outputs() -> None:
    text = (ROOT / "examples" / "finetune.ipynb").read_text(encoding="utf-8")
    assert '"outputs": []' in text and "image/png" not in text
    assert len(text) < 20_000, "small enough to read"
