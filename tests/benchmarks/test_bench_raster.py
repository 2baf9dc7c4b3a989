"""From regions to PNGs and rows: CPU time beside panopticapi's way of doing it, in one process.

Ours draws, encodes and writes the panoptic and the semantic PNG and also makes boxes, instance masks,
sentences and grounding polygons; the baseline makes the two PNGs.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from converter import Annotation, panoptic_pass, semantic_pass
from panopticapi.utils import IdGenerator
from PIL import Image

from seem_data.annotations import Polygon, Region
from seem_data.categories import Categories, Category
from seem_data.drawing.raster import RasterOptions, rasterize
from seem_data.encoding import grounding, instances, panoptic, semantic
from seem_data.layout import png
from seem_data.sentences import describe as sentences

pytestmark = pytest.mark.bench

CATEGORIES = Categories(
    [Category(k, f"thing {k}", (20 * k, 250 - 15 * k, 90), True) for k in range(1, 9)]
    + [Category(k, f"stuff {k}", (5 * k, 8 * k, 255), False) for k in (21, 22, 23)]
)


def blob(rng: np.random.Generator, center: np.ndarray, radius: float) -> np.ndarray:
    angle = np.sort(rng.uniform(0, 2 * np.pi, 25))
    reach = radius * rng.uniform(0.7, 1.2, 25)
    return center + np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None]


def scene(rng: np.random.Generator, size: tuple[int, int], things: int) -> list[Region]:
    """Three bands of stuff and things before them; 15 % of the things have a hole, 10 % a second part."""
    width, height = size
    regions = []
    for band, k in enumerate((21, 22, 23)):
        top, bottom = height * band / 3 - 20, height * (band + 1) / 3 + 20
        points = np.array([[0, top], [width, top], [width, bottom], [width / 2, bottom - 15], [0, bottom]])
        regions.append(Region(f"stuff {k}", (Polygon(points.clip(0, size)),)))
    for number in range(things):
        radius = min(size) * rng.uniform(0.05, 0.13)
        center = rng.uniform(radius, np.array(size) - radius)
        outer = blob(rng, center, radius)
        holes = (center + (outer - center) * 0.3,) if number % 7 == 3 else ()
        parts = [Polygon(outer, holes)]
        if number % 10 == 5:
            parts.append(Polygon(blob(rng, center + 2 * radius, radius / 3)))
        regions.append(Region(f"thing {rng.integers(1, 9)}", tuple(parts)))
    return regions


def annotations_of(regions: list[Region]) -> list[Annotation]:
    found = []
    for region in regions:
        category = CATEGORIES.find(region.label)
        assert category is not None
        parts = [part.outer.ravel().tolist() for part in region.parts if isinstance(part, Polygon)]
        found.append((category.id, parts))
    return found


class Ours:
    """The stages of one image, timed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}

    def __call__(self, regions: list[Region], size: tuple[int, int], photo: np.ndarray) -> None:
        clock = time.process_time
        start = clock()

        def lap(stage: str) -> None:
            nonlocal start
            now = clock()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - start
            start = now

        drawing = rasterize(regions, size, CATEGORIES, RasterOptions(), [], "")
        lap("raster")
        encoded = panoptic.encode(drawing, CATEGORIES)
        lap("ids")
        files = encoded.png(), semantic.encode(encoded, CATEGORIES)
        lap("PNG")
        instances.rows(encoded)
        lap("instances")
        said = sentences.describe(drawing, photo, 4, "0/a.jpg")
        lap("sentences")
        grounding.rows(encoded, said)
        lap("grounding")
        for name, data in zip(("panoptic.png", "semantic.png"), files, strict=True):
            (self.folder / name).write_bytes(data)
        lap("write")


def compare(size: tuple[int, int], things: int, images: int, folder: Path) -> tuple[float, float, dict]:
    """CPU milliseconds an image of the baseline and of ours, and of our stages."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    scenes = [scene(rng, size, things) for _ in range(images)]
    photo = rng.integers(0, 256, (size[1] // 4, size[0] // 4, 3)).astype(np.uint8)
    ids = IdGenerator({category.id: category.as_coco() for category in CATEGORIES})
    annotations = [annotations_of(regions) for regions in scenes]
    Ours(folder)(scenes[0], size, photo)  # imports and tables
    ours = Ours(folder)
    theirs = 0.0
    for block in range(0, images, 25):  # in turns, so that both see the same machine
        start = time.process_time()
        for found in annotations[block : block + 25]:
            segments = panoptic_pass(found, size, ids, folder / "theirs.png")
            semantic_pass(segments, folder / "theirs.png", folder / "theirs_semantic.png")
        theirs += time.process_time() - start
        for regions in scenes[block : block + 25]:
            ours(regions, size, photo)
    to_ms = 1000 / images
    stages = {stage: seconds * to_ms for stage, seconds in ours.seconds.items()}
    return theirs * to_ms, sum(stages.values()), stages


def report(title: str, theirs: float, ours: float, stages: dict[str, float]) -> None:
    print(
        f"\n{title}: panopticapi's way {theirs:.1f} ms, ours {ours:.2f} ms CPU an image: {theirs / ours:.1f}×"
    )
    for stage, milliseconds in stages.items():
        print(f"  {stage:15} {milliseconds:6.2f} ms {milliseconds / ours:5.0%}")


def test_640_by_480_with_12_things(tmp_path):
    theirs, ours, stages = compare((640, 480), 12, 150, tmp_path)
    report("640×480, 12 things, 3 stuff", theirs, ours, stages)
    assert theirs > 5 * ours  # the bar for a whole build is the build benchmark's


def test_12_megapixels_with_40_polygons(tmp_path):
    theirs, ours, stages = compare((4000, 3000), 37, 3, tmp_path)
    report("4000×3000, 37 things, 3 stuff", theirs, ours, stages)
    assert theirs > 10 * ours


def test_png_encoders():
    """Ours beside Pillow's default and OpenCV's, on the panoptic PNG of a scene."""
    drawing = rasterize(
        scene(np.random.default_rng(0), (640, 480), 12), (640, 480), CATEGORIES, RasterOptions(), []
    )
    rgb = np.asarray(Image.open(io.BytesIO(panoptic.encode(drawing, CATEGORIES).png())))

    def pillow() -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "PNG")
        return buffer.getvalue()

    ways: dict[str, Callable[[], bytes]] = {
        "Pillow": pillow,
        "OpenCV": lambda: cv2.imencode(".png", rgb)[1].tobytes(),
        "ours": lambda: png.encode(rgb),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(15):
        for name, encode in ways.items():
            start = time.process_time()
            encode()
            best[name] = min(best[name], time.process_time() - start)
    print()
    for name, encode in ways.items():
        ratio = best["Pillow"] / best[name]
        print(
            f"  {name:7} {best[name] * 1000:6.2f} ms  {len(encode()):7,} bytes  {ratio:5.1f}× Pillow's speed"
        )
    assert best["Pillow"] > 5 * best["ours"]
