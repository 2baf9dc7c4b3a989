"""Pictures and folders for people, whose places a user named; a file that lies in two places.

How a file is written is `seem_data.common.files`' affair.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from seem_data.common.files import atomic_path, write_bytes
from seem_train.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def write_image(path: Path, pixels: np.ndarray) -> None:
    """Pixels [H, W] (8 or 16 bits) or [H, W, 3] RGB uint8, in the format that the name ends with.

    Raises:
        UserError: no picture ends like that, or the place cannot be written to.
    """
    import cv2  # late: the command line's help does without it

    blue_green_red = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    try:
        known, coded = cv2.imencode(path.suffix or path.name, blue_green_red)
    except cv2.error:
        known, coded = False, b""
    if not known:
        raise UserError(f"{path}: no picture's name ends in {path.suffix!r}; use .png or .jpg")
    try:
        write_bytes(path, bytes(coded))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); name another place") from None


def make_folder(folder: Path) -> None:
    """Raises UserError: it cannot be made, e.g. since a file is in its way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); name another folder") from None


def share(source: Path, target: Path) -> None:
    """The same file in two places, at the price of one where the file system allows."""
    try:
        os.link(source, target)
    except OSError:
        with atomic_path(target) as new:
            shutil.copyfile(source, new)
