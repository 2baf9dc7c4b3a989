"""Photos: measured by their header, decoded to upright 8-bit RGB, and found only inside their folder.

What becomes of the pixels (`read_rgb`): grey, palette, CMYK, YCbCr and Lab photos are converted; transparent
ones are laid on white, as viewers show them; 16-bit grey is scaled from 0…65535 to 0…255. Refused, because
every conversion would be a guess: floating-point and 32-bit photos, and 16-bit photos that use less than a
sixteenth of their range (12-bit sensors; they would come out black). Of several frames the first is read.

An EXIF orientation says how to turn the stored pixels for viewing. Annotation tools differ in whether they
do; `as_shown` tells, for one photo, which of both views its coordinates mean.
"""

from __future__ import annotations

import io
import os
import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from seem_data.annotations import Exif
from seem_data.limits import DEFAULT_MEGAPIXELS, check_pixels
from seem_data.problems import DataError, fault

#: How files in a folder are told to be photos. A photo named by an annotation file may end otherwise.
SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif",
                      ".ppm", ".pgm", ".jp2", ".avif", ".heic", ".heif", ".hif"))  # fmt: skip

_HEIC = (".heic", ".heif", ".hif")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 0x0112
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # Pillow before 10.3 calls 16-bit PNGs "I"
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")
_PLAIN = ("1", "L", "P", "CMYK", "YCbCr", "LAB", "HSV")


@dataclass(frozen=True, slots=True)
class Header:
    """What a photo's header says: size as stored, EXIF orientation (1: upright), Pillow's mode and format."""

    width: int
    height: int
    orientation: int
    mode: str
    format: str

    def size(self, exif: Exif) -> tuple[int, int]:
        """(width, height) as a tool shows it that applies or ignores the orientation."""
        turned = exif == "applied" and self.orientation >= 5
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def is_plain(self) -> bool:
        """Whether the file can be used as it is: upright 8-bit RGB or grey in a format every reader knows."""
        return (
            self.orientation == 1
            and self.mode in ("RGB", "L")
            and self.format in ("JPEG", "PNG", "BMP", "WEBP")
        )


@contextmanager
def opening(image: Path | bytes, file: str) -> Iterator[Image.Image]:
    """An open Pillow image. Whatever goes wrong inside, opening or decoding, becomes a `DataError`."""
    _prepare(image, file)
    with _decoding(file), Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as opened:
        yield opened


def _prepare(image: Path | bytes, file: str) -> None:
    """Teach Pillow HEIC before it is asked for the first one.

    Raises:
        DataError: it is one, and the library for it is not installed.
    """
    if isinstance(image, Path):
        is_heic = image.suffix.lower() in _HEIC and image.is_file()
    else:
        is_heic = image[4:8] == b"ftyp" and image[8:12] in _HEIC_BRANDS
    if is_heic and not _reads_heic():
        remedy = "pip install 'seem-tools[heic]', or save the photos as JPEG."
        raise fault("heic", "is a HEIC photo, which takes a library more to read.", remedy, file)


@cache
def _reads_heic() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener()
    return True


@contextmanager
def _decoding(file: str) -> Iterator[None]:
    """Whatever goes wrong inside, opening or decoding, becomes a `DataError`."""
    try:
        with warnings.catch_warnings():
            # From 89 to 179 megapixels Pillow warns; above it refuses, and so do we.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    except DataError:
        raise
    except FileNotFoundError:
        code, message, remedy = "missing-image", "there is no such file.", "Put the photo there."
    except Image.DecompressionBombError as error:
        code, message = "image-too-large", f"is too large to decode ({error})."
        remedy = "Downscale the photo."
    except Image.UnidentifiedImageError:
        code, message, remedy = "bad-image", "is no image that Pillow can read.", "Save it anew as PNG."
    except Exception as error:  # Pillow's decoders raise whatever their format's parser runs into
        reason = str(error) or type(error).__name__
        code, message, remedy = "bad-image", f"cannot be decoded ({reason}).", "Save it anew."
    else:
        return
    raise fault(code, message, remedy, file)


def _shown(image: Path | bytes, file: str) -> str:
    return file or (str(image) if isinstance(image, Path) else "embedded image")


def read_header(image: Path | bytes, file: str = "") -> Header:
    """Size, orientation and mode, without decoding.

    Args:
        image: a path, or the bytes of an encoded image.
        file: the name to show in problems; the path by default.

    Raises:
        DataError: the photo is missing, unreadable or too large.
    """
    with opening(image, _shown(image, file)) as opened:
        return _header(opened)


def _header(opened: Image.Image) -> Header:
    return Header(*opened.size, _orientation(opened), opened.mode, opened.format or "")


def _orientation(opened: Image.Image) -> int:
    if opened.format == "TIFF":
        return 1  # Pillow itself turns TIFFs, and reports the turned size
    if opened.format == "PNG" and not opened.info.keys() & {"exif", "Raw profile type exif"}:
        return 1  # getexif() would decode the whole PNG to look behind its pixels
    value = opened.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def read_rgb(image: Path | bytes, exif: Exif = "applied", file: str = "") -> NDArray[np.uint8]:
    """The pixels, uint8 [height, width, 3], turned upright if `exif` is ``"applied"``.

    Raises:
        DataError: the photo is missing, truncated, unreadable, too large, or of a kind that is refused.
    """
    shown = _shown(image, file)
    with opening(image, shown) as opened:
        return _pixels(opened, exif, shown)


