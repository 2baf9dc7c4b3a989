"""Scores as plain data for tables and JSON: None where there was nothing to measure.

The metrics themselves keep the values of the tools that they equal: 0 of panopticapi, −1 of pycocotools.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, TypeAlias

from seem_train.metrics import (
    GroundingResult,
    InstanceResult,
    InteractiveResult,
    PanopticScores,
    SemanticResult,
)

Score: TypeAlias = PanopticScores | SemanticResult | InstanceResult | GroundingResult | InteractiveResult
Plain: TypeAlias = dict[str, Any]  #: of JSON


def plain(score: Score) -> Plain:
    """All numbers of a task."""
    numbers = asdict(score)
    if isinstance(score, PanopticScores):
        means = {name: _quality(numbers[name]) for name in ("all", "things", "stuff")}
        return numbers | means | {"per_class": {i: _quality(row) for i, row in numbers["per_class"].items()}}
    if isinstance(score, InstanceResult):
        return {name: _defined(value) for name, value in numbers.items()}
    if isinstance(score, SemanticResult):
        return numbers if any(value is not None for value in score.recall) else _only(numbers, "images")
    if isinstance(score, GroundingResult):
        return numbers if score.phrases else _only(numbers, "phrases")
    return numbers if score.objects else _only(numbers, "failures", "objects", "max_clicks")


def _quality(row: Plain) -> Plain:
    return row if row["categories"] else _only(row, "categories")


def _only(numbers: Plain, *counts: str) -> Plain:
    """Where there was nothing to measure: None for every number that is no count."""
    return {name: value if name in counts else _nothing(value) for name, value in numbers.items()}


def _nothing(value: object) -> object:
    if isinstance(value, dict):
        return {name: _nothing(inner) for name, inner in value.items()}
    return [_nothing(inner) for inner in value] if isinstance(value, list) else None


def _defined(value: object) -> object:
    """With None for pycocotools' −1."""
    if isinstance(value, dict):
        return {name: _defined(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and value < 0 else value
