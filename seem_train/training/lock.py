"""One run at a time in a run folder: a lock that the system releases when its process dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seem_train.errors import UserError
from seem_train.files import make_folder

LOCK = ".lock"
#: POSIX locks (which NFS has, unlike flock on older ones) do not hold against the process that has them
_held: set[Path] = set()


@contextmanager
def locked(folder: Path) -> Iterator[str]:
    """Hold a run folder, which is made if it is not there; gives "", or why it could not be locked.

    Raises:
        UserError: another process trains there; which one is told.
    """
    make_folder(folder)
    path = folder.resolve() / LOCK
    if path in _held:
        raise UserError(f"{folder}: a run of this very process trains there; choose another --out")
    try:
        # Never closed before the end: closing any handle of the file gives the lock up.
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror}); choose another --out") from None
    with file:
        remark = ""
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise UserError(f"{folder}: {_holder(file.name)}; wait for it, or choose another --out") from None
        except OSError as error:
            remark = (
                f"{folder} lies on a file system without locks ({error.strerror}): see to it that no second "
                "run trains there"
            )
        file.truncate(0)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": now}) + "\n")
        file.flush()
        _held.add(path)
        try:
            yield remark
        finally:
            _held.discard(path)
            with contextlib.suppress(OSError):  # a full disk; an empty file says nothing false
                file.truncate(0)


def _holder(path: str) -> str:
    try:
        who = json.loads(Path(path).read_text(encoding="utf-8"))
        return f"process {who['pid']} on {who['host']} trains there since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process trains there"
