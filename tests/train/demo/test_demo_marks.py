"""Slow: everything one can point with, by mouse and by finger, in a real browser."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pages
from pages import IN_BROWSER, areas, colors, drag, names, open_photo, outline, place, scene, square, then
from panopticapi.utils import rgb2id
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

pytestmark = IN_BROWSER


def _things(run: Path, number: int) -> list[tuple[float, float]]:
    """The middle (shares of the photo) of each ball and box of a validation scene that lies on it."""
    val = pages.val_of(run)
    panoptic = json.loads((val / "panoptic.json").read_text())
    image = next(row for row in panoptic["images"] if row["file_name"] == scene(run, number).name)
    row = next(row for row in panoptic["annotations"] if row["image_id"] == image["id"])
    ids = rgb2id(np.asarray(Image.open(val / "panoptic" / row["file_name"])))
    of = {category["id"]: category["name"] for category in panoptic["categories"]}
    middles = []
    for segment in row["segments_info"]:
        down, across = (int(at.mean()) for at in np.nonzero(ids == segment["id"]))
        large = of[segment["category_id"]] in ("ball", "box") and segment["area"] > 400
        if large and ids[down, across] == segment["id"]:
            middles.append(((across + 0.5) / ids.shape[1], (down + 0.5) / ids.shape[0]))
    return middles


def test_a_click_finds_a_mask_under_it_and_not_far_away(page: Page, run: Path) -> None:
    hits = clicks = 0
    for number in range(4):
        open_photo(page, scene(run, number))
        for x, y in _things(run, number):
            far = (0.06 if x > 0.5 else 0.94, 0.06 if y > 0.5 else 0.94)
            before = colors(page, (x, y), far)
            page.keyboard.press("Escape")
            then(page, lambda x=x, y=y: page.mouse.click(*place(page, x, y)))
            page.keyboard.press("Escape")  # without the mark of the click
            under, away = colors(page, (x, y), far)
            clicks += 1
            hits += under != before[0] and away == before[1]
            page.keyboard.press("a")
            then(page, lambda: page.keyboard.press("Delete"))
    assert clicks >= 4
    assert hits >= 0.7 * clicks


def test_the_right_button_says_what_it_is_not_and_a_click_beside_the_photo_is_done(
    page: Page, run: Path
) -> None:
    open_photo(page, scene(run))
    then(page, lambda: page.mouse.click(*place(page, 0.5, 0.1)))
    (id_,) = page.locator("#objects li").evaluate_all("all => all.map((one) => Number(one.dataset.object))")
    with page.expect_request("**/prompt*") as request:
        then(page, lambda: page.mouse.click(*place(page, 0.2, 0.1), button="right"))
    asked = request.value.post_data_json
    assert asked["object"] == id_ and [point["positive"] for point in asked["points"]] == [False]
    expect(page.locator("#objects li.selected")).to_have_count(1)
    page.mouse.click(*place(page, -0.01, 0.5))
    expect(page.locator("#objects li.selected")).to_have_count(0)
    expect(page.locator("#objects li")).to_have_count(1)


def test_a_box_and_a_scribble_each_find_an_object(page: Page, run: Path) -> None:
    open_photo(page, scene(run))
    objects = page.locator("#objects li")
    page.locator("[data-tool=box]").click()
    then(page, lambda: drag(page, (0.1, 0.05), (0.9, 0.4)))
    expect(objects).to_have_count(1)
    page.keyboard.press("Escape")
    page.locator("[data-tool=scribble]").click()
    then(page, lambda: drag(page, (0.2, 0.1), (0.4, 0.2), (0.6, 0.1)))
    expect(objects).to_have_count(2)
    # A further stroke goes on with the same object.
    then(page, lambda: drag(page, (0.7, 0.1), (0.8, 0.2)))
    expect(objects).to_have_count(2)


def test_a_box_without_a_size_says_how(page: Page, run: Path) -> None:
    open_photo(page, scene(run))
    page.keyboard.press("2")
    page.mouse.click(*place(page, 0.5, 0.5))
    expect(page.locator("#toast")).to_contain_text("corner to corner")
    expect(page.locator("#objects li")).to_have_count(0)


def test_words_find_what_they_mean_and_say_what_they_do_not(page: Page, run: Path) -> None:
    open_photo(page, scene(run))
    page.keyboard.press("/")
    page.keyboard.type("the wall")
    then(page, lambda: page.keyboard.press("Enter"))
    assert names(page) == ["wall"]
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    # As if it took a score of 1 to count as found: the page says so, and shows it if one wants to see it.

    def demanding(route: Route) -> None:
        asked = route.request.post_data_json
        route.continue_(post_data=json.dumps({"min_score": 1} | asked))

    page.route("**/prompt*", demanding)
    page.fill("#text", "the table")
    then(page, lambda: page.keyboard.press("Enter"))
    expect(page.locator("#toast")).to_contain_text(
        re.compile(r"Nothing found for «the table» \(best (0\.\d\d|1\.00)\)")
    )
    expect(page.locator("#text")).to_have_value("the table")
    then(page, lambda: page.locator("#toast button").click())
    assert len(names(page)) == 2
    page.keyboard.press("Escape")
    page.fill("#text", "the wall")
    for _ in range(2):
        then(page, lambda: page.keyboard.press("Enter"))
    assert len(names(page)) == 3, "asked twice it is shown, too"


def test_another_photo_shows_what_is_looked_for(page: Page, run: Path) -> None:
    open_photo(page, scene(run))
    page.keyboard.press("r")
    page.set_input_files("#reference-file", scene(run, 1))
    canvas = page.locator("#reference-canvas")
    expect(canvas).to_be_visible()
    expect(page.locator("#reference-find")).to_be_disabled()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    ring = [(0.1, 0.05), (0.9, 0.05), (0.9, 0.25), (0.1, 0.25)]
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ring]
    page.mouse.move(*at[0])
    page.mouse.down()
    for corner in at[1:]:
        page.mouse.move(*corner, steps=4)
    page.mouse.up()
    then(page, lambda: page.locator("#reference-find").click())
    expect(page.locator("#objects li")).to_have_count(1)


def test_an_outline_is_where_it_was_drawn_and_the_eraser_takes_of_it(page: Page, run: Path) -> None:
    open_photo(page, scene(run))
    inside, outside = (0.3, 0.35), (0.7, 0.3)
    before = colors(page, inside, outside)
    outline(page, (0.2, 0.2), (0.4, 0.2), (0.4, 0.5), (0.2, 0.5))
    page.keyboard.press("Escape")
    after = colors(page, inside, outside)
    assert after[0] != before[0] and after[1] == before[1]
    page.locator("#objects li").click(position={"x": 4, "y": 10})
    page.locator("[data-tool=erase]").click()
    area = areas(page)
    then(page, lambda: drag(page, (0.22, 0.35), (0.38, 0.35)))
    smaller = areas(page)
    assert smaller != area
    page.keyboard.press("Escape")
    assert colors(page, inside) == before[:1]
    # With Shift the same brush puts pixels back.
    page.locator("#objects li").click(position={"x": 4, "y": 10})
    page.keyboard.down("Shift")
    then(page, lambda: drag(page, (0.22, 0.35), (0.38, 0.35)))
    page.keyboard.up("Shift")
    assert areas(page) != smaller


def test_the_eraser_without_an_object_says_what_to_do(page: Page, run: Path) -> None:
    open_photo(page, scene(run))
    page.keyboard.press("5")
    drag(page, (0.2, 0.2), (0.4, 0.2))
    expect(page.locator("#toast")).to_contain_text("Choose the object first")


def test_the_wheel_zooms_at_the_pointer_and_space_moves(page: Page, run: Path) -> None:
    open_photo(page, scene(run))
    square(page, 0.4, 0.4)
    page.keyboard.press("Escape")
    zoom, spot = page.locator("#zoom-fit"), place(page, 0.5, 0.5)
    fitted = zoom.inner_text()
    page.mouse.move(*spot)
    page.mouse.wheel(0, -400)
    expect(zoom).not_to_have_text(fitted)
    page.keyboard.press("1")
    page.keyboard.down("Control")  # picks what is under the pointer, which is where it was
    page.mouse.click(*spot)
    page.keyboard.up("Control")
    expect(page.locator("#objects li.selected")).to_have_count(1)
    page.keyboard.down(" ")
    page.mouse.down()
    page.mouse.move(spot[0] + 400, spot[1] + 300, steps=5)
    page.mouse.up()
    page.keyboard.up(" ")
    page.keyboard.down("Control")
    page.mouse.click(*spot)
    page.keyboard.up("Control")
    expect(page.locator("#objects li.selected")).to_have_count(0)
    page.keyboard.press("0")
    expect(zoom).to_have_text(fitted)


def test_one_finger_points_and_two_zoom(browser: Browser, address: str, run: Path) -> None:
    phone = {"viewport": pages.NARROW, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}
    with pages.opened(browser, address, **phone) as page:
        open_photo(page, scene(run))
        then(page, lambda: page.touchscreen.tap(*place(page, 0.5, 0.1)))
        expect(page.locator("#objects li")).to_have_count(1)
        zoom, (x, y) = page.locator("#zoom-fit"), place(page, 0.5, 0.5)
        fitted = float(re.sub(r"\D", "", zoom.inner_text()))
        fingers = page.context.new_cdp_session(page)

        def touch(kind: str, apart: float) -> None:
            points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
            sent = {"type": kind, "touchPoints": [] if kind == "touchEnd" else points}
            fingers.send("Input.dispatchTouchEvent", sent)

        touch("touchStart", 20)
        for apart in range(25, 65, 5):
            touch("touchMove", apart)
        touch("touchEnd", 60)
        page.wait_for_timeout(200)
        assert float(re.sub(r"\D", "", zoom.inner_text())) > 2 * fitted
        expect(page.locator("#objects li")).to_have_count(1)
        # The next finger alone points again.
        page.locator("#zoom-fit").tap()
        then(page, lambda: page.touchscreen.tap(*place(page, 0.2, 0.1)))
        assert page.evaluate("scrollX + scrollY") == 0


def test_a_photo_can_be_dropped_and_pasted(page: Page, run: Path) -> None:
    encoded = base64.b64encode(scene(run).read_bytes()).decode()
    send = """([encoded, kind]) => {
        const bytes = Uint8Array.from(atob(encoded), (one) => one.charCodeAt(0));
        const files = new DataTransfer();
        files.items.add(new File([bytes], "dropped.jpg", { type: "image/jpeg" }));
        const how = { bubbles: true, cancelable: true };
        const event = kind === "drop" ? new DragEvent("drop", { ...how, dataTransfer: files })
            : new ClipboardEvent("paste", { ...how, clipboardData: files });
        document.getElementById("stage").dispatchEvent(event);
    }"""
    sessions = set()
    for kind in ("drop", "paste"):
        page.evaluate("document.getElementById('timing').removeAttribute('data-embed')")
        page.evaluate(send, [encoded, kind])
        pages.looked_at(page)
        sessions.add(page.evaluate("sessionStorage.getItem('seem-session')"))
    assert len(sessions) == 2


def test_what_is_no_photo_is_told_and_the_last_one_stays(browser: Browser, address: str, run: Path) -> None:
    with pages.opened(browser, address, quiet=False) as page:
        open_photo(page, scene(run))
        square(page, 0.4, 0.4)
        page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"no photo"})
        expect(page.locator("#toast")).to_contain_text("is no image that can be read")
        expect(page.locator("#objects li")).to_have_count(1)
        square(page, 0.1, 0.1)
        expect(page.locator("#objects li")).to_have_count(2)


def test_a_turned_photo_is_shown_upright(page: Page, run: Path, tmp_path: Path) -> None:
    upright, turned, exif = Image.open(scene(run)), tmp_path / "turned.jpg", Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(turned, quality=95, exif=exif)
    open_photo(page, turned)
    pixels = np.asarray(upright.convert("RGB")).astype(int)
    for x, y in [(0.1, 0.1), (0.9, 0.9)]:
        (shown,) = colors(page, (x, y))
        expected = pixels[int(y * upright.height), int(x * upright.width)]
        assert abs(np.array(shown) - expected).max() < 40
    square(page, 0.05, 0.05)
    session = page.evaluate("sessionStorage.getItem('seem-session')")
    (row,) = page.request.get(f"{page.url}api/sessions/{session}/objects").json()["objects"]
    left, top, *_ = row["box"]
    assert abs(left - 0.05 * upright.width) < 3 and abs(top - 0.05 * upright.height) < 3
