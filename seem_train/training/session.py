"""What a run is made of: data, weights, strategy and optimizer, built and checked before the first step."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from seem_train.adapters import strategies
from seem_train.adapters.layers import Placement
from seem_train.config import EPOCHS, Config, seconds
from seem_train.data.dataset import SegmentationSet
from seem_train.data.sampler import Order
from seem_train.errors import UserError
from seem_train.losses.criterion import Criterion, LossConfig, TaskWeights
from seem_train.losses.points import RandomPoints
from seem_train.runtime import Runtime
from seem_train.training import memory, optim, run_folder, summary
from seem_train.training.checkpoint import Progress
from seem_train.training.loggers import Log
from seem_train.training.run_evaluation import Examiner
from seem_train.training.run_folder import Place
from seem_train.training.step import TrainingStep
from seem_train.weights.opening import StartingWeights, open_start


@dataclass
class Session:
    """Everything the loop works with."""

    config: Config
    place: Place
    runtime: Runtime
    log: Log
    source: StartingWeights
    strategy: strategies.Strategy
    placement: Placement
    train_set: SegmentationSet
    val_set: SegmentationSet
    model: Any
    step_module: TrainingStep
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # pyright: ignore[reportPrivateImportUsage]
    order: Order
    micro_batch: int
    total_steps: int
    trained: dict[str, nn.Parameter]
    ema: optim.Ema | None
    examiner: Examiner
    progress: Progress = field(default_factory=Progress)
    began: float = field(default_factory=time.monotonic)

    @property
    def accumulation(self) -> int:
        return self.config.run.global_batch // (self.micro_batch * self.runtime.world)

    @property
    def steps_per_epoch(self) -> float:
        return summary.images_per_epoch(self.order) / self.config.run.global_batch

    @property
    def seconds(self) -> float:
        """In the run so far, over all restarts."""
        return self.progress.seconds + time.monotonic() - self.began

    def time_share(self) -> float:
        """How much of ``--max-time`` has passed."""
        allotted = self.config.run.max_time
        return self.seconds / seconds(allotted) if allotted else 0.0


def prepare(config: Config, place: Place, runtime: Runtime, log: Log) -> Session:
    """Check the data, load the weights, put the strategy in place, build what the loop needs."""
    data = config.data
    train_set = SegmentationSet(data.dataset, data.train_split)
    val_set = SegmentationSet(data.dataset, data.val_split)
    if data.limit is not None:
        train_set.images = train_set.images[: data.limit]
    source = open_start(
        config.model.preset,
        config.model.weights,
        config.run.seed,
        config.model.trunk,
        config.model.trunk_weights,
    )
    model = source.model
    if model.config.decoder.mode != "v1":
        raise UserError(f"{source.preset}: the demo model cannot be trained; use focal-l or another v1 model")
    if runtime.is_main and source.base is None and log.folder is not None:
        run_folder.keep_base(log.folder, model)
    name = "full" if source.whole else config.strategy.name
    strategy = strategies.find(name, config.strategy.freeze, config.strategy.unfreeze)
    placement = strategies.placement(strategy, config.strategy.rank, config.strategy.backbone_stages)
    torch.manual_seed(config.run.seed)  # the same fresh adapters in every process
    declared = strategies.apply(model, strategy, placement, data.tasks)
    model.to(runtime.device)
    model.backbone.set_checkpointing(config.run.checkpointing)
    if config.run.compile:
        model.backbone.compile()
        model.pixel_decoder.compile()
    multipliers = {"backbone": config.optim.backbone_lr, "language": config.optim.language_lr}
    groups = optim.parameter_groups(
        model, config.optim.lr, config.optim.weight_decay, multipliers, config.optim.decay_rule
    )
    strategies.check_trainable(model, declared, [name for group in groups for name in group["names"]])
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    repeats = train_set.repeat_factors(data.repeat_rare) if data.repeat_rare else None
    order = Order(len(train_set), config.run.seed, repeats)
    per_epoch = summary.images_per_epoch(order) / config.run.global_batch
    total = config.run.steps or max(1, math.ceil((config.run.epochs or EPOCHS) * per_epoch))
    return Session(
        config,
        place,
        runtime,
        log,
        source,
        strategy,
        placement,
        train_set,
        val_set,
        model,
        TrainingStep(
            model,
            criterion(config),
            train_set.names,
            data.tasks,
            data.refine_rounds,
            runtime.autocast,
            mean_template=data.template == "mean",
        ),
        optim.build_optimizer(groups, config.optim.betas),
        torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16"),  # pyright: ignore[reportPrivateImportUsage]
        order,
        memory.micro_batch(model, config, runtime),
        total,
        trained,
        optim.Ema(trained, config.optim.ema_decay) if config.optim.ema else None,
        Examiner(config, val_set),
    )


def criterion(config: Config) -> Criterion:
    """The original's losses; without the panoptic task the object queries are not taught."""
    losses = LossConfig()
    if "panoptic" not in config.data.tasks:
        losses = dataclasses.replace(losses, objects=TaskWeights(0.0, 0.0, 0.0))
    return Criterion(losses, RandomPoints(points=config.optim.points))
