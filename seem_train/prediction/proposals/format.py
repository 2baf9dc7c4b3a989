"""Which annotations `predict --as` can write, and where; told without torch."""

from __future__ import annotations

from pathlib import Path

from seem_data.writers import FORMATS
from seem_train.errors import UserError


def check_format(name: str, folder: Path) -> None:
    """Raises UserError: there is no such format, or its folder holds something, which may be corrected by
    now.
    """
    if name not in FORMATS:
        raise UserError(f"--as {name!r}: there are {', '.join(FORMATS)}")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder}: holds annotations, and they may be corrected by now; name another --out")
