"""Slow: the page in a real browser, by mouse and by keyboard; and the circle from a run back to a run."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: make chromium"),
]
ROOT = Path(__file__).resolve().parents[3]
TABLETOP = ROOT / "examples" / "tabletop"
QUIET = (
    "--disable-gpu --disable-background-networking --no-first-run --disable-component-update --disable-sync"
)


def _do(*command: object) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *(str(part) for part in command)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as `make train` leaves it, of fewer steps: as many as it takes to answer a click at all.

    One that is there already, beside its dataset/, may be named by $SEEM_DEMO_RUN.
    """
    if there := os.environ.get("SEEM_DEMO_RUN"):
        return Path(there)
    root = tmp_path_factory.mktemp("circle")
    colors, dataset = TABLETOP / "categories.json", root / "dataset"
    _do(TABLETOP / "make.py", root / "scenes", "--images", 60)
    _do("-m", "seem_data", "build", "--colors", colors, "--polys", root / "scenes", "--out", dataset)
    quick = "--set", "run.devices=1", "--set", "run.eval_every=9", "--no-zero-shot", "--steps", 200
    _do(
        "-m", "seem_train", "run", dataset, "--config", TABLETOP / "train.yaml", "--out", root / "run", *quick
    )
    return root / "run"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "kept"


@pytest.fixture(scope="module")
def address(run: Path, kept: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "seem_train", "demo", str(run), "--port", "0", "--keep", str(kept)]
    command += ["--images", str(run.parent / "dataset/val/images"), "--compare", str(run)]
    server = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert server.stderr is not None
    told = ""
    while "http" not in told:
        told = server.stderr.readline()
        assert told, "the demo ended"
    yield re.search(r"http://\S+", told)[0]  # type: ignore[index]
    server.terminate()
    assert server.wait(20) in (0, -15)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--headless", "--no-sandbox", *QUIET.split()]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from _page(browser, address, viewport={"width": 1440, "height": 900})


