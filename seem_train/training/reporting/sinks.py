"""TensorBoard and Weights & Biases: other places for the numbers of a run, each optional."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from seem_data.common.files import write_json, write_text
from seem_train.errors import UserError

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

Row = dict[str, Any]


class Sink(Protocol):
    """Another place for the numbers of a run.

    What a crash undid has been sent there already, and comes again; none must hold it twice.
    """

    def resume(self, rows: Sequence[Row], evaluated: int, /) -> None:
        """The rows that are kept of a run that goes on, last evaluated at step `evaluated`."""
        ...

    def numbers(self, row: Row) -> None: ...

    def picture(self, step: int, name: str, file: Path) -> None: ...

    def close(self) -> None: ...


def _numbers_of(row: Row) -> dict[str, float]:
    """``train/loss`` and the like."""
    return {
        f"{row.get('split', '')}/{name}": value
        for name, value in row.items()
        if isinstance(value, int | float) and name not in ("step", "epoch")
    }


class TensorBoard:
    """Event files in a folder, which hold what was written before a kill."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UserError(f"--tensorboard: {error}; pip install 'seem-tools[tensorboard]'") from None
        self._open, self._folder = SummaryWriter, folder

    @cached_property
    def writer(self) -> SummaryWriter:
        return self._open(str(self._folder))

    def resume(self, rows: Sequence[Row], evaluated: int, /) -> None:
        """Take back all after the last evaluation, pictures too, and write again what is kept of it."""
        known = self._folder.is_dir() and any(self._folder.iterdir())
        self.writer = self._open(str(self._folder), purge_step=evaluated + 1 if known else None)
        for row in rows:
            if row["step"] > evaluated or not known:
                self.numbers(row)

    def numbers(self, row: Row) -> None:
        for name, value in _numbers_of(row).items():
            self.writer.add_scalar(name, value, row["step"])
        self.writer.flush()  # what is saved later must not be known here less well

    def picture(self, step: int, name: str, file: Path) -> None:
        import numpy as np
        from PIL import Image

        self.writer.add_image(name, np.asarray(Image.open(file).convert("RGB")), step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiases:
    """Weights & Biases; offline where WANDB_MODE says so or no key is there.

    It takes nothing back, so what was sent is noted beside the run (before it is sent: a kill between the two
    leaves a hole rather than a double), and is not sent again: who goes on computes the same numbers.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        try:
            self.wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise UserError(f"--wandb: {error}; pip install 'seem-tools[wandb]'") from None
        identity = folder / "wandb-id.txt"
        known = identity.read_text(encoding="utf-8").strip() if identity.is_file() else None
        self.run = self.wandb.init(
            project="seem-train",
            name=folder.name,
            id=known,
            resume="allow",
            dir=str(folder),
            config=dict(settings),
            mode=None if self.wandb.api.api_key else "offline",
        )
        write_text(identity, self.run.id)
        self._file = folder / "wandb-sent.json"
        self._sent = _read_sent(self._file)
        self._unknown = known is not None and not self._file.is_file()  # as earlier versions left it

    def resume(self, rows: Sequence[Row], _evaluated: int, /) -> None:
        """Send what is kept and was not sent, as in a run that was begun without."""
        for row in rows:
            if self._unknown:
                self._is_new(str(row.get("split")), row["step"])
            else:
                self.numbers(row)

    def numbers(self, row: Row) -> None:
        if self._is_new(str(row.get("split")), row["step"]):
            self.run.log(_numbers_of(row), step=row["step"])

    def picture(self, step: int, name: str, file: Path) -> None:
        if self._is_new(name, step):
            self.run.log({name: self.wandb.Image(str(file))}, step=step)

    def _is_new(self, what: str, step: int) -> bool:
        """Whether it is to be sent; it then counts as sent."""
        if step <= self._sent.get(what, -1):
            return False
        self._sent[what] = step
        write_json(self._file, self._sent, indent=None)
        return True

    def close(self) -> None:
        self.run.finish()


def _read_sent(file: Path) -> dict[str, int]:
    """The last step of each kind that was sent; nothing where it cannot be read."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, int)} if isinstance(found, dict) else {}
