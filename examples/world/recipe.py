"""The recipe of a pretraining: what a step sees and how it learns."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stage:
    """So many steps at one size of picture; `trunk`: times the learning rate, 0 freezes it."""

    steps: int
    side: int
    batch: int
    lr: float
    trunk: float = 0.0
    last_lr: float | None = None  #: the rate falls to it along a line; None: it stays


@dataclass(frozen=True)
class Recipe:
    model: str
    stages: tuple[Stage, ...]
    seed: int = 0
    warmup: int = 100
    objects: int = 6  #: prompted objects of a scene
    phrases: int = 6
    rounds: int = 2  #: of corrections before a step's loss, at most
    strokes: dict[str, float] = field(default_factory=lambda: {"click": 1.0})
    objects_weight: tuple[float, float, float] = (2.0, 5.0, 5.0)  #: cross entropy, BCE, dice
    grounding_weight: tuple[float, float, float] = (0.4, 1.0, 1.0)
    spatial_weight: tuple[float, float, float] = (0.4, 1.0, 1.0)
    points: int = 512
    ema: float = 0.998
    aliases: float = 0.5  #: how often a category is called by another of its names
    save_minutes: float = 4.0
    workers: int = 1

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> tuple[Stage, int]:
        """The stage of a step, and the step's number in it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError(step)
