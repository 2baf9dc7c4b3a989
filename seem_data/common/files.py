"""Files written whole or not at all, and told apart: the one place for both.

A file is written under a temporary name in the same folder, synced, renamed, and the folder is synced.
Whoever looks sees the old content or the new one, also after a power cut; a full disk leaves what was there.
Permissions are what the umask says.

What is written for each of a hundred thousand images is not synced, and paths may be text here: `pathlib`
would double what a small file costs.
"""
# ruff: noqa: PTH101, PTH105, PTH108, PTH118, PTH120, PTH123

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

#: Marks files in the making; whoever finds one may delete it.
TEMPORARY_SUFFIX = ".part"
_CHUNK = 1 << 20


def temporary_name(path: Path | str) -> str:
    """A name in the folder of `path` that no other process, on no other machine, uses."""
    return os.path.join(os.path.dirname(path), f".{os.urandom(8).hex()}{TEMPORARY_SUFFIX}")


@contextmanager
def atomic_file(path: Path | str, *, synced: bool = True) -> Iterator[BinaryIO]:
    """A binary file that appears under its name when the block ends well, and not at all otherwise.

    Args:
        synced: have the disk hold it before it gets its name; without, a power cut may leave it empty.

    Raises:
        OSError: the disk is full, or the place cannot be written to; what was there is as it was.
    """
    with _published(path, temporary_name(path), synced) as temporary, open(temporary, "xb") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """`atomic_file` for libraries that open files themselves: a name to write to, with the ending of `path`,
    since some tell the format by it. Missing folders are made.

    Raises:
        OSError: as `atomic_file`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _published(path, temporary_name(path) + path.suffix, synced=True) as temporary:
        # Made here, since some libraries (safetensors) make files that only their owner may read.
        with open(temporary, "xb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
        yield Path(temporary)
        os.chmod(temporary, mode)


@contextmanager
def _published(path: Path | str, temporary: str, synced: bool) -> Iterator[str]:
    try:
        yield temporary
        if synced:
            publish(temporary, path)
        else:
            os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def publish(temporary: Path | str, path: Path | str) -> None:
    """Give a complete file its name, once the disk holds all of it."""
    sync(temporary)
    os.replace(temporary, path)
    sync_folder(os.path.dirname(path) or os.curdir)


def sync(path: Path | str) -> None:
    """Have the disk hold a file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path | str) -> None:
    """Have the disk hold the names in a folder, where the file system can do that."""
    with suppress(OSError):
        sync(path)


def write_bytes(path: Path, content: bytes) -> None:
    """Missing folders are made.

    Raises:
        OSError: as `atomic_file`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """UTF-8, line ends as they are; else as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Mapping[str, object] | Sequence[object], indent: int | None = 2) -> None:
    """JSON for people and programs; what JSON does not know (paths) becomes text. Else as `write_bytes`."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False, default=str) + "\n")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """
    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()
