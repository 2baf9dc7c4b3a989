"""Small datasets for tests: the tabletop example, rendered and built through the public function."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
COLORS = EXAMPLES / "tabletop" / "categories.json"


def render(folder: Path, images: int) -> Path:
    """Photos with LabelMe files."""
    command = [sys.executable, EXAMPLES / "tabletop" / "make.py", folder, "--images", str(images)]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return folder


def dataset(folder: Path, images: int) -> Path:
    from seem_data import build

    build(colors=COLORS, polys=render(folder / "scenes", images), out=folder / "dataset", workers=1)
    return folder / "dataset"
