"""Builds against a straightforward one, side by side: CPU seconds, two workers, large photos, memory."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from panopticapi.utils import rgb2id
from PIL import Image

import seem_data
from seem_data.building.report import BuildReport
from seem_data.engines.choose import cpu_count
from tests.benchmarks.converter import convert

pytestmark = pytest.mark.bench

ROOT = Path(__file__).parents[2]
STUFF, THINGS = ("wall", "floor", "rug"), ("cup", "plate", "chair", "lamp", "book", "cat")
CATEGORIES = [
    {"id": number, "name": name, "color": [40 * number % 251, 90 * number % 241, 255 - 25 * number],
     "isthing": int(name in THINGS), "supercategory": name}
    for number, name in enumerate((*STUFF, *THINGS), start=1)
]  # fmt: skip


def outline(random: np.random.Generator, center: np.ndarray, radius: float, corners: int) -> list[float]:
    """A wobbly closed line."""
    angles = np.sort(random.uniform(0, 2 * np.pi, corners))
    radii = radius * random.uniform(0.6, 1.0, corners)
    points = center + np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    return points.round(2).ravel().tolist()


def write_input(
    folder: Path, images: int, width: int = 640, height: int = 480, objects: int = 12, stuff: int = 3
) -> Path:
    """COCO instances of `objects` things an image, one in six of two parts, and up to three stuff regions;
    all photos are links to one."""
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height)).save(folder / "photo.jpg", quality=90)
    size = np.array([width, height])
    coco: dict[str, list[object]] = {"images": [], "annotations": [], "categories": list(CATEGORIES)}
    for number in range(1, images + 1):
        name = f"{number:06}.jpg"
        os.link(folder / "photo.jpg", folder / "images" / name)
        coco["images"].append({"id": number, "file_name": name, "width": width, "height": height})
        half = float(height // 2)
        regions = [
            (1, [[0.0, 0.0, width, 0.0, width, half, 0.0, half]]),
            (2, [[0.0, half, width, half, width, float(height), 0.0, float(height)]]),
            (3, [outline(random, np.array([0.5, 0.8]) * size, 0.4 * width, 30)]),
        ]
        del regions[stuff:]
        for index in range(objects):
            center, radius = random.uniform(0.1, 0.9, 2) * size, random.uniform(0.06, 0.16) * width
            parts = [outline(random, center, radius, int(random.integers(12, 40)))]
            if index % 6 == 5:
                parts.append(outline(random, center + 2 * radius, radius / 2, 12))
            regions.append((int(random.integers(4, 10)), parts))
        for category, polygons in regions:
            coco["annotations"].append(
                {"id": len(coco["annotations"]) + 1, "image_id": number, "category_id": category,
                 "segmentation": polygons, "iscrowd": 0}
            )  # fmt: skip
    (folder / "photo.jpg").unlink()
    (folder / "instances.json").write_text(json.dumps(coco))
    (folder / "colors.json").write_text(json.dumps(CATEGORIES))
    return folder


def build(folder: Path, out: Path, **options: object) -> BuildReport:
    return seem_data.build(
        folder / "colors.json",
        folder / "instances.json",
        out,
        images=folder / "images",
        split="all=1",
        **options,
    )


def cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def test_one_core_needs_a_seventh_of_the_baselines_cpu(tmp_path: Path) -> None:
    folder = write_input(tmp_path / "input", 150)
    build(folder, tmp_path / "warm", workers=1)
    ours, theirs = [], []
    for turn in range(3):
        ours.append(cpu_seconds(partial(build, folder, tmp_path / f"ours{turn}", workers=1)))
        theirs.append(cpu_seconds(partial(convert, folder, tmp_path / f"theirs{turn}")))
    ratio = min(theirs) / min(ours)
    print(
        f"\n150 images 640×480, 12 objects: {150 / min(ours):.0f} images per CPU second, "
        f"baseline {150 / min(theirs):.0f}: {ratio:.1f} times fewer CPU seconds"
    )
    _same_pixels(tmp_path / "ours0" / "all", tmp_path / "theirs0")
    stages = build(folder, tmp_path / "stages", workers=1).seconds
    whole = sum(stages.values())
    print("ms an image by stage:")
    for stage, seconds in stages.items():
        print(f"  {stage:10} {1000 * seconds / 150:5.2f}  {seconds / whole:4.0%}")
    assert ratio >= 7


def test_a_whole_process_of_300_images_beside_the_baselines(tmp_path: Path) -> None:
    """With all that starts: Python, libraries, the command line. 12 things and 2 stuff an image, one core."""
    folder = write_input(tmp_path / "input", 300, stuff=2)
    ours = [sys.executable, "-m", "seem_data", "build", "--split", "all=1", "--workers", "1"]
    for option, value in (("colors", "colors.json"), ("polys", "instances.json"), ("images", "images")):
        ours += [f"--{option}", str(folder / value)]
    theirs = [sys.executable, "-m", "tests.benchmarks.converter", str(folder)]
    ratios = []
    for turn in range(4):
        mine = child_seconds([*ours, "--out", str(tmp_path / f"ours{turn}")])
        other = child_seconds([*theirs, str(tmp_path / f"theirs{turn}")])
        if turn:  # the first one warms files and bytecode
            ratios.append(other / mine)
            print(
                f"\n300 images, whole process: {mine:.2f} CPU seconds, "
                f"baseline {other:.2f}: {ratios[-1]:.1f} times"
            )
    _same_pixels(tmp_path / "ours0" / "all", tmp_path / "theirs0")
    assert min(ratios) >= 7, "beside other work it was 6.3 times; on a quiet machine 7.1 is the worst of six"


def child_seconds(command: list[str]) -> float:
    """CPU seconds, user and system, of a process, as a shell starts it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _same_pixels(ours: Path, theirs: Path) -> None:
    """The baseline does the same work: the same segments, pixel by pixel."""
    for name in ("000001.png", "000150.png"):
        with Image.open(ours / "panoptic" / name) as a, Image.open(theirs / "panoptic" / name) as b:
            mine, other = rgb2id(np.array(a)), rgb2id(np.array(b))
        pairs = np.unique(np.stack([mine.ravel(), other.ravel()]), axis=1)
        things = len(np.unique(mine))
        assert pairs.shape[1] == things == len(np.unique(other))


