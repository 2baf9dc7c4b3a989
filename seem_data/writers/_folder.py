"""What the writers of all formats share: a folder that fills photo by photo, under unique and safe names."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from PIL import Image

from seem_data.categories import Category
from seem_data.files import copy, free_stem, link_or_copy, make_folder, write_atomically
from seem_data.images import opening, read_header, read_rgb, resolve_inside
from seem_data.problems import fault
from seem_data.writers import TOLERANCE, MarkedSegment, WrittenPhoto

_JPEG_QUALITY = 95


class FolderWriter:
    """Writes a folder in one format, photo by photo; files that span photos are written by `close`. Formats
    say what differs.

    Attributes:
        left_out: how many segments the format could not express (crowds).
        photos: the folder of the photos below the writer's own.
        upright: whether coordinates mean the pixels as stored, so that photos must be stored upright.
        knows_crowds: whether the format can tell a crowd; segments that are one are left out otherwise.
    """

    photos = "images"
    upright = False
    knows_crowds = False

    def __init__(
        self,
        folder: Path,
        categories: Sequence[Category],
        tolerance: float = TOLERANCE,
        *,
        link: bool = False,
    ) -> None:
        self.folder, self.categories, self.tolerance, self.link = folder, categories, tolerance, link
        self.left_out = 0
        self._taken: set[str] = set()
        self.start()

    def start(self) -> None:
        """Make ready what `write` collects."""

    def add(self, photo: WrittenPhoto, segments: Sequence[MarkedSegment], split: str = "") -> None:
        """One photo and what is on it, later segments on top of earlier ones.

        Raises:
            DataError: the photo's name leaves the folder, the photo cannot be read, or nothing be written.
        """
        path = self._path(f"{split}/{photo.name}" if split else photo.name)
        self._place(photo, self.folder / self.photos / path)
        kept = [segment for segment in segments if self.knows_crowds or not segment.iscrowd]
        self.left_out += len(segments) - len(kept)
        self.write(WrittenPhoto(path.as_posix(), photo.size), kept, split)

    def write(self, photo: WrittenPhoto, segments: Sequence[MarkedSegment], split: str) -> None:
        """Write down, or keep for `close`, what is on a photo; its name is the path below `photos`."""
        raise NotImplementedError

    def close(self) -> None:
        """Write the files that span photos."""

    def write_file(self, name: str, content: bytes) -> None:
        path = self.folder / name
        make_folder(path.parent)
        write_atomically(path, content)

    def _path(self, name: str) -> PurePosixPath:
        """A path below `photos` for a photo whose stem no other has, so that ``a.jpg`` and ``a.png`` do not
        share a file of annotations.

        Raises:
            DataError: the name leaves the folder.
        """
        root = self.folder / self.photos
        path = PurePosixPath(resolve_inside(root, name).relative_to(root).as_posix())
        return PurePosixPath(free_stem(path.with_suffix("").as_posix(), self._taken) + path.suffix)

    def _place(self, photo: WrittenPhoto, target: Path) -> None:
        """The photo's own file at `target`; nothing for a photo that lies elsewhere.

        Where photos must be stored upright, one with an EXIF orientation is turned and encoded anew.
        """
        if photo.content is None:
            return
        shown = photo.name if isinstance(photo.content, bytes) else str(photo.content)
        make_folder(target.parent)
        if self.upright and read_header(photo.content, shown).orientation != 1:
            write_atomically(target, _upright(photo.content, shown), synced=False)
        elif isinstance(photo.content, bytes):
            write_atomically(target, photo.content, synced=False)
        else:
            try:
                (link_or_copy if self.link else copy)(photo.content, target)
            except OSError as error:
                remedy = "Check that it is there and that you may read it."
                reason = f"cannot be read ({error.strerror or error})."
                raise fault("unreadable", reason, remedy, shown) from None


def _upright(content: Path | bytes, shown: str) -> bytes:
    """The photo turned by its EXIF orientation, as JPEG or PNG."""
    encoded = io.BytesIO()
    with opening(content, shown) as opened:
        kind = "JPEG" if opened.format in ("JPEG", "MPO") else "PNG"
    Image.fromarray(read_rgb(content, "applied", shown)).save(encoded, kind, quality=_JPEG_QUALITY)
    return encoded.getvalue()
