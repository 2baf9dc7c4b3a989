"""Files of a dataset: written whole or not at all, copied at no price where that can be, and what to do where
they cannot be written.

Photos and PNGs are not synced to the disk one by one. A process that is killed leaves nothing half written;
after a power cut the same build makes again what has another size or, of PNGs, another content than its
journal says. What stands once in a dataset is synced (`common.files`).
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from seem_data.common import files
from seem_data.problems import DataError, Problem

_FICLONE = 0x40049409  #: Linux's request to let one file share the blocks of another

_GOES_ON = "and repeat the same command: it goes on where it stopped."
_REMEDIES = {
    errno.ENOSPC: ("disk-full", f"Free some space {_GOES_ON}"),
    errno.EDQUOT: ("disk-full", f"Your quota is used up: free some space {_GOES_ON}"),
    errno.EROFS: ("read-only", "The file system is read-only: choose another folder with --out."),
    errno.EACCES: ("read-only", "You may not write here: choose another folder with --out."),
    errno.ENAMETOOLONG: ("bad-output", "Choose a shorter path with --out."),
    errno.ENOTDIR: ("bad-output", "A file stands where a folder is needed: choose another --out."),
}
_REMEDIES |= {errno.EPERM: _REMEDIES[errno.EACCES], errno.EEXIST: _REMEDIES[errno.ENOTDIR]}


class OutputError(DataError):
    """The output cannot be written. Unlike a bad image it stops the work: the next image would fail too."""

    @classmethod
    def of(cls, error: OSError, path: Path | str) -> OutputError:
        code, remedy = _REMEDIES.get(
            error.errno or 0, ("output-failed", "Mend that and repeat the same command.")
        )
        return cls(Problem(code, f"cannot be written ({error.strerror or error}).", remedy, str(path)))


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn an `OSError` of the block into an `OutputError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError.of(error, path) from error


def free_stem(stem: str, taken: set[str]) -> str:
    """A file's name without ending, with a number where it is taken; it is from now on. Case makes no
    difference, as to some file systems.

    Args:
        taken: names in folded case.
    """
    number, free = 1, stem
    while free.casefold() in taken:
        number += 1
        free = f"{stem}-{number}"
    taken.add(free.casefold())
    return free


def make_folder(path: Path) -> Path:
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def atomic_file(path: Path | str, *, synced: bool = True) -> Iterator[BinaryIO]:
    """See `common.files.atomic_file`.

    Raises:
        OutputError: for any `OSError` of the block, so let it do nothing but write.
    """
    with writing(path), files.atomic_file(path, synced=synced) as file:
        yield file


def write_atomically(path: Path | str, data: bytes, *, synced: bool = True) -> None:
    """
    Args:
        synced: not for files that stand in thousands.

    Raises:
        OutputError: the disk is full, the folder is read-only, …
    """
    with atomic_file(path, synced=synced) as file:
        file.write(data)


def read_regular(path: Path | str) -> bytes:
    """
    Raises:
        OSError: the file cannot be read, or is none: a named pipe would keep us waiting for good.
    """
    with open(path, "rb", opener=_open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return file.read()


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def copy(source: Path, target: Path | str, content: bytes | None = None) -> None:
    """Put a copy of `source` at `target`: one that shares its blocks until either is changed, where the file
    system can do that, else one of its own.

    Args:
        content: of the source, where it has been read already; the copy has that many bytes.

    Raises:
        OSError: the source cannot be read.
        OutputError: the target cannot be written.
    """
    with open(source, "rb", opener=_open_at_once) as file, atomic_file(target, synced=False) as new:
        if _cloned(file, new):
            if content is None or os.fstat(new.fileno()).st_size == len(content):
                return
            # Not where nothing is to be cut off: ext4 would then write the file to the disk as it is closed.
            new.seek(0)
            new.truncate()
        if content is not None:
            new.write(content)
        else:
            shutil.copyfileobj(file, new, 1 << 20)


def _cloned(source: BinaryIO, target: BinaryIO) -> bool:
    try:
        import fcntl

        fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
    except (ImportError, OSError):
        return False
    return True


def link_or_copy(source: Path, target: Path | str) -> None:
    """Put `source` at `target` as a hard link, or as a copy where the file system cannot link.

    Raises:
        OSError: the source cannot be read.
        OutputError: the target cannot be written.
    """
    # A symbolic link is followed: a link to a link would break when the input moves.
    source = source.resolve() if source.is_symlink() else source
    try:
        os.link(source, target)
    except OSError as error:
        if not (isinstance(error, FileExistsError) and source.samefile(target)):
            write_atomically(target, source.read_bytes(), synced=False)