def test_two_workers_are_nearly_twice_as_fast(tmp_path: Path) -> None:
    if cpu_count() < 2:
        pytest.skip("needs two cores")
    folder = write_input(tmp_path / "input", 2000)
    machine = _machine_scaling()
    ratios = []
    for _ in range(3):
        seconds = {}
        for workers in (1, 2):
            out = tmp_path / f"out{workers}"
            begin = time.perf_counter()
            build(folder, out, workers=workers, engine="pool")
            seconds[workers] = time.perf_counter() - begin
            shutil.rmtree(out)
        ratios.append(seconds[1] / seconds[2])
        print(
            f"\n2,000 images: {2000 / seconds[1]:.0f}/s with one worker, {2000 / seconds[2]:.0f}/s with two: "
            f"{ratios[-1]:.2f} times; two busy loops on this machine: {machine:.2f} times"
        )
        if max(ratios) >= 1.7:
            return
    if machine < 1.9:
        busy = f"the machine is busy: two busy loops gain {machine:.2f} times, builds {max(ratios):.2f}"
        pytest.skip(busy)
    pytest.fail(f"two workers gain {max(ratios):.2f} times only")


def _spin(_: int) -> float:
    begin = time.perf_counter()
    sum(number * number for number in range(6_000_000))
    return time.perf_counter() - begin


def _machine_scaling() -> float:
    """What two processes that share nothing gain over one, here and now."""
    alone = min(_spin(0) for _ in range(3))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_spin, [0, 0], chunksize=1)
        together = max(pool.map(_spin, [0, 0], chunksize=1))
    return 2 * alone / together


def test_a_large_photo_takes_a_tenth_of_the_baselines_time(tmp_path: Path) -> None:
    folder = write_input(tmp_path / "input", 2, width=4000, height=3000, objects=42)
    build(folder, tmp_path / "warm", workers=1)
    ours = min(cpu_seconds(partial(build, folder, tmp_path / f"ours{turn}", workers=1)) for turn in range(2))
    theirs = cpu_seconds(partial(convert, folder, tmp_path / "theirs"))
    print(
        f"\n12 megapixels, 42 regions: {ours / 2:.2f} CPU seconds a photo, baseline {theirs / 2:.2f}: "
        f"{theirs / ours:.1f} times"
    )
    assert theirs / ours >= 10


def test_memory_grows_by_the_rows_only(tmp_path: Path) -> None:
    """Peak resident memory of builds of 1,000 and 10,000 images, each in a process of its own."""
    if not Path("/proc/self/status").is_file():
        pytest.skip("peak memory is read from /proc")
    peaks = {}
    for images in (1_000, 10_000):
        folder = write_input(tmp_path / f"input{images}", images, width=64, height=48, objects=1)
        script = (
            "import pathlib, re, seem_data, sys\n"
            "folder, out = sys.argv[1:]\n"
            "colors, polys = folder + '/colors.json', folder + '/instances.json'\n"
            "seem_data.build(colors, polys, out, images=folder + '/images', workers=1)\n"
            # Not ru_maxrss: a process inherits the peak of the one that started it.
            "print(re.search(r'VmHWM:\\s+(\\d+)', pathlib.Path('/proc/self/status').read_text())[1])\n"
        )
        command = [sys.executable, "-c", script, str(folder), str(tmp_path / f"out{images}")]
        peaks[images] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) * 1024
        rows = sum(path.stat().st_size for path in (tmp_path / f"out{images}").glob("*/*.json"))
        print(
            f"\n{images:,} images: peak {peaks[images] / 2**20:.0f} MiB, rows on disk {rows / 2**20:.1f} MiB",
            end="",
        )
    growth = (peaks[10_000] - peaks[1_000]) / 9_000
    print(f"\n{growth / 1024:.1f} KiB an image; its rows are {rows / 10_000 / 1024:.1f} KiB on disk")
    assert growth < 3 * rows / 10_000
