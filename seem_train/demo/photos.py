"""Photos that are sent: bytes ─▶ upright pixels, within bounds, or one sentence that says why not."""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
from PIL import Image

from seem_train.errors import UserError
from seem_train.output import draw
from seem_train.prediction.photo import open_photo

SHOWN = 2048  #: longer side of what a page shows
_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


def read_photo(content: bytes, most_pixels: int) -> np.ndarray:
    """[H, W, 3] uint8.

    Raises:
        UserError: it is no photo, is damaged, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as opened:
                width, height = opened.size
                if width * height > most_pixels:
                    raise UserError(
                        f"the photo: has {width} × {height} pixels, more than the {most_pixels / 1e6:g} "
                        "million that are taken here; scale it down"
                    )
                return open_photo(opened)
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(
            f"the photo: has more than the {most_pixels / 1e6:g} million pixels that are taken here"
        ) from None
    except Image.UnidentifiedImageError:
        raise UserError(
            "the photo: is no image that can be read here; send a JPEG, PNG, WebP or TIFF"
        ) from None
    except Exception as error:  # Pillow's decoders raise whatever their format's parser runs into
        reason = str(error) or type(error).__name__
        raise UserError(f"the photo: cannot be decoded ({reason}); save it anew") from None


def ending(content: bytes) -> str:
    """The file name's ending that fits a photo's format."""
    with Image.open(io.BytesIO(content)) as opened:
        return _ENDINGS.get(opened.format or "", f".{(opened.format or 'png').lower()}")


def shown(photo: np.ndarray) -> bytes:
    """A JPEG for a page, of at most `SHOWN` pixels a side."""
    small = draw.at_most(photo, SHOWN)
    _, encoded = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return encoded.tobytes()
