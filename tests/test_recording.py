"""A refactoring changes no byte: what is built today is what was built when it was recorded."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.recording import Recorder, differences

RECORDED = Path(__file__).parent / "recorded" / "datasets.json"
#: They draw the scenes and encode photos and PNGs: another version may write the same pixels otherwise.
LIBRARIES = ("numpy", "pillow", "opencv-python-headless", "opencv-python", "isal", "scikit-image")


def versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name.removesuffix("-headless")] = version(name)
        except ModuleNotFoundError:
            continue
    return found


@pytest.mark.slow
def test_a_refactoring_changes_no_byte_of_a_dataset(tmp_path: Path) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    if recorded["versions"] != versions():
        pytest.skip(f"recorded with {recorded['versions']}, here is {versions()}: bytes need not be equal")
    built = dict(Recorder(Path(__file__).parents[1], tmp_path).datasets())
    shared = {name: files for name, files in recorded["datasets"].items() if name in built}
    assert {"tabletop", "photos"} <= set(shared)
    assert list(differences(shared, built)) == []


def test_differences_are_told_by_their_place() -> None:
    before = {"a": {"b": [1.0, 2.0]}, "gone": 1, "same": "x"}
    after = {"a": {"b": [1.0, 2.1]}, "new": 1, "same": "x"}
    assert list(differences(before, after)) == ["a / b / 1: 2.0 became 2.1", "gone: gone", "new: new"]


def test_numbers_may_differ_in_their_last_digits() -> None:
    assert not list(differences({"loss": 90.547805}, {"loss": 90.547806}))
    assert list(differences({"loss": 90.5478}, {"loss": 90.5578}))
