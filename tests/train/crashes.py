"""Kills a save at each of its steps: every rename, unlink, mkdir, rmdir, opening and write of a file.

Python tells an audit hook of each such step before it is taken, and a hook that raises prevents it. A crash
prevents all later steps, too; a full disk only those that write. What is being written is cut in half.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from seem_data.common import files
from seem_train.training import checkpoint
from seem_train.training.checkpoint import Progress


class Killed(BaseException):
    """The process is gone."""


class Fault:
    """What happens at step number `at` (from 0) of what changes files."""

    def __init__(self, at: int, full: bool) -> None:
        self.at, self.full, self.steps = at, full, 0

    def step(self, half: Callable[[], object] | None = None) -> None:
        number, self.steps = self.steps, self.steps + 1
        if number < self.at or (self.full and number > self.at):
            return
        if half is not None and number == self.at:
            half()
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise Killed


_now: Fault | None = None
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "shutil.copyfile"}


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _now is None:
        return
    opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_CREAT | os.O_TRUNC)
    # What makes room or only renames does not fail on a full disk.
    if (event in _CHANGES and (not _now.full or event == "os.mkdir")) or opened:
        _now.step()


_hooked = False


def _writes(function: Callable[..., Any], place: int) -> Callable[..., Any]:
    """A function that writes a file (its argument `place`), of which a fault leaves half."""

    def wrapped(*arguments: Any) -> Any:
        assert _now is not None

        def half() -> None:
            global _now
            fault, _now = _now, None
            function(*arguments)
            path = Path(arguments[place])
            os.truncate(path, path.stat().st_size // 2)
            _now = fault

        _now.step(half)
        return function(*arguments)

    return wrapped


class _HalfWritten(io.FileIO):
    """A file of which a fault leaves half of what was to be written."""

    def write(self, data: bytes, /) -> int:
        assert _now is not None
        _now.step(lambda: super(_HalfWritten, self).write(data[: len(data) // 2]))
        return super().write(data)


def save(folder: Path, step: int, fault: Fault) -> bool:
    """Whether the save came to its end."""
    global _now, _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    state = {"progress": vars(Progress(step=step)), "optimizer": {"x": torch.tensor(float(step))}}
    with (
        mock.patch.object(checkpoint, "save_file", _writes(checkpoint.save_file, 1)),
        mock.patch.object(torch, "save", _writes(torch.save, 1)),
        mock.patch.object(files, "open", _HalfWritten, create=True),
        mock.patch.object(files.os, "fsync", lambda _: None),
    ):
        _now = fault
        try:
            checkpoint.save(folder, {"w": torch.full((3,), float(step))}, state, {"step": step})
        except (Killed, OSError):
            return False
        finally:
            _now = None
    return True


def enumerate_crashes(root: Path, depth: int) -> dict[str, int]:
    """Try every sequence of at most `depth` faults, and say how many of each kind there were.

    Raises:
        AssertionError: no complete checkpoint is left, or only one older than the last that was complete.
    """
    tried = {"killed": 0, "full": 0}
    for name, full, deep in (("killed", False, depth), ("full", True, min(depth, 2))):
        start = root / name
        assert save(start / "last", 1, Fault(1 << 30, full))
        tried[name] = _deeper(start, 1, deep, full, str(name))
        shutil.rmtree(start)
    return tried


def _deeper(folder: Path, kept: int, depth: int, full: bool, history: str) -> int:
    tried = 0
    for at in count():
        copy = folder.with_name(f"{folder.name}-{depth}")
        shutil.copytree(folder, copy)
        fault = Fault(at, full)
        complete = save(copy / "last", kept + 1, fault)
        if complete and fault.steps <= at:
            shutil.rmtree(copy)
            return tried
        tried += 1
        found = checkpoint.find(copy / "last")
        assert found is not None, f"{history}, {at}: nothing is left"
        step = checkpoint.load(found).progress.step
        least = kept + 1 if complete else kept
        assert step >= least, f"{history}, {at}: fell back from {least} to {step}"
        if depth > 1:
            tried += _deeper(copy, step, depth - 1, full, f"{history}, {at}")
        shutil.rmtree(copy)
    raise AssertionError
