"""Writing files so that nothing can spoil them, and telling them apart: the one place for both.

A file gets its name when all of it is on the disk: it is written under a temporary name in the same folder,
flushed, renamed, and the folder is flushed. Whoever looks sees the old content or the new one, also after a
power cut; a full disk leaves what was there. Permissions are what the umask says.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seem_train.errors import UserError

if TYPE_CHECKING:
    import numpy as np

_CHUNK = 1 << 20

#: called with (bytes so far, bytes in all or None)
Progress = Callable[[int, "int | None"], None]


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary file to write into, which becomes `path` when the block ends well, else goes away.

    Its name ends like that of `path`, since some libraries tell the format by the name. Missing folders are
    made.

    Raises:
        OSError: the disk is full, or the place cannot be written to; `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem[:100]}.{os.getpid()}.new{path.suffix}")
    temporary.unlink(missing_ok=True)
    # Made here, since some libraries (safetensors) make files that only their owner may read.
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    mode = os.fstat(handle).st_mode & 0o777
    os.close(handle)
    try:
        yield temporary
        temporary.chmod(mode)
        publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(temporary: Path, path: Path) -> None:
    """Give a complete file its name, once the disk holds all of it."""
    flush(temporary)
    temporary.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Have the disk hold a file, or the names in a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if path.is_dir():
            with contextlib.suppress(OSError):  # some file systems cannot flush folders
                os.fsync(handle)
        else:
            os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    with writing(path) as new:
        new.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """UTF-8, line ends as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Mapping[str, object] | Sequence[object], indent: int | None = 2) -> None:
    """JSON for people and programs; what JSON does not know (paths) becomes text."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False, default=str) + "\n")


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
    """
    Raises:
        UserError: it cannot be made, e.g. since a file is in its way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); name another folder") from None


def share(source: Path, target: Path) -> None:
    """The same file in two places, at the price of one where the file system allows."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        with writing(target) as new:
            shutil.copyfile(source, new)


def sha256_of(path: Path, progress: Progress | None = None) -> str:
    """SHA-256 of a file, read in pieces."""
    digest, done = hashlib.sha256(), 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while piece := file.read(_CHUNK):
            digest.update(piece)
            done += len(piece)
            if progress is not None:
                progress(done, size)
    return digest.hexdigest()
