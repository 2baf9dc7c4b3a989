"""Fine-tuning, readable top to bottom: what is learned from what, the loop, what comes out.

`finetune` is the public function, ``seem-train run`` the command; both end in `train`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from seem_train import files, settings
from seem_train.config import Config, fields
from seem_train.data.augment import AugmentConfig
from seem_train.data.batch import Batch, TrainingSet, training_batches
from seem_train.data.sampler import StepSampler
from seem_train.data.strokes import StrokeConfig
from seem_train.errors import UserError
from seem_train.losses.criterion import NonFiniteLoss
from seem_train.losses.targets import LossCounts
from seem_train.runtime import Runtime, Stop, start
from seem_train.training import checkpoint, optim, run_folder, summary
from seem_train.training.loggers import Log
from seem_train.training.meter import Meter
from seem_train.training.run_evaluation import Interrupted
from seem_train.training.run_folder import Place
from seem_train.training.session import Session, prepare
from seem_train.training.step import StepDraws


@dataclass(frozen=True)
class Run:
    """What came out of a run."""

    folder: Path
    steps: int
    finished: bool
    status: int  #: exit status: 0, or why it stopped before the end (75: start it again, 130: Ctrl-C)
    zero_shot: dict[str, float | None]
    metrics: dict[str, float | None]  #: of the best weights

    @property
    def best(self) -> Path:
        """The adapter folder with the best weights; `load_model` opens it."""
        return self.folder / run_folder.BEST


def finetune(dataset: str | Path, **options: Any) -> Run:
    """Fine-tune a model on a dataset folder that ``seem-data build`` wrote.

    Args:
        dataset: the folder.
        options: settings by their names in the configuration: ``weights="seem_focall_v1.pt"``,
            ``strategy="head-adapter"``, ``epochs=20``, ``lr=1e-4``, ``out="runs/kitchen"``; or
            with their section (``**{"strategy.rank": 32}``).

    Raises:
        UserError: anything a user can mend, in one sentence each.
    """
    names: dict[str, list[str]] = {"strategy": ["strategy.name"]}
    for section, item, _ in fields():
        names.setdefault(item.name, []).append(f"{section}.{item.name}")
    chosen: dict[str, Any] = {"data.dataset": str(dataset)}
    for name, value in options.items():
        keys = [name] if "." in name else names.get(name, [])
        if len(keys) != 1:
            close = difflib.get_close_matches(name, names, 1)
            raise UserError(
                f"finetune: unknown option {name!r}." + (f" Did you mean {close[0]!r}?" if close else "")
            )
        chosen[keys[0]] = str(value) if isinstance(value, Path) else value
    return run(settings.from_settings(chosen))


def run(config: Config, *, as_json: bool = False, dry_run: bool = False) -> Run:
    """Train in this process (one of several where torchrun or `--devices` started it)."""
    options = config.run
    with start(options.device, options.precision, options.deterministic) as runtime, Stop() as stop:
        place: Place = runtime.broadcast(run_folder.choose(config) if runtime.is_main else None)
        with Log(
            None if dry_run else place.folder,
            quiet=not runtime.is_main,
            as_json=as_json,
            tensorboard=options.tensorboard and not dry_run,
            wandb=options.wandb and not dry_run,
            settings=settings.to_dict(config),
        ) as log:
            try:
                return train(config, place, runtime, stop, log, dry_run)
            except UserError:
                if not runtime.is_main:
                    time.sleep(2.0)  # what all processes find, the main one tells
                raise


# The run. ---------------------------------------------------------------------------------------------


def train(config: Config, place: Place, runtime: Runtime, stop: Stop, log: Log, dry_run: bool = False) -> Run:
    session = prepare(config, place, runtime, log)
    log.say(summary.opening(session))
    if dry_run:
        return Run(place.folder, 0, False, 0, {}, {})
    if place.resume is not None:
        restore(session, checkpoint.load(place.resume))
    if runtime.is_main:
        files.write_text(place.folder / run_folder.CONFIG, settings.to_yaml(config))
        files.write_json(place.folder / "environment.json", summary.environment(session))
    progress = session.progress
    if progress.step >= session.total_steps and progress.evaluated == progress.step:
        log.say(f"{place.folder} is finished; raise --epochs or --steps to go on, or choose another --out")
        return outcome(session, 0)
    if place.resume is not None:
        log.say(f"Resumed  step {progress.step:,} of {session.total_steps:,} from {place.resume}")
    try:
        teach(session, stop)
    except Interrupted:
        log.say(f"Interrupted in the evaluation at step {progress.step:,}; what was learned is saved")
    except (RuntimeError, MemoryError) as error:
        reason = summary.explain(session, error)
        if reason is None:
            raise
        raise UserError(reason) from None
    if stop.signal is not None:
        last = place.folder / run_folder.LAST
        log.say(f"Saved  {last} at step {progress.step:,} · the same command continues")
        return outcome(session, stop.status)
    if runtime.is_main:
        session.examiner.finish(session)
    return outcome(session, 0)


def teach(session: Session, stop: Stop) -> None:
    """From where the run is to its end, or until a signal comes; either way last/ is as far as it got.

    Raises:
        Interrupted: the signal came during an evaluation.
    """
    config, progress = session.config, session.progress
    if progress.step == 0 and progress.evaluated < 0 and config.run.zero_shot:
        examine(session, stop, "zero-shot")
    if progress.evaluated < progress.step and evaluation_due(session):
        examine(session, stop, "epoch")  # a signal had come in the middle of it
    module: nn.Module = session.step_module
    if session.runtime.world > 1:
        # Said of depthwise convolutions, whose gradients may have either of two equal layouts.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        # Newer torch has another name for it, which older ones do not know.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        module = DistributedDataParallel(module, broadcast_buffers=False, gradient_as_bucket_view=True)
    loop(session, module, stop)
    save(session, final=True)
    if stop.signal is None and progress.evaluated != progress.step:
        examine(session, stop, "final")
        save(session, final=True)


def loop(session: Session, module: nn.Module, stop: Stop) -> None:
    """Optimizer steps until the last one, the end of the allotted time, or a signal."""
    config, progress = session.config, session.progress
    meter = Meter(session)
    saved = time.monotonic()
    for batches in steps_of_batches(session):
        meter.waited()
        divisors, share, stopping = agree(session, [session.step_module.count(b) for b in batches], stop)
        if stopping or share >= 1.0:
            break
        factor = optim.lr_factor(
            progress.step, session.total_steps, config.optim.milestones, config.optim.warmup_steps, share
        )
        rate = optim.set_lr(session.optimizer, factor)
        loss, parts, norm = step(session, module, batches, divisors)
        progress.step += 1
        if session.ema is not None:
            session.ema.update(session.trained, progress.step)
        meter.stepped(loss, parts, norm, rate)
        if evaluation_due(session):
            meter.flush()
            save(session)
            examine(session, stop, "epoch")
            saved = time.monotonic()
            save(session)
            meter.restart()
        elif save_due(config, progress.step, saved):
            saved = time.monotonic()
            save(session)
    meter.flush()


def steps_of_batches(session: Session) -> Iterator[list[Batch]]:
    """The micro-batches of each remaining step, already on the device; read ahead by workers."""
    config, runtime = session.config, session.runtime
    sampler = StepSampler(
        session.order,
        config.run.global_batch,
        session.micro_batch,
        session.progress.step,
        session.total_steps,
        runtime.rank,
        runtime.world,
    )
    examples = TrainingSet(
        session.train_set,
        AugmentConfig(
            size=config.data.size,
            scale=(config.data.min_scale, config.data.max_scale),
            flip=config.data.flip,
            color=config.data.color,
        ),
        StrokeConfig(objects=config.data.prompts),
        config.run.seed,
        phrases=config.data.phrases,
    )
    workers = summary.workers(config, runtime.world)
    batches = training_batches(examples, sampler, workers, pin_memory=runtime.device.type == "cuda")
    while micro := [batch.to(runtime.device) for batch in islice(batches, sampler.micro_batches)]:
        yield micro


def agree(session: Session, counts: list[LossCounts], stop: Stop) -> tuple[LossCounts, float, bool]:
    """What all processes must know of a step, in one exchange: divisors, time passed, whether to stop.

    DDP averages gradients over processes, so the divisors are those of the whole step over their number.
    """
    runtime = session.runtime
    mine = sum(counts[1:], counts[0]).as_tuple()
    share = session.time_share() if runtime.is_main else 0.0
    *totals, share, stopping = runtime.sum([*mine, share, float(stop.signal is not None)])
    return LossCounts(*totals).over(runtime.world), share, stopping > 0


def step(
    session: Session, module: nn.Module, batches: list[Batch], divisors: LossCounts
) -> tuple[float, dict[str, float], float]:
    """Forward and backward over the micro-batches, one update; the loss, its parts (of the final layer) and
    the gradient norm.

    Raises:
        UserError: the loss is not finite; the batch is saved.
    """
    runtime, number = session.runtime, session.progress.step
    session.optimizer.zero_grad(set_to_none=True)
    losses: list[Tensor] = []
    terms: list[dict[str, Tensor]] = []
    for place, batch in enumerate(batches):
        draws = StepDraws(session.config.run.seed, number, place * runtime.world + runtime.rank)
        last = place + 1 == len(batches)
        ddp = isinstance(module, DistributedDataParallel)
        with module.no_sync() if ddp and not last else contextlib.nullcontext():  # type: ignore[union-attr]
            try:
                loss, parts = module(batch, divisors, draws)
            except NonFiniteLoss as error:
                raise not_finite(session, batch, error.terms) from None
            session.scaler.scale(loss).backward()
        losses.append(loss.detach())
        terms.append(parts)
    session.scaler.unscale_(session.optimizer)
    norm = optim.clip_gradients(session.trained.values(), session.config.optim.clip)
    # The one copy to the host of a step, besides the matching's: every term of every layer and micro-batch.
    names = [[f"{name}_{layer}" for name in parts for layer in range(len(parts[name]))] for parts in terms]
    flat = torch.cat([norm[None], *(loss[None] for loss in losses), *(t for p in terms for t in p.values())])
    length, *numbers = flat.tolist()
    totals, rest = numbers[: len(batches)], iter(numbers[len(batches) :])
    sums: dict[str, float] = {}
    for batch, total, own in zip(batches, totals, names, strict=True):
        values = dict(zip(own, islice(rest, len(own)), strict=True))
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad or not math.isfinite(total):
            raise not_finite(session, batch, bad or ["loss"])
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + value
    if not (math.isfinite(length) or session.scaler.is_enabled()):
        raise not_finite(session, batches[-1], ["gradient"])
    session.scaler.step(session.optimizer)
    session.scaler.update()
    final = {name.removesuffix("_0"): value for name, value in sums.items() if name.endswith("_0")}
    return sum(totals), final, length


def not_finite(session: Session, batch: Batch, terms: Sequence[str]) -> UserError:
    """The error, with step, terms, learning rate and files; the batch is kept for whoever looks into it."""
    number, runtime = session.progress.step, session.runtime
    process = f"_process_{runtime.rank}" if runtime.world > 1 else ""
    file = session.place.folder / "debug" / f"step_{number}{process}.pt"
    with files.writing(file) as new:
        torch.save({"images": batch.images.cpu(), "id_maps": batch.id_maps.cpu(), "files": batch.files}, new)
    rate = max(group["lr"] for group in session.optimizer.param_groups)
    names = ", ".join(batch.files[:4]) + (" …" if len(batch.files) > 4 else "")
    found = ", ".join(terms[:4]) + (f" and {len(terms) - 4} more" if len(terms) > 4 else "")
    return UserError(
        f"the loss is not finite at step {number} ({found}; lr {rate:.3g}; {names}).\n"
        f"The batch is in {file}. Go on from the last save with a smaller --lr (in a new --out with --resume "
        f"{session.place.folder / run_folder.LAST}), or with --precision fp32."
    )


# Looking, saving, ending. -----------------------------------------------------------------------------


def evaluation_due(session: Session) -> bool:
    every, done = session.config.run.eval_every, session.progress.step
    if every <= 0 or not 0 < done < session.total_steps:
        return False
    period = every * session.steps_per_epoch
    return int(done / period) > int((done - 1) / period)


def save_due(config: Config, done: int, saved: float) -> bool:
    if config.run.save_steps is not None:
        return done % config.run.save_steps == 0
    return time.monotonic() - saved > 60 * config.run.save_minutes


def examine(session: Session, stop: Stop, moment: str) -> None:
    """Evaluate, tell the result, keep the best weights."""
    progress, runtime = session.progress, session.runtime
    session.log.end_progress()
    with averaged(session):
        result = session.examiner.evaluate(session.model, runtime, stop, thorough=moment != "epoch")
        headline = result.headline()
        progress.evaluated, progress.latest = progress.step, headline
        if moment == "zero-shot":
            progress.zero_shot = headline
        score = summary.score_of(headline, session.config.run.best)
        better = progress.best is None or (score is not None and score > progress.best)
        if better:
            progress.best, progress.best_step = score, progress.step
        if runtime.is_main:
            session.examiner.write(session, result, moment, better)
            if better:
                session.examiner.keep(session, headline)
    runtime.barrier()


@contextlib.contextmanager
def averaged(session: Session) -> Iterator[None]:
    """The running average in the place of the weights, where there is one."""
    if session.ema is not None:
        session.ema.swap(session.trained)
    try:
        yield
    finally:
        if session.ema is not None:
            session.ema.swap(session.trained)


def save(session: Session, final: bool = False) -> None:
    """Write last/. A full disk is a warning while there is time to make room, an error at the end."""
    if not session.runtime.is_main:
        return
    progress = dataclasses.replace(session.progress, seconds=session.seconds)
    state = {
        "progress": dataclasses.asdict(progress),
        "optimizer": session.optimizer.state_dict(),
        "scaler": session.scaler.state_dict(),
        "ema": session.ema.average if session.ema is not None else None,
    }
    folder = session.place.folder / run_folder.LAST
    try:
        checkpoint.save(folder, session.trained, state, summary.manifest(session))
    except OSError as error:
        kept = checkpoint.find(folder)
        before = (
            f"the checkpoint of step {checkpoint.load(kept).progress.step} is still there" if kept else ""
        )
        message = (
            f"{folder}: cannot be saved ({error.strerror or error}); {before or 'nothing was saved yet'}"
        )
        if final:
            raise UserError(f"{message}. Make room and give the same command again.") from None
        session.log.say(f"warning: {message}. Will try again.", style="yellow")


def restore(session: Session, found: checkpoint.Checkpoint) -> None:
    """Put a checkpoint's weights, optimizer and counters in place."""
    checkpoint.restore_tensors(session.trained, found)
    session.optimizer.load_state_dict(found.state["optimizer"])
    session.scaler.load_state_dict(found.state["scaler"])
    if session.ema is not None and found.state["ema"] is not None:
        session.ema.average = {n: t.to(session.runtime.device) for n, t in found.state["ema"].items()}
    session.progress = found.progress
    session.began = time.monotonic()
    session.log.resume(found.progress.step)


def outcome(session: Session, status: int) -> Run:
    progress = session.progress
    finished = progress.step >= session.total_steps or session.time_share() >= 1.0
    report = run_folder.read_summary(session.place.folder)
    return Run(
        session.place.folder,
        progress.step,
        finished and status == 0,
        status,
        progress.zero_shot,
        report.get("best", {}),
    )
