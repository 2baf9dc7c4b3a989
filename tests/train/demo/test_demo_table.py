"""Slow: what can be done with objects that are there, in a real browser; and what is taken away from it."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path

import pages
from pages import IN_BROWSER, alike, areas, colors, cut, drag, names, open_photo, place, scene, square, then
from PIL import Image
from playwright.sync_api import Browser, Page, expect

pytestmark = IN_BROWSER
LEFT, RIGHT, NOWHERE = (0.2, 0.3), (0.7, 0.3), (0.5, 0.8)  #: in each of two squares, and in none


def _two_squares(page: Page, run: Path) -> list[tuple[int, ...]]:
    """What the photo looked like there before."""
    open_photo(page, scene(run))
    before = colors(page, LEFT, RIGHT, NOWHERE)
    square(page, 0.1, 0.2)
    square(page, 0.6, 0.2)
    page.keyboard.press("Escape")
    page.keyboard.press("6")
    expect(page.locator("#objects li")).to_have_count(2)
    return before


def test_masks_are_as_opaque_as_wanted_and_can_be_hidden(page: Page, run: Path) -> None:
    before = _two_squares(page, run)
    page.locator("#opacity").fill("0")
    assert colors(page, LEFT, RIGHT) == before[:2]
    page.locator("#opacity").fill("100")
    shown = colors(page, LEFT, RIGHT)
    swatches = page.locator("#objects .swatch").evaluate_all(
        "all => all.map((one) => getComputedStyle(one).backgroundColor)"
    )
    said = [tuple(map(int, re.findall(r"\d+", swatch))) for swatch in swatches]
    assert shown == said[::-1], "the topmost, which was drawn last, is first in the list"
    page.locator("#objects [data-do=hide]").first.click()
    assert colors(page, LEFT, RIGHT) == [shown[0], before[1]]
    page.locator("#objects [data-do=hide]").first.click()
    page.keyboard.press("Escape")
    page.keyboard.press("]")
    page.keyboard.press("h")
    page.keyboard.press("Escape")
    assert colors(page, LEFT, RIGHT) == [shown[0], before[1]]


def test_what_the_mouse_is_on_lights_up_in_both_places(page: Page, run: Path) -> None:
    _two_squares(page, run)
    page.mouse.move(*place(page, *LEFT))
    expect(page.locator("#objects li").last).to_have_class(re.compile("hover"))
    dull = colors(page, RIGHT)
    page.locator("#objects li").first.hover()
    page.wait_for_timeout(150)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    assert [shot.getpixel(tuple(map(int, place(page, *RIGHT))))] != dull  # type: ignore[arg-type]


def test_objects_are_named_merged_and_deleted_and_each_step_can_be_undone(page: Page, run: Path) -> None:
    before = _two_squares(page, run)
    objects = page.locator("#objects li")
    name = objects.first.locator(".name")
    name.click()
    name.fill("my mug")
    then(page, lambda: name.press("Enter"))
    assert names(page)[0] == "my mug"
    objects.last.click(position={"x": 4, "y": 10})
    objects.first.click(position={"x": 4, "y": 10}, modifiers=["Shift"])
    then(page, lambda: page.locator("#merge").click())
    expect(objects).to_have_count(1)
    (together,) = areas(page)
    assert float(together.split()[-2]) > 1.9 * 4, "percent of the photo"
    then(page, lambda: objects.locator("[data-do=delete]").click())
    expect(objects).to_have_count(0)
    assert colors(page, LEFT, RIGHT) == before[:2]
    for count in (1, 2):
        then(page, lambda: page.locator("#undo").click())
        expect(objects).to_have_count(count)
    then(page, lambda: page.keyboard.press("Control+z"))
    assert names(page)[0] != "my mug"
    for _ in range(3):
        then(page, lambda: page.locator("#redo").click())
    expect(objects).to_have_count(0)
    expect(page.locator("#redo")).to_be_disabled()
    then(page, lambda: page.keyboard.press("Control+z"))
    then(page, lambda: page.locator("#clear").click())
    expect(objects).to_have_count(0)
    then(page, lambda: page.keyboard.press("Control+z"))
    expect(objects).to_have_count(1)


def test_base_and_tuned_lie_side_by_side_and_the_line_moves(page: Page, run: Path) -> None:
    open_photo(page, scene(run))
    then(page, lambda: page.locator("#everything").click())
    left, right = (0.03, 0.1, 0.47, 0.97), (0.53, 0.1, 0.97, 0.97)
    tuned = [cut(page, *part) for part in (left, right)]
    with page.expect_response("**/compare*"):
        page.locator("#compare").click()
    line = page.locator("#split")
    expect(line).to_be_visible()
    expect(page.locator("#side-base")).to_have_text("base")
    compared = [cut(page, *part) for part in (left, right)]
    assert not alike(compared[0], tuned[0]), "what it started from does not say all that the tuned one says"
    assert alike(compared[1], tuned[1])
    box = line.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 14, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(*place(page, 0.05, 0.1), steps=8)
    page.mouse.up()
    assert alike(cut(page, *right), tuned[1])
    moved = cut(page, 0.12, *left[1:])
    assert alike(moved, tuned[0][:, -moved.shape[1] :])
    place_of = int(line.get_attribute("aria-valuenow") or 0)
    line.focus()
    page.keyboard.press("ArrowRight")
    assert int(line.get_attribute("aria-valuenow") or 0) == place_of + 2
    page.keyboard.press("v")
    expect(line).to_be_hidden()


def test_the_table_is_saved_in_every_form(page: Page, run: Path) -> None:
    _two_squares(page, run)
    got: dict[str, bytes] = {}
    for form in ("overlay", "panoptic", "coco", "labelme"):
        page.locator("#save-menu summary").click()
        with page.expect_download() as download:
            page.locator(f"[data-save={form}]").click()
        assert download.value.suggested_filename.startswith(scene(run).stem)
        got[form] = Path(download.value.path()).read_bytes()
    assert Image.open(io.BytesIO(got["overlay"])).size == Image.open(scene(run)).size
    assert "panoptic.json" in zipfile.ZipFile(io.BytesIO(got["panoptic"])).namelist()
    assert len(json.loads(got["coco"])["annotations"]) == len(json.loads(got["labelme"])["shapes"]) == 2


def test_categories_that_are_typed_are_what_everything_is_looked_for_in(page: Page, run: Path) -> None:
    open_photo(page, scene(run))
    page.locator("#which").click()
    page.fill("#category-names", "wall, table")
    then(page, lambda: page.locator("#everything").click())
    assert set(names(page)) <= {"wall", "table"} and names(page)


def test_a_token_is_asked_for_and_may_stand_in_the_address(browser: Browser, run: Path, kept: Path) -> None:
    options = ("--host", "127.0.0.2", "--keep", kept)
    with pages.served(run, *options, token="open sesame") as address:
        bare = address.partition("#")[0]
        assert address == f"{bare}#token=open sesame" or "#token=" in address
        with pages.opened(browser, bare, quiet=False) as page:
            expect(page.locator("#token-dialog")).to_be_visible()
            page.fill("#token", "wrong")
            page.keyboard.press("Enter")
            expect(page.locator("#token-dialog")).to_be_visible()
            page.fill("#token", "open sesame")
            page.keyboard.press("Enter")
            expect(page.locator("#model")).to_have_text(run.name)
            open_photo(page, scene(run))
            square(page, 0.1, 0.2)
        with pages.opened(browser, f"{bare}#token=open%20sesame") as page:
            expect(page.locator("#model")).to_have_text(run.name)
            assert page.url == bare, "nobody who looks at the screen reads it"
            open_photo(page, scene(run))
            page.keyboard.press("2")
            drag(page, (0.1, 0.05), (0.9, 0.4))