def _page(browser: Browser, address: str, **how: Any) -> Iterator[Page]:
    context = browser.new_context(**how)
    page = context.new_page()
    said: list[str] = []
    page.on(
        "console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    assert not said, "nothing is wrong by the browser's own account"
    context.close()


def _scene(run: Path) -> Path:
    return sorted((run.parent / "dataset/val/images").iterdir())[0]


def _open(page: Page, photo: Path | dict[str, Any]) -> None:
    page.set_input_files("#file", photo)  # type: ignore[arg-type]
    expect(page.locator("#timing")).to_have_attribute("data-embed", re.compile(r"\d"), timeout=60_000)
    expect(page.locator("#looking")).to_be_hidden()


def _answers(page: Page) -> int:
    return int(page.locator("#timing").get_attribute("data-count") or 0)


def _then(page: Page, act: Any) -> None:
    """Do it, and wait for what it brings onto the screen."""
    before = _answers(page)
    act()
    expect(page.locator("#timing")).to_have_attribute("data-count", str(before + 1), timeout=30_000)


def _place(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a point of the photo (shares of its size) is on the screen; the photo is fitted into the room."""
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    small = box["width"] < 760
    left, top, right, bottom = (8, 66, 8, 48) if small else (92, 16, 16, 16)
    width, height = box["width"] - left - right, box["height"] - top - bottom
    shown = min(width, height * 4 / 3)
    return (
        box["x"] + left + (width - shown) / 2 + x * shown,
        box["y"] + top + (height - shown * 3 / 4) / 2 + y * shown * 3 / 4,
    )


def _mask_colors(page: Page, at: list[tuple[float, float]]) -> list[tuple[int, ...]]:
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    ratio = shot.shape[1] / page.viewport_size["width"]  # type: ignore[index]
    return [tuple(int(v) for v in shot[int(y * ratio), int(x * ratio)]) for x, y in at]


def test_a_scene_is_corrected_kept_built_and_trained_on(page: Page, run: Path, kept: Path) -> None:
    _open(page, _scene(run))
    objects = page.locator("#objects li")
    # A polygon drawn by hand lies where it was drawn, and nowhere else.
    page.keyboard.press("4")
    corners = [(0.2, 0.2), (0.4, 0.2), (0.4, 0.5), (0.2, 0.5)]
    inside, outside = _place(page, 0.3, 0.3), _place(page, 0.7, 0.3)
    before = _mask_colors(page, [inside, outside])
    for corner in corners:
        page.mouse.click(*_place(page, *corner))
    _then(page, lambda: page.mouse.click(*_place(page, *corners[0])))
    expect(objects).to_have_count(1)
    page.mouse.move(5, 5)
    page.wait_for_timeout(200)
    after = _mask_colors(page, [inside, outside])
    assert after[0] != before[0] and after[1] == before[1]
    # The eraser takes pixels away, undo brings them back.
    area = objects.first.locator(".figures").inner_text()
    page.keyboard.press("5")
    page.mouse.move(*_place(page, 0.25, 0.3))
    page.mouse.down()
    page.mouse.move(*_place(page, 0.35, 0.3), steps=5)
    _then(page, page.mouse.up)
    assert objects.first.locator(".figures").inner_text() != area
    _then(page, lambda: page.keyboard.press("Control+z"))
    assert objects.first.locator(".figures").inner_text() == area
    # A click, a word, everything; a name.
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    _then(page, lambda: page.mouse.click(*_place(page, 0.6, 0.7)))
    expect(objects).to_have_count(2)
    page.fill("#text", "the wall")
    page.keyboard.press("Escape")
    _then(page, lambda: page.locator("#ask button").click())
    page.keyboard.press("F2")
    page.keyboard.type("zebra")
    _then(page, lambda: page.keyboard.press("Enter"))
    assert "zebra" in [box.input_value() for box in page.locator("#objects .name").all()]
    # Base and tuned beside one another, then kept.
    page.locator("#compare").click()
    expect(page.locator("#split")).to_be_visible()
    page.locator("#compare").click()
    page.keyboard.press("Control+s")
    expect(page.locator("#toast")).to_contain_text("Kept", timeout=15_000)
    assert json.loads((kept / f"{_scene(run).stem}.json").read_text())["shapes"]
    count = objects.count()
    page.reload()
    expect(objects).to_have_count(count, timeout=30_000)
    # The next photo of the folder, all that is in it.
    page.keyboard.press("n")
    expect(objects).to_have_count(0, timeout=60_000)
    expect(page.locator("#looking")).to_be_hidden(timeout=60_000)
    _then(page, lambda: page.keyboard.press("e"))
    page.keyboard.press("Control+s")
    expect(page.locator("#toast")).to_contain_text("Kept", timeout=15_000)
    # And round: the kept folder is built, and the run goes on from there.
    dataset, further = kept.parent / "dataset-kept", kept.parent / "further"
    _do("-m", "seem_data", "build", "--polys", kept, "--colors", kept / "categories.json", "--out", dataset,
        "--split", "train=0.5,val=0.5")  # fmt: skip
    assert "zebra" in (dataset / "categories.json").read_text()
    quick = (
        "--set",
        "run.eval_every=0",
        "--no-zero-shot",
        "--steps",
        2,
        "--strategy",
        "head-adapter",
        "--size",
        64,
    )
    _do("-m", "seem_train", "run", dataset, "--weights", run, "--out", further, "--device", "cpu", *quick)
    assert list(further.iterdir())


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.keyboard.press("n")
    expect(page.locator("#timing")).to_have_attribute("data-embed", re.compile(r"\d"), timeout=60_000)
    objects = page.locator("#objects li")
    page.keyboard.press("Enter")  # the cursor, in the middle
    page.keyboard.press("Shift+ArrowDown")
    _then(page, lambda: page.keyboard.press("Enter"))
    expect(objects).to_have_count(1)
    page.keyboard.press("x")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    _then(page, lambda: page.keyboard.press("Enter"))
    expect(objects).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    for key in ("Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    _then(page, lambda: page.keyboard.press("Enter"))
    expect(objects).to_have_count(2)
    page.keyboard.press("a")
    _then(page, lambda: page.keyboard.press("m"))
    expect(objects).to_have_count(1)
    _then(page, lambda: page.keyboard.press("Delete"))
    expect(objects).to_have_count(0)
    page.keyboard.press("?")
    expect(page.locator("#help-dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help-dialog")).to_be_hidden()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_at_any_size(
    browser: Browser, address: str, run: Path, width: int, scheme: str
) -> None:
    how = {"viewport": {"width": width, "height": 844}, "color_scheme": scheme, "device_scale_factor": 2}
    for page in _page(browser, address, **how):
        _open(page, _scene(run))
        _then(page, lambda page=page: page.mouse.click(*_place(page, 0.5, 0.5)))
        assert page.locator("body").evaluate("body => body.scrollWidth <= innerWidth")
        for button in page.locator("header button:visible, header summary:visible, .tools button").all():
            box = button.bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
        ground = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 384) == (scheme == "light")


def test_a_turned_photo_is_shown_upright(page: Page, run: Path) -> None:
    scene, encoded = Image.open(_scene(run)), io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    scene.transpose(Image.Transpose.ROTATE_90).save(encoded, "JPEG", quality=95, exif=exif)
    _open(page, {"name": "turned.jpg", "mimeType": "image/jpeg", "buffer": encoded.getvalue()})
    pixels = np.asarray(scene.convert("RGB")).astype(int)
    for x, y in [(0.1, 0.1), (0.9, 0.9)]:
        (shown,) = _mask_colors(page, [_place(page, x, y)])
        expected = pixels[int(y * scene.height), int(x * scene.width)]
        assert abs(np.array(shown) - expected).max() < 40
