"""What importing costs: seem_data works without torch, and its layout is light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.data.scenes import write_colors, write_scenes

ROOT = Path(__file__).parents[2]
#: The libraries of the ``train`` extra. seem_data must work where they are not installed.
TRAINING_ONLY = {"torch", "torchvision", "timm", "open_clip", "safetensors", "scipy", "matplotlib"}


def test_a_whole_build_loads_no_torch(tmp_path: Path) -> None:
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from tests.data.scenes import write_colors, write_scenes
from seem_data import build
from seem_data.checking.validate import validate
folder = Path({str(tmp_path)!r})
build(write_colors(folder), write_scenes(folder / "ann", 3), folder / "out", workers=1)
assert validate(folder / "out", workers=1) == []
print(sorted({TRAINING_ONLY!r} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_build_of_polygons_starts_without_what_others_need(tmp_path: Path) -> None:
    """OpenCV is for painted masks, Rich for terminals; each takes as long to load as some images to build.
    Pydantic came with a version of typer that we do not ask for."""
    options = {"colors": write_colors(tmp_path), "polys": write_scenes(tmp_path / "ann", 3)}
    words = [f"--{name}={path}" for name, path in options.items()]
    command = [sys.executable, "-X", "importtime", "-m", "seem_data", "build", *words]
    done = subprocess.run(
        [*command, f"--out={tmp_path / 'out'}"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "numpy" in loaded
    assert not loaded & {"cv2", "rich", "rich.table", "pydantic", "shapely", "yaml"}


def test_the_layout_is_light_to_import() -> None:
    """Training workers import it: no OpenCV, Pillow or typer on the way."""
    script = (
        "import sys, seem_data.layout; print(sorted({'cv2', 'PIL', 'typer', 'rich'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
