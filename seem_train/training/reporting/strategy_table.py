"""The table of ``seem-train strategies``: what each does to each part, counted without weights."""

from __future__ import annotations

from typing import TypedDict

import torch

from seem_data.common.wording import table
from seem_train.adapters.freezing import apply, count, placement, trainable_share
from seem_train.adapters.strategies import STRATEGIES
from seem_train.formatting import count_text
from seem_train.model.seem import SEEM
from seem_train.weights.checkpoints import find_weights
from seem_train.weights.official import recognise
from seem_train.weights.presets import get_preset
from seem_train.weights.tensor_files import read_tensors


class PartRow(TypedDict):
    """What a strategy does to a part; parameters are counted."""

    treatment: str
    frozen: int
    adapters: int
    trained: int


class StrategyRow(TypedDict):
    strategy: str
    about: str
    model: str
    total: int
    trainable: int
    share: float
    parts: dict[str, PartRow]


def count_all(
    preset: str, weights: str | None, rank: int | None, stages: tuple[int, ...]
) -> list[StrategyRow]:
    """One row for each strategy: parameters frozen, adapted and trained per part."""
    if weights is not None:
        file = find_weights(weights)
        preset = recognise(read_tensors(file), file.name) or preset
    rows: list[StrategyRow] = []
    for strategy in STRATEGIES.values():
        with torch.device("meta"):
            model = SEEM(get_preset(preset).config)
            apply(model, strategy, placement(strategy, rank, stages))
        parts = count(model, strategy)
        rows.append(
            {
                "strategy": strategy.name,
                "about": strategy.about,
                "model": preset,
                "total": sum(part.base for part in parts),
                "trainable": sum(part.trained for part in parts),
                "share": trainable_share(parts),
                "parts": {
                    part.part: {
                        "treatment": part.treatment,
                        "frozen": part.base - part.base_trained,
                        "adapters": part.adapters,
                        "trained": part.base_trained,
                    }
                    for part in parts
                },
            }
        )
    return rows


def text(rows: list[StrategyRow]) -> str:
    """The table for people."""
    lines = [["strategy", "backbone", "pixel decoder", "text", "decoder", "trainable", ""]]
    for row in rows:
        parts = [_cell(part) for part in row["parts"].values()]
        lines.append([row["strategy"], *parts, count_text(row["trainable"]), f"{row['share']:.2%}"])
    about = "\n".join(f"  {row['strategy']}: {row['about']}" for row in rows)
    model = f"{rows[0]['model']}, {count_text(rows[0]['total'])} parameters"
    return f"{model}\n\n{table(lines, left=(0, 1, 2, 3, 4))}\n\n{about}"


def _cell(part: PartRow) -> str:
    if part["adapters"]:
        return f"{'LoRA' if part['treatment'] == 'lora' else 'adapters'} {count_text(part['adapters'])}"
    return f"trained {count_text(part['trained'])}" if part["trained"] else "frozen"
