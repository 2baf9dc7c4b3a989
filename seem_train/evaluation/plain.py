"""Scores as plain data for tables and JSON: None where there was nothing to measure.

The metrics themselves keep the values of the tools that they equal: 0 of panopticapi, −1 of pycocotools.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from seem_train.metrics import (
    GroundingResult,
    InstanceResult,
    InteractiveResult,
    PanopticScores,
    SemanticResult,
)
from seem_train.metrics.panoptic import QualityScore

Score: TypeAlias = PanopticScores | SemanticResult | InstanceResult | GroundingResult | InteractiveResult
Plain: TypeAlias = dict[str, Any]  #: of JSON


def plain(score: Score) -> Plain:
    """All numbers of a task."""
    if isinstance(score, PanopticScores):
        return score.as_dict() | {
            "all": _quality(score.all),
            "things": _quality(score.things),
            "stuff": _quality(score.stuff),
            "per_class": {id_: _quality(quality) for id_, quality in score.per_class.items()},
        }
    if isinstance(score, SemanticResult):
        seen = any(value is not None for value in score.recall)
        return score.as_dict() if seen else _without(score.as_dict(), lambda name: name != "images")
    if isinstance(score, InstanceResult):
        return {name: _defined(value) for name, value in score.as_dict().items()}
    if isinstance(score, GroundingResult):
        return score.as_dict() if score.phrases else _without(score.as_dict(), lambda name: name != "phrases")
    counted = ("failures", "objects", "max_clicks")
    return score.as_dict() if score.objects else _without(score.as_dict(), lambda name: name not in counted)


def _quality(quality: QualityScore) -> Plain:
    row = quality.as_dict()
    return row if quality.categories else _without(row, lambda name: name != "categories")


def _without(numbers: Plain, undefined: Callable[[str], bool]) -> Plain:
    """With None for every number of those names."""
    return {name: _nothing(value) if undefined(name) else value for name, value in numbers.items()}


def _nothing(value: object) -> object:
    if isinstance(value, dict):
        return {name: _nothing(inner) for name, inner in value.items()}
    return [_nothing(inner) for inner in value] if isinstance(value, list) else None


def _defined(value: object) -> object:
    """With None for pycocotools' −1."""
    if isinstance(value, dict):
        return {name: _defined(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and value < 0 else value
