"""Names and photos of what is written: unique, inside the folder, with the photo's own file beside."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from seem_data.files import make_folder, write_atomically
from seem_data.images import opening, read_header, read_rgb, resolve_inside
from seem_data.problems import DataError, Problem
from seem_data.writers import Photo

_JPEG_QUALITY = 95


class Places:
    """Where photos go in a folder, and which names their annotations get."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[str] = set()

    def take(self, photo: Photo) -> PurePosixPath:
        """A path for the photo whose stem no other has, so that ``a.jpg`` and ``a.png`` do not share a file
        of annotations.

        Raises:
            DataError: the name leaves the folder.
        """
        inside = resolve_inside(self._folder, photo.name).relative_to(self._folder)
        path = PurePosixPath(inside.as_posix())
        stem, number = path.stem, 1
        while path.with_suffix("").as_posix().casefold() in self._taken:
            number += 1
            path = path.with_stem(f"{stem}-{number}")
        self._taken.add(path.with_suffix("").as_posix().casefold())
        return path


def place(photo: Photo, target: Path, upright: bool = False) -> None:
    """The photo's own bytes at `target`; nothing for a photo that lies elsewhere.

    Args:
        upright: for formats whose coordinates are those of the pixels as stored: a photo with an EXIF
            orientation is turned and encoded anew, as JPEG of quality 95 or PNG.

    Raises:
        DataError: the photo cannot be read, or the copy not be written.
    """
    if photo.content is None:
        return
    shown = photo.name if isinstance(photo.content, bytes) else str(photo.content)
    make_folder(target.parent)
    if upright and read_header(photo.content, shown).orientation != 1:
        write_atomically(target, _upright(photo.content, shown))
    elif isinstance(photo.content, bytes):
        write_atomically(target, photo.content)
    else:
        copy(photo.content, target)


def copy(source: Path, target: Path) -> None:
    """
    Raises:
        DataError: the source cannot be read, or the copy not be written.
    """
    try:
        data = source.read_bytes()
    except OSError as error:
        remedy = "Check that it is there and that you may read it."
        reason = f"cannot be read ({error.strerror or error})."
        raise DataError(Problem("unreadable", reason, remedy, str(source))) from None
    write_atomically(target, data)


def _upright(content: Path | bytes, shown: str) -> bytes:
    import io

    from PIL import Image

    encoded = io.BytesIO()
    with opening(content, shown) as opened:
        kind = "JPEG" if opened.format in ("JPEG", "MPO") else "PNG"
    Image.fromarray(read_rgb(content, "applied", shown)).save(encoded, kind, quality=_JPEG_QUALITY)
    return encoded.getvalue()
