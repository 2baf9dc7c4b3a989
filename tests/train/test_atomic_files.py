"""One way to write a file: whole or not at all, readable by whom the umask allows."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seem_train import files
from seem_train.errors import UserError
from seem_train.weights.tensor_files import write_tensors


def test_a_file_that_cannot_be_finished_is_as_it_was_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    files.write_text(file, "old")
    with pytest.raises(ValueError, match="halfway"), files.writing(file) as new:
        new.write_text("ne")
        raise ValueError("halfway")
    assert file.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_every_file_is_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "x")
        files.write_json(tmp_path / "a.json", {"x": Path("y")})
        files.write_image(tmp_path / "a.png", np.zeros((2, 2), np.uint16))
        write_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(2)})
        write_tensors(tmp_path / "a.pt", {"x": torch.zeros(2)})
    finally:
        os.umask(before)
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {"0o640"} and len(modes) == 5, modes


def test_pictures_keep_their_colours_and_another_ending_is_refused(tmp_path: Path) -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    files.write_image(tmp_path / "deep" / "red.png", red)
    assert Image.open(tmp_path / "deep" / "red.png").getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(UserError, match=r"no picture's name ends in '\.doc'"):
        files.write_image(tmp_path / "red.doc", red)
    with pytest.raises(UserError, match="cannot be written"):
        files.write_image(tmp_path / "deep" / "red.png" / "below.png", red)
