"""Which photos are meant by files, folders and patterns; without looking into them, and without torch."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from seem_train.errors import UserError

#: how files in a folder are told to be photos
SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif",
                      ".ppm", ".pgm", ".jp2", ".avif"))  # fmt: skip


def find_photos(wanted: Sequence[str]) -> list[Path]:
    """Files, folders (all photos below them) and patterns like ``shots/*.jpg`` ─▶ files, each once.

    Raises:
        UserError: one of them leads to no photo; all such are named.
    """
    found: dict[Path, None] = {}
    problems = []
    for text in wanted:
        path = Path(text).expanduser()
        if path.is_dir():
            files = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() in SUFFIXES and p.is_file() and not p.name.startswith(".")
            )
            if not files:
                problems.append(f"{path}: the folder holds no photo ({', '.join(sorted(SUFFIXES))})")
        elif path.exists():
            files = [path]
        elif glob.has_magic(text):
            matching = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207  (takes any root)
            files = [Path(name) for name in matching if Path(name).is_file()]
            if not files:
                problems.append(f"{text}: no file fits this pattern")
        else:
            files = []
            problems.append(f"{path}: there is no such file or folder")
        found.update(dict.fromkeys(files))
    if problems:
        raise UserError("\n".join(problems))
    return list(found)
