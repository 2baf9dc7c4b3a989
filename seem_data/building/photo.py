"""The photo of an image as its annotation means it, and how it gets into the dataset."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seem_data import images
from seem_data.annotations import ImageAnnotation, Polygon
from seem_data.building.journal import Stamp
from seem_data.building.key import read, unreadable
from seem_data.common.files import sha256
from seem_data.files import copy, link_or_copy, write_atomically
from seem_data.layout import png
from seem_data.problems import EXIF_ORIENTATION, Problem, fault

_SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",), "BMP": (".bmp",), "WEBP": (".webp",)}
_JPEG_QUALITY = 95
_LONGEST_SMALL = 80  #: pixels of the longer side in which colours are looked for


class InputPhoto:
    """The photo of an image as its annotation means it, and how it gets into the dataset."""

    def __init__(
        self, annotation: ImageAnnotation, source: str, content: bytes | None, max_megapixels: float
    ) -> None:
        """
        Args:
            content: of the photo's file, where it has been read already.
            max_megapixels: more are refused.

        Raises:
            DataError: it is missing, unreadable, too large, or of another size than the annotation says.
        """
        self._image = annotation.image
        self._file = str(annotation.image) if isinstance(annotation.image, Path) else f"{source} (embedded)"
        if content is None:
            content = self._image if isinstance(self._image, bytes) else read(self._image)
        self._content = content
        self._opened = images.OpenPhoto(content, self._file, max_megapixels)
        self._header = self._opened.header
        self._view: images.Exif = images.as_shown(self._header, annotation.size, annotation.exif, source)
        self._is_complete = False
        self.size = self._header.size(self._view)

    def tell_doubt(self, annotation: ImageAnnotation, problems: list[Problem]) -> None:
        """Tell where outlines, or masks that have the size of both views, are taken as of the stored pixels
        of a photo that viewers turn, though nothing says that they were drawn so."""
        if self._header.orientation == 1 or not annotation.exif == self._view == "ignored":
            return
        outlined = any(isinstance(part, Polygon) for r in annotation.regions for part in r.parts)
        of_any_view = self._header.size("applied") == self._header.size("ignored")
        if annotation.regions and (outlined or of_any_view):
            what = "coordinates are" if outlined else "masks are"
            message = f"1 photo has an EXIF orientation; {what} taken as of the pixels as stored."
            remedy = "Look at it with seem-data report; if it is turned, turn the photo upright in its file."
            file = str(annotation.source)
            problems.append(Problem(EXIF_ORIENTATION, message, remedy, file, severity="warning"))

    def must_fit(self, ground: ImageAnnotation, annotation: ImageAnnotation) -> None:
        """
        Raises:
            DataError: the painted mask has another size, or means another view of a photo with an
                EXIF orientation than the polygons do.
        """
        file = str(ground.source)
        view = images.as_shown(self._header, ground.size, ground.exif, file)
        if view != self._view and self._header.orientation != 1:
            message = (
                f"was painted on the photo {'upright' if view == 'applied' else 'as stored'}, but the "
                f"polygons of {annotation.source.name} were drawn on it "
                f"{'upright' if self._view == 'applied' else 'as stored'} (EXIF orientation "
                f"{self._header.orientation})."
            )
            remedy = "Turn the photo upright in the file, and mask and polygons with it."
            raise fault("turned-mask", message, remedy, file)

    def small(self) -> NDArray[np.uint8]:
        """[h, w, 3] enough of the pixels to name colours. To be called once."""
        pixels = self._opened.small(_LONGEST_SMALL, self._view)
        self._is_complete = True
        return pixels

    @property
    def suffix(self) -> str:
        """Ending of the photo's file in the dataset."""
        if not self._header.is_plain:
            return ".jpg" if self._header.format == "JPEG" else ".png"
        usual = _SUFFIXES[self._header.format]
        own = self._image.suffix if isinstance(self._image, Path) else ""
        return own if own.lower() in usual else usual[0]

    def place(self, target: str, stamp: Stamp | None, link: bool) -> tuple[str, int]:
        """Put the photo at `target`: as it is if any reader shows it as it was annotated, else turned and
        converted (JPEG of quality 95 from JPEG, PNG otherwise).

        Args:
            link: make it a hard link to the input where it stays as it is.

        Returns:
            SHA-256 and size of the file.

        Raises:
            DataError: the photo is truncated, or of a kind that is refused.
            OutputError: `target` cannot be written.
        """
        if self._header.is_plain:
            if not self._is_complete:
                images.check_complete(self._content, self._file)
            if isinstance(self._image, Path) and stamp is not None:
                try:
                    if link:
                        link_or_copy(self._image, target)
                    else:
                        copy(self._image, target, self._content)
                except OSError as error:
                    raise unreadable(self._image, error) from None
                return stamp.sha256, len(self._content)
            data = self._content
        else:
            pixels = images.read_rgb(self._content, self._view, self._file)
            data = _jpeg(pixels) if self._header.format == "JPEG" else png.encode(pixels)
        write_atomically(target, data, synced=False)
        return sha256(data), len(data)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()
