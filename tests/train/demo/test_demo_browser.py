"""Slow: the circle from a run back to a run in a real browser; the keyboard alone; every size of screen."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pages
import pytest
from pages import IN_BROWSER, do, looked_at, names, open_photo, place, scene, square, then
from playwright.sync_api import Browser, Page, expect

pytestmark = IN_BROWSER


def test_a_scene_is_corrected_kept_built_and_trained_on(page: Page, run: Path, kept: Path) -> None:
    open_photo(page, scene(run))
    objects = page.locator("#objects li")
    square(page, 0.2, 0.2)
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    then(page, lambda: page.mouse.click(*place(page, 0.6, 0.1)))
    page.keyboard.press("Escape")
    page.fill("#text", "the wall")
    then(page, lambda: page.locator("#ask button").click())
    page.keyboard.press("F2")
    page.keyboard.type("zebra")
    then(page, lambda: page.keyboard.press("Enter"))
    assert "zebra" in names(page)
    count = objects.count()
    page.keyboard.press("Control+s")
    expect(page.locator("#toast")).to_contain_text("Kept", timeout=15_000)
    assert len(json.loads((kept / f"{scene(run).stem}.json").read_text())["shapes"]) >= count
    # What lies on the table is there after a reload, too.
    page.reload()
    expect(objects).to_have_count(count, timeout=30_000)
    # The next photo of the folder, all that is in it.
    page.evaluate("document.getElementById('timing').removeAttribute('data-embed')")
    page.keyboard.press("n")
    looked_at(page)
    expect(objects).to_have_count(0)
    then(page, lambda: page.keyboard.press("e"))
    page.keyboard.press("Control+s")
    expect(page.locator("#toast")).to_contain_text("Kept", timeout=15_000)
    # And round: the kept folder is built, and the run goes on from there.
    dataset, further = kept.parent / "dataset-kept", kept.parent / "further"
    colors = kept / "categories.json"
    do("-m", "seem_data", "build", "--polys", kept, "--colors", colors, "--out", dataset,
       "--split", "train=0.5,val=0.5")  # fmt: skip
    assert "zebra" in (dataset / "categories.json").read_text()
    few = "--set", "run.eval_every=0", "--no-zero-shot", "--steps", 2, "--size", 64
    do("-m", "seem_train", "run", dataset, "--weights", run, "--out", further, "--device", "cpu",
       "--strategy", "head-adapter", *few)  # fmt: skip
    card = json.loads((further / "best" / "adapter.json").read_text())
    assert "zebra" in [category["name"] for category in card["categories"]]
    do("-m", "seem_train", "predict", further, scene(run), "--text", "zebra", "--min-score", 0,
       "--out", kept.parent / "out")  # fmt: skip


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    expect(page.locator("#next")).to_be_visible()  # the page knows of the folder
    page.keyboard.press("n")
    looked_at(page)
    objects = page.locator("#objects li")
    page.keyboard.press("Enter")  # the cursor, in the middle
    page.keyboard.press("Shift+ArrowDown")
    then(page, lambda: page.keyboard.press("Enter"))
    expect(objects).to_have_count(1)
    page.keyboard.press("x")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    then(page, lambda: page.keyboard.press("Enter"))
    expect(objects).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    for key in ("Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    then(page, lambda: page.keyboard.press("Enter"))
    expect(objects).to_have_count(2)
    page.keyboard.press("Escape")
    page.keyboard.press("]")
    page.keyboard.press("}")
    expect(page.locator("#objects li.selected")).to_have_count(2)
    then(page, lambda: page.keyboard.press("m"))
    expect(objects).to_have_count(1)
    then(page, lambda: page.keyboard.press("Control+z"))
    then(page, lambda: page.keyboard.press("Control+Shift+z"))
    then(page, lambda: page.keyboard.press("Delete"))
    expect(objects).to_have_count(0)
    # An outline by hand: corner by corner, the last one twice.
    page.keyboard.press("4")
    for keys in (("Shift+ArrowUp",) * 3, ("Shift+ArrowRight",) * 3, ("Shift+ArrowDown",) * 3):
        page.keyboard.press("Enter")
        for key in keys:
            page.keyboard.press(key)
    page.keyboard.press("Enter")
    then(page, lambda: page.keyboard.press("Enter"))
    expect(objects).to_have_count(1)
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
    with pages.opened(browser, address, **how) as page:
        open_photo(page, scene(run))
        then(page, lambda: page.mouse.click(*place(page, 0.5, 0.1)))
        assert page.locator("body").evaluate("body => body.scrollWidth <= innerWidth")
        assert page.locator("#canvas").evaluate("canvas => canvas.width === 2 * canvas.clientWidth")
        for button in page.locator("header button:visible, header summary:visible, .tools button").all():
            box = button.bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= width
        ground = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) > 384) == (scheme == "light")
