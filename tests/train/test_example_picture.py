"""The picture of the README can be drawn again."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import pytest

from examples import picture
from examples.tabletop import make


def test_the_picture_has_a_panel_for_polygons_and_each_kind_of_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["make.py", str(tmp_path / "scenes"), "--images", "1"])
    make.main()
    monkeypatch.setattr(
        sys, "argv", ["picture.py", "seem-tiny", str(tmp_path / "scenes"), "0", str(tmp_path / "drawn.png")]
    )
    picture.main()
    drawn = cv2.imread(str(tmp_path / "drawn.png"))
    assert drawn is not None and drawn.shape[1] > 4 * drawn.shape[0] > 4 * picture.HEIGHT
