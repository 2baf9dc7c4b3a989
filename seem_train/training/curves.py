"""curves.png: how loss, learning rate and metrics went, from the rows of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seem_train.files import writing

LOSSES = ("loss", "loss_mask_ce", "loss_mask_bce", "loss_mask_dice", "loss_grounding_ce", "loss_spatial_ce")
METRICS = ("PQ", "mIoU", "AP", "cIoU", "IoU@1")  #: one of each task, all in percent


def draw_curves(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Write the picture: training loss on the left, metrics of the validation split on the right."""
    from matplotlib.figure import Figure  # late: slow to import, and no global state this way

    train = [row for row in rows if row.get("split") == "train"]
    held_out = [row for row in rows if row.get("split") == "val"]
    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in LOSSES:
        points = [(row["step"], row[name]) for row in train if row.get(name) is not None]
        if points:
            left.plot(*zip(*points, strict=True), label=name, linewidth=1.8 if name == "loss" else 0.9)
    left.set(xlabel="step", ylabel="loss", yscale="log", title="training")
    for name in METRICS:
        points = [(row["step"], row[name]) for row in held_out if isinstance(row.get(name), int | float)]
        if points:
            right.plot(*zip(*points, strict=True), label=name, marker="o", markersize=3)
    right.set(xlabel="step", ylabel="%", ylim=(0, 100), title="validation (step 0: before training)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7)
    with writing(file) as new:
        figure.savefig(new, format="png", dpi=110)
