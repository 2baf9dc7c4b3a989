"""The second picture of the README: the demo's page; left of the line what the model said before training.

    python examples/page.py RUN PHOTO PICTURE.png --text "the green bottle"

RUN is what `make train` left; the README's PHOTO is scene_1500 of dataset/val. Needs a Chromium (`make
chromium`) and playwright.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, expect, sync_playwright

SIZE: ViewportSize = {"width": 1180, "height": 720}
LINE = 220  #: pixels from the left, between base and tuned
PATIENCE = 60_000  #: milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description="Take the picture of the demo's page.")
    parser.add_argument("run", type=Path)
    parser.add_argument("photo", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--text", default="the ball", help="what to find by words")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "seem_train", "demo", str(given.run), "--port", "0"]
        command += ["--compare", "base", "--keep", str(Path(scratch) / "kept")]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            shot = take(address_of(server), given.photo, given.text)
        finally:
            server.terminate()
            server.wait()
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    few = picture.quantize(256, dither=Image.Dither.NONE)  # enough for a page, and a third of the bytes
    few.save(given.picture, optimize=True)
    print(f"Wrote {given.picture}, {few.width} × {few.height} pixels")


def address_of(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"http://\S+", line):
            return found[0]
    raise SystemExit("the demo did not start")


def take(address: str, photo: Path, text: str) -> bytes:
    """A PNG of the page with everything found, something found by words, and the base beside it."""
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport=SIZE)
        page.goto(address)
        page.set_input_files("#file", photo)
        expect(page.locator("#timing")).to_have_attribute("data-embed", re.compile("."), timeout=PATIENCE)
        after(page, lambda: page.keyboard.press("e"))
        page.fill("#text", text)
        after(page, lambda: page.keyboard.press("Enter"))
        with page.expect_response("**/compare*", timeout=PATIENCE):
            page.locator("#compare").click()
        line = page.locator("#split").bounding_box()
        assert line is not None
        page.mouse.move(line["x"] + 14, 120)
        page.mouse.down()
        page.mouse.move(LINE, 120)
        page.mouse.up()
        page.mouse.move(1, 1)
        page.wait_for_timeout(500)
        return page.screenshot()


def after(page: Page, act: Callable[[], None]) -> None:
    """Do it, and wait for the answer on the screen."""
    timing = page.locator("#timing")
    count = int(timing.get_attribute("data-count") or 0)
    act()
    expect(timing).to_have_attribute("data-count", str(count + 1), timeout=PATIENCE)


if __name__ == "__main__":
    main()
