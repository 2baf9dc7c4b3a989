"""Vectors of sentences on disk, so that the 10,000 sentences of 133 names are not encoded in every process.

A file for each encoder, by a hash of its weights and of all that decides the bits of a vector; so a vector
that is read is the one that would be computed. A cache: without it work is only slower.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

_AT_ONCE = 500  #: texts a question; SQLite takes 999


def store_folder() -> Path:
    """`$SEEM_TEXTS`, else `~/.cache/seem-tools/texts`."""
    chosen = os.environ.get("SEEM_TEXTS")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "seem-tools" / "texts"


def key_of(weights: Iterable[Tensor], tokenizer: str, precision: str) -> str:
    """Names the file: weights, tokenizer, and the machinery that computes with them."""
    digest = hashlib.sha256()
    device = torch.device("cpu")
    for tensor in weights:
        device = tensor.device
        digest.update(tensor.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().data)
    chip = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.backends.cpu.get_cpu_capability()} {torch.get_num_threads()}"
    )
    digest.update("\n".join((tokenizer, precision, torch.__version__, device.type, chip)).encode())
    return digest.hexdigest()[:32]


class TextStore:
    """The vectors [D] of one encoder by their texts."""

    def __init__(self, folder: Path, key: str) -> None:
        self.file = folder / f"{key}.sqlite"

    def read(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Those that are there, float32 on the CPU."""
        found: dict[str, Tensor] = {}
        if not self.file.is_file():
            return found
        try:
            with contextlib.closing(sqlite3.connect(self.file, timeout=30)) as base:
                for start in range(0, len(texts), _AT_ONCE):
                    some = texts[start : start + _AT_ONCE]
                    marks = ",".join("?" * len(some))
                    rows = base.execute(f"select text, vector from texts where text in ({marks})", some)
                    found |= {t: torch.frombuffer(bytearray(v), dtype=torch.float32) for t, v in rows}
        except sqlite3.Error as error:
            self._warn(error)
            return {}
        return found

    def write(self, vectors: Mapping[str, Tensor]) -> None:
        """Add vectors; two processes may do so at once."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self.file, timeout=30)) as base, base:
                base.execute("create table if not exists texts (text text primary key, vector blob)")
                rows = ((t, v.detach().float().cpu().numpy().tobytes()) for t, v in vectors.items())
                base.executemany("insert or ignore into texts values (?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        warnings.warn(
            f"{self.file}: is not used to keep embeddings of names ({error}); it can be deleted", stacklevel=3
        )
