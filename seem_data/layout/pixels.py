"""The pixels of a dataset's PNGs, read. OpenCV is loaded on first use: the layout is light to import."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seem_data.files import read_regular
from seem_data.layout import png
from seem_data.limits import MOST_MEGAPIXELS, check_pixels
from seem_data.problems import DataError, fault

_RGB = 2  #: PNG's colour type
_COLOR_TYPES = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}


def read_id_map(path: Path, max_megapixels: float = MOST_MEGAPIXELS) -> NDArray[np.int32]:
    """A panoptic PNG as segment ids [H, W], 0 = void.

    Raises:
        DataError: the file is missing, is no PNG, is damaged, is too large, or is not 8-bit RGB.
    """
    import cv2

    try:
        data = read_regular(path)
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror}).") from None
    header = png.read_header(data)
    if header is None:
        raise _unusable(path, "is no PNG file.")
    width, height, depth, color = header
    check_pixels(width, height, max_megapixels, str(path))
    if (depth, color) != (8, _RGB):
        found = f"{depth}-bit {_COLOR_TYPES.get(color, 'unknown')}"
        raise _unusable(path, f"is a PNG of {found} pixels; segment ids are stored as 8-bit RGB.")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise _unusable(path, f"cannot be decoded ({error.err}).") from None
    if bgr is None:
        raise _unusable(path, "is damaged and cannot be decoded.")
    rgba = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGBA))
    ids = rgba.view("<i4")[..., 0]
    ids &= 0xFFFFFF  # without the alpha that OpenCV sets to 255
    return ids.astype(np.int32, copy=False)


def _unusable(path: Path, message: str) -> DataError:
    return fault("bad-panoptic-png", message, "Build the dataset again.", str(path))
