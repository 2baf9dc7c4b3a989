"""Small LabelMe inputs for tests of the pipeline: quick to build, with things, stuff and overlaps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES: dict[str, dict[str, Any]] = {
    "cup": {"color": "#dc143c", "isthing": True},
    "plate": {"color": "#1e78b4", "isthing": True},
    "table": {"color": "#8c6428", "isthing": False},
    "wall": {"color": "#a0a0a0", "isthing": False},
}
WIDTH, HEIGHT = 64, 48


def write_colors(folder: Path, categories: dict[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cats.json"
    path.write_text(json.dumps(CATEGORIES if categories is None else categories))
    return path


def box(label: str, left: float, top: float, right: float, bottom: float, **extra: Any) -> dict[str, Any]:
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return {"label": label, "points": points, "shape_type": "polygon", **extra}


def write_image(path: Path, seed: int = 0, **save: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((WIDTH, HEIGHT)).save(path, **save)
    return path


def write_annotation(path: Path, photo: str, shapes: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    size = {"imageWidth": WIDTH, "imageHeight": HEIGHT}
    content = {"version": "5.0.0", "shapes": shapes, "imagePath": photo, "imageData": None, **size}
    path.write_text(json.dumps(content))
    return path


def shapes_of(index: int) -> list[dict[str, Any]]:
    """Wall and table; one to three cups; a plate in two images of three."""
    random = np.random.default_rng(index)
    shapes = [box("wall", 0, 0, WIDTH, 20), box("table", 0, 20, WIDTH, HEIGHT)]
    for _ in range(1 + index % 3):
        left, top = random.integers(0, WIDTH - 14), random.integers(10, HEIGHT - 12)
        shapes.append(box("cup", int(left), int(top), int(left) + 12, int(top) + 10))
    if index % 3:
        left = int(random.integers(2, 40))
        shapes.append(box("plate", left + 0.5, 30.25, left + 20.5, 40.75, description="the big plate"))
    return shapes


def write_scenes(folder: Path, count: int, prefix: str = "") -> Path:
    """`count` photos with a LabelMe file each."""
    for index in range(count):
        name = f"{prefix}{index:03}"
        write_image(folder / f"{name}.jpg", seed=index, quality=90)
        write_annotation(folder / f"{name}.json", f"{Path(name).name}.jpg", shapes_of(index))
    return folder


def tree(root: Path) -> dict[str, bytes]:
    """Every file of a dataset but its working memory, by relative path."""
    files = (path for path in root.rglob("*") if path.is_file())
    names = {path.relative_to(root).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in names.items() if not name.startswith(".build/")}
