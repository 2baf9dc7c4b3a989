"""The keyword options of `finetune`, for editors and type checkers; `config` says what each means.

A test holds both lists together.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

from seem_train.config import EvalTask, Metric, ModelPart, Task


class FinetuneOptions(TypedDict, total=False):
    """Settings of a run by their names; what is left out keeps its default."""

    train_split: str
    val_split: str
    tasks: Sequence[Task]
    size: int
    limit: int | None
    min_scale: float
    max_scale: float
    flip: float
    color: float
    repeat_rare: float
    template: Literal["drawn", "mean"]
    prompts: int
    phrases: int
    refine_rounds: int
    max_pixels: int
    workers: int | None
    preset: str | None
    weights: str | Path | None
    trunk: str | None
    trunk_weights: str | Path
    strategy: str
    rank: int | None
    backbone_stages: Sequence[int]
    freeze: Sequence[ModelPart]
    unfreeze: Sequence[ModelPart]
    lr: float
    weight_decay: float
    backbone_lr: float
    language_lr: float
    betas: Sequence[float]
    decay_rule: Literal["matrices", "original"]
    warmup_steps: int
    milestones: Sequence[float]
    clip: float
    points: int
    ema: bool
    ema_decay: float
    out: str | Path | None
    epochs: float | None
    steps: int | None
    max_time: str | None
    batch: int | Literal["auto"]
    global_batch: int
    precision: Literal["auto", "fp32", "bf16", "fp16"]
    device: Literal["auto", "cpu", "cuda", "mps"]
    devices: int
    seed: int
    deterministic: bool
    compile: bool
    checkpointing: bool
    resume: str | Path
    eval_every: float | None
    most_evaluations: int
    eval_tasks: Sequence[EvalTask]
    eval_size: int | None
    eval_limit: int | None
    zero_shot: bool
    save_minutes: float
    save_steps: int | None
    log_every: int
    previews: int
    best: Metric
    patience: int | None
    least_steps: int
    wandb: bool
    tensorboard: bool
