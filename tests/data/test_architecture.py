"""Who may import whom: seem_data works without torch, seem_train knows its layout and its writers only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: The libraries of the ``train`` extra. seem_data must work where they are not installed.
TRAINING_ONLY = {"torch", "torchvision", "timm", "open_clip", "safetensors", "scipy", "matplotlib"}


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join((*package, *([node.module] if node.module else [])))
            yield from ((node.lineno, f"{module}.{name.name}") for name in node.names)


@pytest.mark.parametrize("path", modules("seem_data"), ids=str)
def test_seem_data_imports_nothing_of_training(path: Path) -> None:
    forbidden = TRAINING_ONLY | {"seem_train"}
    wrong = [(line, name) for line, name in imported(path) if name.split(".")[0] in forbidden]
    assert not wrong


@pytest.mark.parametrize("path", modules("seem_train"), ids=str)
def test_seem_train_imports_of_seem_data_the_layout_and_the_writers_only(path: Path) -> None:
    wrong = [
        (line, name)
        for line, name in imported(path)
        if name.split(".")[0] == "seem_data"
        and not name.startswith(("seem_data.layout.", "seem_data.writers."))
        and name not in ("seem_data.version.__version__", "seem_data.layout", "seem_data.writers")
    ]
    assert not wrong


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


def test_the_layout_is_light_to_import() -> None:
    """Training workers import it: no OpenCV, Pillow or typer on the way."""
    script = (
        "import sys, seem_data.layout; print(sorted({'cv2', 'PIL', 'typer', 'rich'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
