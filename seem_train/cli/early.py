"""What can be told at once, before torch is imported, which takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seem_data.layout import Dataset
from seem_train.errors import UserError, told_by_data
from seem_train.weights.checkpoints import find_weights
from seem_train.weights.presets import PRESETS


def check_all(*checks: Callable[[], object]) -> None:
    """Raises UserError: with what all the checks found."""
    found = []
    for check in checks:
        try:
            check()
        except UserError as error:
            found.append(str(error))
    if found:
        raise UserError("\n".join(found))


def check_model(named: str) -> None:
    """What is named must be a file, a folder, or a model of that name.

    Raises:
        UserError: there is no such thing.
    """
    if not Path(named).expanduser().exists() and named not in PRESETS:
        find_weights(named)


def check_dataset(folder: Path, split: str) -> None:
    """Raises UserError: it is no dataset, or has no such split."""
    with told_by_data():
        Dataset(folder).split(split)
