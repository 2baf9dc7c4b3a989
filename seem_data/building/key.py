"""An image's key: a hash of everything its files depend on. What has the key it had is not built again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from seem_data.building.job import Job, Recipe
from seem_data.building.journal import Entry, Stamp, staged_name
from seem_data.common.files import sha256
from seem_data.files import read_regular
from seem_data.layout import FOLDERS, IMAGES
from seem_data.problems import DataError, fault
from seem_data.readers import Item


def key_of(recipe: Recipe, job: Job, known: Entry | None) -> tuple[str, Stamp | None, bytes | None]:
    """The image's key, its photo's stamp, and the photo's content where it had to be read.

    Args:
        known: what an earlier build made of the image; its photo is not read again while size and time of
            the file are the same. None: everything is read.

    Raises:
        DataError: a file of the image cannot be read.
    """
    digest = hashlib.sha256(recipe.digest.encode())
    digest.update(f"\n{job.main.name}\n{job.stem}\n".encode("utf-8", "replace"))
    photo, content = _stamp(job.main, known)
    digest.update((photo.sha256 if photo else "embedded").encode())
    for item in (job.item, job.ground):
        for part in () if item is None else (item.payload, *item.files):
            digest.update(b"\n")
            for piece in part if isinstance(part, tuple) else [part]:
                digest.update(read(piece) if isinstance(piece, Path) else piece)
    digest.update(msgspec.json.encode(job.sentences))
    return digest.hexdigest()[:32], photo, content


def _stamp(item: Item, known: Entry | None) -> tuple[Stamp | None, bytes | None]:
    if item.image is None:
        return None, None
    try:
        status = item.image.stat()
        before = known.photo if known else None
        if before and (before.size, before.mtime_ns) == (status.st_size, status.st_mtime_ns):
            return before, None
        content = read_regular(item.image)
        return Stamp(status.st_size, status.st_mtime_ns, sha256(content)), content
    except OSError as error:
        raise unreadable(item.image, error) from None


def read(path: Path) -> bytes:
    """
    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        return read_regular(path)
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> DataError:
    missing = isinstance(error, FileNotFoundError)
    message = "there is no such file." if missing else f"cannot be read ({error.strerror})."
    remedy = "Put it there." if missing else "Check its permissions."
    return fault("missing-image" if missing else "unreadable", message, remedy, str(path))


def is_there(recipe: Recipe, job: Job, known: Entry) -> bool:
    """Whether the files of an image lie whole in the dataset, staged or in a split.

    PNGs are read: damage that leaves their size would else stay for good. Photos are large, and read where
    `Manner.verify` asks for it; one that is a hard link to the input, as earlier versions made them, is made
    anew where `Manner.link` does not ask for it.
    """
    names = (known.file_name, known.panoptic_name, known.panoptic_name)
    for folder, name, size, sha in zip(FOLDERS, names, known.bytes, known.sha256, strict=True):
        staged = recipe.staged / staged_name(known.key, folder)
        placed = [recipe.out / split / folder / name for split in recipe.splits]
        # What is staged takes the place of all others; without it every copy must be good.
        copies = [staged] if staged.exists() else [path for path in placed if path.exists()]
        content = sha if folder != IMAGES or recipe.manner.verify else None
        if not copies or not all(_is_whole(path, size, content) for path in copies):
            return False
        photo = job.main.image if folder == IMAGES and not recipe.manner.link else None
        if photo is not None and any(_is_same_file(path, photo) for path in copies):
            return False
    return True


def _is_whole(path: Path, size: int, content: str | None) -> bool:
    try:
        return path.stat().st_size == size and (content is None or sha256(read_regular(path)) == content)
    except OSError:
        return False


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False