class OpenPhoto:
    """A photo of which first the header is needed and then, once, a small copy: Pillow opens it only once.

    Attributes:
        header: what `read_header` gives.
    """

    def __init__(self, image: bytes, file: str, max_megapixels: float = DEFAULT_MEGAPIXELS) -> None:
        """
        Args:
            file: the name to show in problems.
            max_megapixels: more are refused.

        Raises:
            DataError: the photo is unreadable or too large.
        """
        self._file = file
        _prepare(image, file)
        with _decoding(file):
            self._opened = Image.open(io.BytesIO(image))
            self.header = _header(self._opened)
            check_pixels(self.header.width, self.header.height, max_megapixels, file)

    def small(self, longest: int, exif: Exif) -> NDArray[np.uint8]:
        """The pixels as `read_rgb` gives them, but JPEGs decoded at a fraction of their size, which is
        faster.

        Args:
            longest: pixels that the longer side keeps at least. The whole file is read: a photo that comes
                out is complete.

        Raises:
            DataError: as `read_rgb`.
        """
        with _decoding(self._file), closing(self._opened) as opened:
            width, height = opened.size
            share = min(1.0, longest / max(width, height))
            opened.draft(None, (max(1, round(share * width)), max(1, round(share * height))))
            return _pixels(opened, exif, self._file)


def _pixels(opened: Image.Image, exif: Exif, file: str) -> NDArray[np.uint8]:
    opened.load()
    return np.asarray(_to_rgb(ImageOps.exif_transpose(opened) if exif == "applied" else opened, file))


def _to_rgb(opened: Image.Image, file: str) -> Image.Image:
    mode = opened.mode
    if mode == "RGB":
        return opened
    if mode in SIXTEEN_BIT:
        return _from_16_bit(opened, file)
    if mode in _TRANSPARENT or (mode in ("P", "L") and "transparency" in opened.info):
        layer = opened.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    if mode in _PLAIN:
        return opened.convert("RGB")
    message = f"has pixels of mode {mode}, which have no agreed way to 8-bit colours."
    raise fault("image-mode", message, "Convert the photo to 8-bit RGB.", file)


def _from_16_bit(opened: Image.Image, file: str) -> Image.Image:
    pixels = np.asarray(opened)
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or not 4096 <= high <= 65535:
        message = (
            f"is a 16-bit photo with values from {low} to {high}: scaled to 8 bits it would be "
            f"{'black' if high < 4096 else 'wrong'}."
        )
        raise fault("image-mode", message, "Convert it to 8-bit RGB with the contrast you want.", file)
    eight_bit = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return Image.fromarray(eight_bit).convert("RGB")


def check_complete(image: Path | bytes, file: str = "") -> None:
    """Make sure that no pixel is missing. JPEGs are decoded at an eighth of their size, others fully.

    Raises:
        DataError: the photo is truncated, missing or unreadable.
    """
    with opening(image, _shown(image, file)) as opened:
        opened.draft(None, (1, 1))
        opened.load()


def as_shown(header: Header, claimed: tuple[int, int] | None, exif: Exif, file: str = "") -> Exif:
    """Which view of the photo the annotation's coordinates mean.

    The size that the annotation file claims decides where it fits one view only; otherwise `exif`, what the
    annotation tool is known to do.

    Raises:
        DataError: the claimed size fits neither view.
    """
    if claimed is None or claimed == header.size(exif):
        return exif
    other: Exif = "ignored" if exif == "applied" else "applied"
    if claimed == header.size(other):
        return other
    width, height = header.size(exif)
    message = f"says the photo has {claimed[0]}×{claimed[1]} pixels, but it has {width}×{height}."
    remedy = "Use the photo that was annotated, or correct the annotation file."
    raise fault("size-mismatch", message, remedy, file)


def resolve_inside(folder: Path, name: str, start: tuple[str, ...] = ()) -> Path:
    """Where `name`, as an annotation file gives it, lies in `folder`; the file need not exist.

    Slashes may lean either way. Where only the other Unicode normal form of the name exists (macOS writes
    accents decomposed), that file is meant.

    Args:
        start: the folders below `folder` that the name is relative to.

    Raises:
        DataError: the name is empty, absolute, has a drive letter or climbs out of the folder. Its problem
            names no file: the caller knows which one holds the name.
    """
    parts = list(start)
    slashed = name.replace("\\", "/")
    leaves = slashed.startswith("/") or re.match(r"[A-Za-z]:", slashed) is not None
    for part in slashed.split("/"):
        if part == ".." and not parts:
            leaves = True
        elif part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if leaves:
        message = f"names the file {name!r}, which lies outside of its folder."
        remedy = "Write it relative to the photos' folder, or name that folder with --images."
        raise fault("unsafe-path", message, remedy)
    if not parts or parts == list(start) or "\0" in name:
        raise fault("bad-path", f"{name!r} names no file.", "Name the photo.")
    path = folder.joinpath(*parts)
    if not name.isascii() and not os.path.isfile(path):  # noqa: PTH113  (false, no error, for impossible names)
        for form in ("NFC", "NFD"):
            other = folder.joinpath(*(unicodedata.normalize(form, part) for part in parts))
            if os.path.isfile(other):  # noqa: PTH113
                return other
    return path
