"""`thresholds.json` beside a run's weights: from which score on its answers are worth showing.

A run measures them with its best weights, and `seem-train evaluate` anew; `seem-train predict` and the demo
take them where none are given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from seem_data.common.files import write_json
from seem_train.errors import UserError
from seem_train.metrics.thresholds import BestThreshold

THRESHOLDS = "thresholds.json"
KINDS = ("things", "phrases")


@dataclass(frozen=True)
class MinScores:
    """Least scores worth showing; None where nothing was measured."""

    things: float | None = None  #: of instances
    phrases: float | None = None  #: of what a text is taken to mean


def write_thresholds(folder: Path, found: Mapping[str, BestThreshold], where: Mapping[str, object]) -> None:
    """
    Args:
        found: by one of `KINDS`; kinds that were not measured this time are kept as they were.
        where: what they were measured on.

    Raises:
        UserError: the folder cannot be written to, or holds a damaged file of that name.
    """
    rows = _read(folder) | {kind: asdict(best) | dict(where) for kind, best in found.items()}
    try:
        write_json(folder / THRESHOLDS, rows)
    except OSError as error:
        raise UserError(f"{folder / THRESHOLDS}: cannot be written ({error.strerror})") from None


def read_thresholds(folder: Path | None) -> MinScores:
    """Of an adapter folder; none of None.

    Raises:
        UserError: the file is damaged.
    """
    rows = {} if folder is None else _read(folder)
    scores: dict[str, float] = {}
    for kind in KINDS:
        row = rows.get(kind)
        score = row.get("score") if isinstance(row, dict) else None
        if isinstance(score, int | float) and 0 <= score <= 1:
            scores[kind] = float(score)
        elif row is not None:
            raise _damaged(folder)
    return MinScores(**scores)


def _read(folder: Path) -> dict[str, object]:
    try:
        rows = json.loads((folder / THRESHOLDS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError):
        raise _damaged(folder) from None
    if not isinstance(rows, dict):
        raise _damaged(folder)
    return rows


def _damaged(folder: Path | None) -> UserError:
    file = (folder or Path()) / THRESHOLDS
    return UserError(f"{file}: is damaged; delete it, and seem-train evaluate writes it again")
