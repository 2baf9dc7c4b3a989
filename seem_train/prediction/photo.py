"""Photos from outside: whatever a user has at hand ─▶ upright 8-bit RGB pixels, or one clear sentence.

Grey, palette, CMYK and one-bit images are converted; transparent ones are laid on white, as viewers show
them; 16-bit grey is scaled from 0…65535 to 0…255. An EXIF orientation is applied, so that coordinates are
those of the picture as a viewer shows it.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps

from seem_train.errors import UserError

#: a file; pixels [H, W] or [H, W, 1 | 3 | 4]; a Pillow image; a tensor [3 | 1, H, W] or [H, W]
PhotoSource: TypeAlias = "str | os.PathLike[str] | np.ndarray | Image.Image | torch.Tensor"

_DARKEST = 4096  #: a 16-bit photo whose greatest value is less would come out black
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # Pillow before 10.3 calls 16-bit PNGs "I"


def open_photo(source: PhotoSource) -> np.ndarray:
    """The pixels [H, W, 3] uint8 of RGB, as a viewer shows them.

    Args:
        source: a file name; an array [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] (RGB order) of uint8, uint16,
            bool, or floats from 0 to 1 or 0 to 255; a Pillow image; a tensor [3, H, W], [1, H, W] or [H, W]
            of the same types.

    Raises:
        UserError: there is no such file, it is damaged or no image, or pixels are of no known kind.
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
        return _from_file(Path(source))
    raise UserError(
        f"an image must be a file name, an array, a Pillow image or a tensor, not {type(source).__name__}"
    )


def _from_file(path: Path) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            # From 89 to 179 megapixels Pillow warns; above it refuses, and so do we.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                return _decoded(opened, str(path))
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a photo in it") from None
    except PermissionError:
        raise UserError(f"{path}: may not be read; check its permissions") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path}: has more than 178 million pixels; scale it down") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: is no image, or is damaged at its start; save it anew") from None
    except Exception as error:  # Pillow's decoders raise whatever their format's parser runs into
        reason = str(error) or type(error).__name__
        raise UserError(f"{path}: cannot be decoded ({reason}); save it anew") from None


def _decoded(image: Image.Image, name: str) -> np.ndarray:
    image.load()
    turned = ImageOps.exif_transpose(image)
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
    return np.asarray(turned.convert("RGB"))


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
        if low >= 0 and high <= 255:
            return (pixels * (255 if high <= 1 else 1) + 0.5).astype(np.uint8)
        raise UserError(
            f"{name}: floating-point pixels go from {low:g} to {high:g}; give 0 to 1, or 0 to 255"
        )
    if low >= 0 and high <= 255 and pixels.dtype != np.uint16:
        return pixels.astype(np.uint8)
    if low >= 0 and _DARKEST <= high <= 65535:
        return ((pixels.astype(np.int64) + 128) // 257).astype(np.uint8)
    raise UserError(
        f"{name}: has 16-bit values from {low} to {high}, which would come out "
        f"{'black' if high < _DARKEST else 'wrong'} in 8 bits; convert it with the contrast you want"
    )


def open_mask(path: Path) -> np.ndarray:
    """A mask [H, W] bool from a picture: where it is not black; of one with transparency, where it is opaque.

    Raises:
        UserError: as `open_photo`.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            turned = ImageOps.exif_transpose(opened)
            if turned.mode in ("RGBA", "LA", "PA"):
                return np.asarray(turned.getchannel("A")) > 127
            values = np.asarray(turned)  # of a palette the indices: 0 is background
            dark = 127 if opened.format == "JPEG" else 0  # which is never quite black
    except Exception:
        _from_file(path)  # says what is wrong with it
        raise UserError(f"{path}: cannot be read as a mask; save it as a black and white PNG") from None
    marked = np.asarray(values > dark)
    return np.asarray(marked.any(2)) if marked.ndim == 3 else marked
