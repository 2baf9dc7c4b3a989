"""`seem_train.export`: a model to take away, as a file of plain weights or as a folder of graphs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from seem_train.exporting.export import Check, export_graphs, export_weights
from seem_train.exporting.target import Format, check_target
from seem_train.model.seem import SEEM
from seem_train.prediction.predictor import Predictor
from seem_train.prediction.vocabulary import CategoriesLike, Category
from seem_train.weights.opening import open_model


@dataclass(frozen=True)
class ExportResult:
    """What was written, and what its file or folder is used with."""

    out: Path
    categories: tuple[Category, ...]
    size: int  #: shorter side of photos in pixels
    is_tuned: bool  #: from a run, whose names and size plain weights do not know
    checks: list[Check] = field(default_factory=list)  #: of each graph, beside the model; none of weights


def export(
    model: SEEM | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    merge: bool = False,
    format: Format = "onnx",
    preset: str | None = None,
    categories: CategoriesLike | None = None,
    size: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> ExportResult:
    """Write plain weights under the official names, or image encoder and prompt decoder as graphs.

    Args:
        model: a run or adapter folder, a file of weights, the name of a model, or a model on the CPU, which
            is changed where LoRA is folded in.
        out: a .safetensors or .pt file for weights; a folder, without a dot in its name, for graphs.
        merge: weights: fold LoRA into the weights it belongs to.
        format: graphs: "onnx", or "pt2" (a program of torch.export).
        preset: model of a weights file that does not tell.
        categories, size: graphs: names, and the shorter side of photos; default: the run's, else COCO's 133
            and 800.
        progress: called with the name of each graph before it is made, which takes a minute.

    Raises:
        UserError: the model cannot be opened or exported, or nothing be written there.

    >>> exported = export("runs/kitchen", "tuned.safetensors", merge=True)
    >>> exported.out.name, exported.size, [category.name for category in exported.categories]
    ('tuned.safetensors', 64, ['mug', 'plate', 'table'])
    """
    target = Path(out)
    check_target(target, format)
    opened = None if isinstance(model, SEEM) else open_model(str(model), preset)
    taken = opened.model if opened is not None else model
    assert isinstance(taken, SEEM)
    habits = Predictor(taken, categories, size=size)
    checks: list[Check] = []
    if target.suffix:
        export_weights(taken, target, merge)
    else:
        checks = export_graphs(taken, target, habits.categories, habits.scale, format, progress)
    is_tuned = opened is not None and opened.folder is not None
    return ExportResult(target, habits.categories, habits.scale.short, is_tuned, checks)
