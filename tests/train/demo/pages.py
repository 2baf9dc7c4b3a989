"""The demo's page in a real browser: where things are on it, and what it takes to wait for them."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
IN_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: make chromium"),
]
ROOT = Path(__file__).resolve().parents[3]
TABLETOP = ROOT / "examples" / "tabletop"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
PATIENCE = 60_000  #: milliseconds for what takes moments on a machine that has nothing else to do
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def do(*command: object) -> str:
    words = [sys.executable, *(str(part) for part in command)]
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def served(run: Path, *options: object, token: str | None = None) -> Iterator[str]:
    """`seem-train demo RUN` on a free port, and the address that it tells."""
    command = [sys.executable, "-m", "seem_train", "demo", run, "--port", 0, *options]
    environment = ENVIRONMENT | ({"SEEM_DEMO_TOKEN": token} if token else {})
    server = subprocess.Popen(
        [str(part) for part in command], stderr=subprocess.PIPE, text=True, env=environment
    )
    assert server.stderr is not None
    told = said = ""
    while "http" not in said:
        said = server.stderr.readline()
        told += said
        assert said, f"the demo ended: {told}"
    try:
        yield re.search(r"http://\S+", said)[0]  # type: ignore[index]
    finally:
        server.terminate()
        assert server.wait(20) in (0, -15)


@contextmanager
def opened(browser: Browser, address: str, quiet: bool = True, **how: Any) -> Iterator[Page]:
    """
    Args:
        quiet: the browser must have nothing to say about the page in the end.
        how: of playwright's contexts.
    """
    context = browser.new_context(**({"viewport": WIDE} | how))
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert not (quiet and said), said


def val_of(run: Path) -> Path:
    """A run's validation data: dataset/ lies beside the run, or beside runs/."""
    return next(split for above in run.parents if (split := above / "dataset" / "val").is_dir())


def scene(run: Path, number: int = 0) -> Path:
    """A photo of the run's validation data."""
    return sorted((val_of(run) / "images").iterdir())[number]


def open_photo(page: Page, photo: Path | dict[str, Any]) -> None:
    page.set_input_files("#file", photo)  # type: ignore[arg-type]
    looked_at(page)


def looked_at(page: Page) -> None:
    expect(page.locator("#timing")).to_have_attribute("data-embed", re.compile(r"\d"), timeout=PATIENCE)
    expect(page.locator("#looking")).to_be_hidden(timeout=PATIENCE)


def then(page: Page, act: Callable[[], object]) -> None:
    """Do it, and wait for what it brings onto the screen."""
    before = int(page.locator("#timing").get_attribute("data-count") or 0)
    act()
    expect(page.locator("#timing")).to_have_attribute("data-count", str(before + 1), timeout=PATIENCE)


def place(page: Page, x: float, y: float) -> tuple[float, float]:
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


def drag(page: Page, *points: tuple[float, float]) -> None:
    """Press at the first point of the photo (shares of its size), and let go at the last."""
    page.mouse.move(*place(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(page, *point), steps=6)
    page.mouse.up()


def colors(page: Page, *points: tuple[float, float]) -> list[tuple[int, ...]]:
    """Of the screen, at points of the photo (shares of its size), with the mouse out of the way."""
    shot, ratio = _screen(page)
    found = [place(page, *point) for point in points]
    return [tuple(int(v) for v in shot[int(y * ratio), int(x * ratio)]) for x, y in found]


def cut(page: Page, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """What the screen shows of a part of the photo (shares of its size), with the mouse out of the way."""
    shot, ratio = _screen(page)
    x0, y0, x1, y1 = (int(v * ratio) for p in ((left, top), (right, bottom)) for v in place(page, *p))
    return shot[y0:y1, x0:x1]


def alike(shown: np.ndarray, other: np.ndarray) -> bool:
    """But for the smoothing of some edges."""
    return bool((np.abs(shown.astype(int) - other) > 8).any(-1).mean() < 0.002)


def _screen(page: Page) -> tuple[np.ndarray, float]:
    """Its pixels [H, W, 3], and how many of them there are to one of the page's."""
    page.mouse.move(1, 1)
    page.wait_for_timeout(150)
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    assert page.viewport_size is not None
    return shot, shot.shape[1] / page.viewport_size["width"]


def outline(page: Page, *corners: tuple[float, float]) -> None:
    """Draw an object by hand."""
    page.keyboard.press("Escape")
    page.keyboard.press("4")
    for corner in corners:
        page.mouse.click(*place(page, *corner))
    then(page, lambda: page.mouse.click(*place(page, *corners[0])))


def square(page: Page, left: float, top: float, side: float = 0.2) -> None:
    right, bottom = left + side, top + side
    outline(page, (left, top), (right, top), (right, bottom), (left, bottom))


def areas(page: Page) -> list[str]:
    """Score and area of each object, the topmost first."""
    return page.locator("#objects .figures").all_inner_texts()


def names(page: Page) -> list[str]:
    return [box.input_value() for box in page.locator("#objects .name").all()]
