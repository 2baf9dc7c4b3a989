"""What a run is made of: data, weights, strategy and optimizer, built and checked before the first step."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from seem_data.common.files import sha256_file
from seem_train.adapters import freezing, strategies
from seem_train.adapters.layers import Placement
from seem_train.config import EPOCHS, Config, DataConfig, seconds
from seem_train.data.dataset import SegmentationSet
from seem_train.data.sampler import Order
from seem_train.errors import UserError
from seem_train.losses.criterion import Criterion, LossConfig, TaskWeights
from seem_train.losses.points import RandomPoints
from seem_train.model.seem import SEEM
from seem_train.runtime import Runtime
from seem_train.training import memory, optim, run_folder
from seem_train.training.checkpoint import Progress
from seem_train.training.reporting.loggers import Log
from seem_train.training.run_folder import Place
from seem_train.training.step import TrainingStep
from seem_train.weights.official import load_official
from seem_train.weights.opening import StartingWeights, open_start
from seem_train.weights.tensor_files import read_tensors


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
    val_set: SegmentationSet | None
    model: SEEM
    step_module: TrainingStep
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # pyright: ignore[reportPrivateImportUsage]
    order: Order
    micro_batch: int
    total_steps: int
    trained: dict[str, nn.Parameter]
    ema: optim.Ema | None
    data_sha256: dict[str, str]  #: of the dataset's files, in the main process
    progress: Progress = field(default_factory=Progress)
    began: float = field(default_factory=time.monotonic)

    @property
    def steps_per_epoch(self) -> float:
        return self.order.images_per_epoch / self.config.run.global_batch

    @property
    def seconds(self) -> float:
        """In the run so far, over all restarts."""
        return self.progress.seconds + time.monotonic() - self.began

    @property
    def finished(self) -> bool:
        return self.progress.step >= self.total_steps or bool(self.progress.ended)

    def time_share(self) -> float:
        """How much of ``--max-time`` has passed."""
        allotted = self.config.run.max_time
        return self.seconds / seconds(allotted) if allotted else 0.0


def prepare(
    config: Config, place: Place, runtime: Runtime, log: Log, saved: Collection[str] | None = None
) -> Session:
    """Check the data, load the weights, put the strategy in place, build what the loop needs.

    Args:
        saved: names of the tensors in the checkpoint that the run goes on from.
    """
    data = config.data
    train_set = SegmentationSet(data.dataset, data.train_split, data.max_pixels)
    val_set = val_set_of(config)
    train_set.images = train_set.images[: data.limit]
    source = _open(config, place)
    model = source.model
    if runtime.is_main and source.base is None and log.folder is not None:
        run_folder.keep_base(log.folder, model)  # before adapters are part of it
    name = "full" if source.whole else config.strategy.name
    strategy = strategies.find(name, config.strategy.freeze, config.strategy.unfreeze)
    placement = freezing.placement(strategy, config.strategy.rank, config.strategy.backbone_stages)
    if saved is not None:
        placement = freezing.as_begun(placement, saved)
    torch.manual_seed(config.run.seed)  # the same fresh adapters in every process
    declared = freezing.apply(model, strategy, placement, data.tasks)
    model.to(runtime.device)
    model.backbone.checkpointing = config.run.checkpointing
    if config.run.compile:
        model.backbone.compile()
        model.pixel_decoder.compile()
    chosen = config.optim
    rates = {"backbone": chosen.backbone_lr, "language": chosen.language_lr}
    groups = optim.parameter_groups(model, chosen.lr, chosen.weight_decay, rates, chosen.decay_rule)
    freezing.check_trainable(model, declared, [name for group in groups for name in group["names"]])
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    mean = data.template == "mean"
    step = TrainingStep(
        model, criterion(config), train_set.names, data.tasks, data.refine_rounds, runtime.autocast, mean
    )
    repeats = train_set.repeat_factors(data.repeat_rare) if data.repeat_rare else None
    order = Order(len(train_set), config.run.seed, repeats)
    return Session(
        config=config,
        place=place,
        runtime=runtime,
        log=log,
        source=source,
        strategy=strategy,
        placement=placement,
        train_set=train_set,
        val_set=val_set,
        model=model,
        step_module=step,
        optimizer=optim.build_optimizer(groups, chosen.betas),
        scaler=torch.amp.GradScaler(runtime.device.type, enabled=runtime.precision == "fp16"),  # pyright: ignore[reportPrivateImportUsage]
        order=order,
        micro_batch=memory.micro_batch(model, config, runtime),
        total_steps=steps_of(config, order.images_per_epoch / config.run.global_batch),
        trained=trained,
        ema=optim.Ema(trained, chosen.ema_decay) if chosen.ema else None,
        data_sha256=fingerprints(train_set, val_set) if runtime.is_main and log.folder is not None else {},
    )


def _open(config: Config, place: Place) -> StartingWeights:
    """The weights a run starts from; where they are random, those that it started from before."""
    chosen = config.model
    source = open_start(chosen.preset, chosen.weights, config.run.seed, chosen.trunk, chosen.trunk_weights)
    if source.model.config.decoder.mode != "v1":
        raise UserError(f"{source.preset}: the demo model cannot be trained; use focal-l or another v1 model")
    kept = place.folder / run_folder.BASE
    if source.base is None and place.resume is not None and kept.is_file():
        # Another version may draw other random weights.
        load_official(source.model, read_tensors(kept), str(kept))
    return source


def steps_of(config: Config, per_epoch: float) -> int:
    """How many optimizer steps a run has, `per_epoch` of them in an epoch.

    Where nobody says, the original's 50 epochs, but not fewer than `run.least_steps`: 50 epochs of 5 photos
    are 16 steps, in which nothing is learned. Measured with two images a step: adapters on 6 photographs know
    them after 100, 300, 1,000 steps with PQ 1, 4, 13 (2,000: 21, twice the time for it); a model that is
    trained whole on 20 rendered scenes finds others after 100, 300, 700 steps with PQ 33, 45, 49, and hardly
    gains after 400.
    """
    run = config.run
    if run.steps is not None:
        return run.steps
    if run.epochs is not None:
        return max(1, math.ceil(run.epochs * per_epoch))
    return max(1, run.least_steps, math.ceil(EPOCHS * per_epoch))


def val_set_of(config: Config) -> SegmentationSet | None:
    """The split to evaluate on; None where the dataset was built without one, and none was asked for by name.

    Raises:
        UserError: it cannot be used.
    """
    data = config.data
    default = DataConfig.val_split
    if data.val_split == default and not (Path(data.dataset) / default / "panoptic.json").exists():
        return None
    return SegmentationSet(data.dataset, data.val_split, data.max_pixels)


def fingerprints(*sets: SegmentationSet | None) -> dict[str, str]:
    """SHA-256 of the files that say what is learned and measured, by their names inside the dataset."""
    found: dict[str, str] = {}
    for images in sets:
        if images is None:
            continue
        root = images.split.root
        for file in (root.parent / "categories.json", root / "panoptic.json", root / "grounding.json"):
            if file.is_file():
                found[str(file.relative_to(root.parent))] = sha256_file(file)
    return found


def criterion(config: Config) -> Criterion:
    """The original's losses; without the panoptic task the object queries are not taught."""
    losses = LossConfig() if "panoptic" in config.data.tasks else LossConfig(objects=TaskWeights(0, 0, 0))
    return Criterion(losses, RandomPoints(points=config.optim.points))
