"""curves.png: how losses, learning rate and metrics went, from the rows of metrics.jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seem_data.common.files import atomic_path

LOSSES = ("loss_mask_ce", "loss_mask_bce", "loss_mask_dice", "loss_grounding_ce", "loss_spatial_ce")
PLOTTED = ("PQ", "mIoU", "AP", "cIoU", "IoU@1")  #: one of each task, all in percent
_SMOOTH = 0.9  #: how much of the smoothed line stays at a row


def draw_curves(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Write the picture: loss, its parts, learning rate; metrics of the validation split below."""
    from matplotlib.figure import Figure  # late: slow to import, and no global state this way

    train = [row for row in rows if row.get("split") == "train"]
    held_out = [row for row in rows if row.get("split") == "val"]
    figure = Figure(figsize=(13, 8), layout="constrained")
    (total, parts), (rate, metrics) = figure.subplots(2, 2)
    steps, losses = _line(train, "loss")
    total.plot(steps, losses, linewidth=0.7, alpha=0.4, label="each row")
    total.plot(steps, smoothed(losses), linewidth=1.8, label="smoothed")
    total.set(ylabel="loss", title="training: the weighted loss of all layers")
    for name in LOSSES:
        steps, values = _line(train, name)
        if any(values):
            parts.plot(steps, smoothed(values), linewidth=1.2, label=name.removeprefix("loss_"))
    parts.set(title="its parts, of the last layer, smoothed")
    rate.plot(*_line(train, "lr"), linewidth=1.2, label="learning rate")
    rate.set(title="learning rate")
    for name in PLOTTED:
        steps, values = _line(held_out, name)
        if steps:
            metrics.plot(steps, values, label=name, marker="o", markersize=3)
    metrics.set(ylabel="%", ylim=(0, 100), title="validation (step 0: before training)")
    for axes in (total, parts, rate, metrics):
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.set_ylim(bottom=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0)
    with atomic_path(file) as new:
        figure.savefig(new, format="png", dpi=110)


def smoothed(values: Sequence[float]) -> list[float]:
    """An exponential mean that begins at the first value without leaning on it."""
    mean = weight = 0.0
    line = []
    for value in values:
        mean, weight = _SMOOTH * mean + value, _SMOOTH * weight + 1.0
        line.append(mean / weight)
    return line


def _line(rows: Sequence[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    points = [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)]
    return [step for step, _ in points], [value for _, value in points]
