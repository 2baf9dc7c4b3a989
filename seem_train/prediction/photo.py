"""Photos from outside: whatever a user has at hand ─▶ upright 8-bit RGB pixels, or one clear sentence.

Grey, palette, CMYK and one-bit images are converted; transparent ones are laid on white, as viewers show
them; 16-bit values are scaled from 0…65535 to 0…255, floats from 0…1 where none is above 1, else taken as
0…255. What is in no such range is refused, since it would come out black. An EXIF orientation is applied, so
that coordinates are those of the picture as a viewer shows it.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps, TiffImagePlugin

from seem_train.errors import UserError
from seem_train.ranges import MAX_PIXELS, too_many_pixels

#: a file; pixels [H, W] or [H, W, 1 | 3 | 4]; a Pillow image; a tensor [3 | 1, H, W] or [H, W]
PhotoSource: TypeAlias = "str | os.PathLike[str] | np.ndarray | Image.Image | torch.Tensor"

_DARKEST = 4096  #: a 16-bit photo whose greatest value is less would come out black
_DIMMEST = 16.0  #: … and one of floats from 0 to 255
_OVERSHOOT = 0.05  #: enlarging makes values so much too large or small, which is cut off
_ORIENTATION = 0x0112  #: EXIF tag
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # Pillow before 10.3 calls 16-bit PNGs "I"


def open_photo(source: PhotoSource, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """The pixels [H, W, 3] uint8 of RGB, as a viewer shows them.

    Args:
        source: a file name; an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (RGB order) of uint8, uint16,
            bool, or floats from 0 to 1 or 0 to 255; a Pillow image; a tensor [3, H, W], [1, H, W] or [H, W]
            of the same types.
        max_pixels: a file of more is not decoded.

    Raises:
        UserError: there is no such file, it is damaged or no image, it has too many pixels, or they are of no
            known kind or range.
    """
    if isinstance(source, Image.Image):
        return _decoded(source, "the image")
    if isinstance(source, torch.Tensor):
        pixels = source.detach().cpu()
        pixels = pixels.float() if pixels.dtype == torch.bfloat16 else pixels
        return _from_array(pixels.permute(1, 2, 0).numpy() if pixels.dim() == 3 else pixels.numpy())
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, str | os.PathLike):
        return _from_file(Path(source), max_pixels)
    raise UserError(
        f"an image must be a file name, an array, a Pillow image or a tensor, not {type(source).__name__}"
    )


def _from_file(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    _check_regular(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of half as many pixels as it refuses; the limit here is our own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                _check_pixels(path, opened.size, max_pixels)
                _refuse_dark(opened, path)
                return _decoded(opened, str(path))
    except UserError:
        raise
    except PermissionError:
        raise UserError(f"{path}: may not be read; check its permissions") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path}: has more than 178 million pixels; scale it down") from None
    except Image.UnidentifiedImageError:
        return _float_tiff(path, max_pixels)
    except Exception as error:  # Pillow's decoders raise whatever their format's parser runs into
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: cannot be decoded ({reason}); save it anew") from None


def _check_regular(path: Path) -> None:
    """Reading a named pipe would wait for ever."""
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a photo in it")
    if not path.exists():
        raise UserError(f"{path}: there is no such file")
    if not path.is_file():
        raise UserError(f"{path}: is no regular file; save the photo to one")


def _check_pixels(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if refused := too_many_pixels(path, height, width, max_pixels):
        raise UserError(refused)


def _refuse_dark(image: Image.Image, path: Path) -> None:
    """Pillow takes the upper 8 bits of 16-bit colours: nothing, where all values are small."""
    tiles = getattr(image, "tile", ())  # how each part of the file is packed, as (…, "RGB;16B")
    if image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in tiles):
        values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if values is not None and values.dtype == np.uint16:
            _check_sixteen_bits(int(values.min()), int(values[..., :3].max()), str(path))


def _float_tiff(path: Path, max_pixels: int) -> np.ndarray:
    """What Pillow does not know of TIFF, above all colours as floats; OpenCV reads it."""
    damaged = UserError(f"{path}: is no image, or is damaged at its start; save it anew")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore", UserWarning)  # of what is cut off, which is told below
            directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
            file.seek(directory.next)
            directory.load(file)
            size = int(directory[256]), int(directory[257])
    except Exception:  # no TIFF, or not even its first directory can be read
        raise damaged from None
    _check_pixels(path, size, max_pixels)
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise damaged
    channels = 1 if values.ndim == 2 else values.shape[2]
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(channels)
    return _from_array(np.asarray(values if order is None else values[..., order]), str(path))


def _decoded(image: Image.Image, name: str) -> np.ndarray:
    image.load()
    turned = image if image.getexif().get(_ORIENTATION, 1) == 1 else ImageOps.exif_transpose(image)
    if turned.mode in _SIXTEEN_BIT:
        values = np.asarray(turned)
        fits = values.min() >= 0 and values.max() <= 65535
        return _from_array(values.astype(np.uint16) if fits else values, name)
    if turned.mode == "F":
        return _from_array(np.asarray(turned), name)
    if "transparency" in turned.info or turned.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        layer = turned.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        turned = Image.alpha_composite(white, layer)
    return np.asarray(turned if turned.mode == "RGB" else turned.convert("RGB"))


def _from_array(pixels: np.ndarray, name: str = "the image") -> np.ndarray:
    grey = pixels.ndim == 2
    if grey:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4):
        raise UserError(
            f"{name}: pixels must be [H, W] or [H, W, 1, 3 or 4] (a tensor: channels first), these are "
            f"{list(pixels.shape[:2] if grey else pixels.shape)}"
        )
    if 0 in pixels.shape:
        raise UserError(f"{name}: has no pixels ({pixels.shape[1]} × {pixels.shape[0]})")
    pixels = _eight_bit(pixels, name)
    if pixels.shape[2] == 4:
        alpha = pixels[..., 3:].astype(np.float32) / 255
        pixels = (pixels[..., :3] * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def _eight_bit(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * 255
    low, high = pixels.min(), pixels.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError(f"{name}: pixels hold NaN or infinity")
    if np.issubdtype(pixels.dtype, np.floating):
        return _levels(pixels, float(low), float(high), name)
    if low >= 0 and high <= 255 and pixels.dtype != np.uint16:
        return pixels.astype(np.uint8)
    _check_sixteen_bits(int(low), int(high), name)
    return ((pixels.astype(np.int64) + 128) // 257).astype(np.uint8)


def _levels(pixels: np.ndarray, low: float, high: float, name: str) -> np.ndarray:
    """Floats as 8 bits: shares of 1, or levels up to 255."""
    for most, least_high in ((1.0, 0.0), (255.0, _DIMMEST)):
        slack = most * _OVERSHOOT
        if -slack <= low and least_high <= high <= most + slack:
            return (np.clip(pixels, 0, most) * (255 / most) + 0.5).astype(np.uint8)
    raise UserError(f"{name}: floating-point pixels go from {low:g} to {high:g}; give 0 to 1, or 0 to 255")


def _check_sixteen_bits(low: int, high: int, name: str) -> None:
    if low < 0 or not _DARKEST <= high <= 65535:
        raise UserError(
            f"{name}: has 16-bit values from {low} to {high}, which would come out "
            f"{'black' if high < _DARKEST else 'wrong'} in 8 bits; convert it with the contrast you want"
        )


def open_mask(path: Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """A mask [H, W] bool from a picture: where it is not black; of one with transparency, where it is opaque.

    Raises:
        UserError: as `open_photo`.
    """
    _check_regular(path)
    try:
        with Image.open(path) as opened:
            _check_pixels(path, opened.size, max_pixels)
            opened.load()
            turned = ImageOps.exif_transpose(opened)
            if turned.mode in ("RGBA", "LA", "PA"):
                return np.asarray(turned.getchannel("A")) > 127
            values = np.asarray(turned)  # of a palette the indices: 0 is background
            dark = 127 if opened.format == "JPEG" else 0  # which is never quite black
    except UserError:
        raise
    except Exception:
        _from_file(path, max_pixels)  # says what is wrong with it
        raise UserError(f"{path}: cannot be read as a mask; save it as a black and white PNG") from None
    marked = np.asarray(values > dark)
    return np.asarray(marked.any(2)) if marked.ndim == 3 else marked
