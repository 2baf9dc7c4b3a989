"""A run that has learned a little, its demo, and a browser: made once for all tests of the page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pages
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

QUIET = "--headless --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make train` left, here or where $SEEM_DEMO_RUN says; else a run of fewer steps, as many as it
    takes to answer a click at all."""
    there = Path(os.environ.get("SEEM_DEMO_RUN") or pages.ROOT / "runs" / "tabletop").resolve()
    if (there / "best").is_dir():
        return there
    root, recipe = tmp_path_factory.mktemp("circle"), pages.TABLETOP
    colors, dataset = recipe / "categories.json", root / "dataset"
    pages.do(recipe / "make.py", root / "scenes", "--images", 60)
    pages.do("-m", "seem_data", "build", "--colors", colors, "--polys", root / "scenes", "--out", dataset)
    quick = "--set", "run.devices=1", "--set", "run.eval_every=9", "--no-zero-shot", "--steps", 200
    train = "-m", "seem_train", "run", dataset, "--config", recipe / "train.yaml", "--out", root / "run"
    pages.do(*train, *quick)
    return root / "run"


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "kept"


@pytest.fixture(scope="session")
def address(run: Path, kept: Path) -> Iterator[str]:
    photos = pages.val_of(run) / "images"
    with pages.served(run, "--keep", kept, "--images", photos, "--compare", "base") as address:
        yield address


@pytest.fixture(scope="module")  # its event loop must be gone where other tests run theirs
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=pages.CHROMIUM, args=QUIET.split())
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """On a wide screen; the browser has nothing to say about it in the end."""
    with pages.opened(browser, address) as page:
        yield page
