"""Files that libraries write are readable by whom the umask allows; pictures keep their colours."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from seem_data.common import files
from seem_train.errors import UserError
from seem_train.files import write_image
from seem_train.weights.tensor_files import write_tensors


def test_every_file_is_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_text(tmp_path / "a.txt", "x")
        files.write_json(tmp_path / "a.json", {"x": Path("y")})
        write_image(tmp_path / "a.png", np.zeros((2, 2), np.uint16))
        write_tensors(tmp_path / "a.safetensors", {"x": torch.zeros(2)})
        write_tensors(tmp_path / "a.pt", {"x": torch.zeros(2)})
    finally:
        os.umask(before)
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {"0o640"} and len(modes) == 5, modes


def test_pictures_keep_their_colours_and_another_ending_is_refused(tmp_path: Path) -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    write_image(tmp_path / "deep" / "red.png", red)
    assert Image.open(tmp_path / "deep" / "red.png").getpixel((0, 0)) == (255, 0, 0)
    with pytest.raises(UserError, match=r"no picture's name ends in '\.doc'"):
        write_image(tmp_path / "red.doc", red)
    with pytest.raises(UserError, match="cannot be written"):
        write_image(tmp_path / "deep" / "red.png" / "below.png", red)
