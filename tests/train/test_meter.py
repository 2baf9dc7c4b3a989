"""The changing line of a run: its bar counts what the words before it count."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from seem_train.runtime import Runtime
from seem_train.settings import from_settings
from seem_train.training.checkpoint import Progress
from seem_train.training.meter import BAR, Meter
from seem_train.training.reporting.loggers import Log


@dataclass
class Metered:
    """A run of 80 steps, 16 an epoch."""

    step: int
    max_time: str | None = None
    seconds: float = 0.0
    total_steps: int = 80
    steps_per_epoch: float = 16.0
    runtime: Runtime = field(default_factory=lambda: Runtime(torch.device("cpu")))
    log: Log = field(default_factory=lambda: Log(stream=io.StringIO()))

    def __post_init__(self) -> None:
        self.config = from_settings({"run.max_time": self.max_time} if self.max_time else {})
        self.progress = Progress(step=self.step)

    def time_share(self) -> float:
        return self.seconds / 60 if self.max_time else 0.0


@pytest.mark.parametrize(
    ("step", "epoch", "share"), [(0, 0.0, 0), (8, 0.5, 10), (40, 2.5, 50), (80, 5.0, 100)]
)
def test_the_bar_is_the_share_of_the_epochs_that_are_done(step: int, epoch: float, share: int) -> None:
    run: Any = Metered(step)
    line = Meter(run).line()
    assert line.startswith(f"epoch {epoch}/5 ") and f" {share}%" in line.replace("  ", " ")
    assert len(re.findall("━", line)) == round(BAR * step / 80)


def test_the_bar_is_the_share_of_the_time_where_that_ends_first() -> None:
    run: Any = Metered(8, "1m", seconds=30.0)
    line = Meter(run).line()
    assert line.startswith("30s/1m") and " 50%" in line and line.count("━") == BAR // 2
    run = Metered(60, "1m", seconds=15.0)
    assert Meter(run).line().startswith("epoch 3.8/5 ")
