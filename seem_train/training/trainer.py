"""Fine-tuning, readable top to bottom: what is learned from what, the loop, what comes out.

`finetune` is the public function, ``seem-train run`` the command; both end in `train`.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from seem_data.common.files import write_json, write_text
from seem_data.common.wording import did_you_mean
from seem_train import settings
from seem_train.config import Config, fields
from seem_train.data.batch import Batch, TrainingSet, training_batches
from seem_train.data.sampler import StepSampler
from seem_train.errors import UserError
from seem_train.runtime import Runtime, Stop, start
from seem_train.training import checkpoint, memory, optim, run_folder, starts, summary
from seem_train.training.finetune_options import FinetuneOptions
from seem_train.training.lock import locked
from seem_train.training.meter import Meter
from seem_train.training.reporting.loggers import Log
from seem_train.training.run_evaluation import REPORTED, Interrupted, RunEvaluation
from seem_train.training.run_folder import Place
from seem_train.training.saving import restore, save
from seem_train.training.session import Session, prepare
from seem_train.training.update import agree, update

if TYPE_CHECKING:
    from typing_extensions import Unpack


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


def finetune(dataset: str | Path, **options: Unpack[FinetuneOptions]) -> Run:
    """Fine-tune a model on a dataset folder that ``seem-data build`` wrote.

    Args:
        dataset: the folder.
        options: settings by their names in the configuration: ``weights="seem_focall_v1.pt"``,
            ``strategy="head-adapter"``, ``epochs=20``, ``lr=1e-4``, ``out="runs/kitchen"``; or
            with their section (``**{"strategy.rank": 32}``).

    Raises:
        UserError: anything a user can mend, in one sentence each.

    >>> from seem_train import finetune, load_model
    >>> run = finetune("dataset", preset="tiny", weights="random", size=64, steps=2, out="runs/first")
    seem-train ...
    >>> run.steps, run.finished, run.best
    (2, True, PosixPath('runs/first/best'))
    >>> model = load_model(run.folder)
    """
    names: dict[str, list[str]] = {"strategy": ["strategy.name"]}
    for section, item, _ in fields():
        names.setdefault(item.name, []).append(f"{section}.{item.name}")
    chosen: dict[str, Any] = {"data.dataset": str(dataset)}
    for name, value in options.items():
        keys = [name] if "." in name else names.get(name, [])
        if len(keys) != 1:
            raise UserError(f"finetune: unknown option {name!r}. {did_you_mean(name, names)}".rstrip())
        chosen[keys[0]] = str(value) if isinstance(value, Path) else value
    return run(settings.from_settings(chosen, starts.beneath))


def run(config: Config, *, as_json: bool = False, dry_run: bool = False) -> Run:
    """Train in this process (one of several where torchrun or `--devices` started it)."""
    options = config.run
    with (
        start(options.device, options.precision, options.deterministic) as runtime,
        Stop() as stop,
        contextlib.ExitStack() as held,
    ):
        place: Place | None = None
        remark = ""
        if runtime.is_main:
            place = run_folder.choose(config)
            if not dry_run:
                remark = held.enter_context(locked(place.folder))
                place = run_folder.choose(config)  # whoever held the lock may have gone on
        place = runtime.broadcast(place)
        assert place is not None
        with Log(
            None if dry_run else place.folder,
            quiet=not runtime.is_main,
            as_json=as_json,
            tensorboard=options.tensorboard,
            wandb=options.wandb,
            settings=settings.to_dict(config),
        ) as log:
            if remark:
                log.say(f"! {remark}", style="yellow")
            try:
                return train(config, place, runtime, stop, log, dry_run)
            except UserError:
                if not runtime.is_main:
                    time.sleep(2.0)  # what all processes find, the main one tells
                raise


# ── the run ────────────────────────────────────────────────────────────────────────────────────────


def train(config: Config, place: Place, runtime: Runtime, stop: Stop, log: Log, dry_run: bool = False) -> Run:
    """From the data to the closing table."""
    begun = checkpoint.load(place.resume) if place.resume is not None else None
    session = prepare(config, place, runtime, log, begun.tensors.keys() if begun else None)
    evaluation = RunEvaluation(config, session.val_set)
    log.say(opening(session, evaluation.peak_bytes(session.model)))
    if dry_run:
        return Run(place.folder, 0, False, 0, {}, {})
    meter = Meter(session)
    if begun is not None:
        restore(session, meter, begun)
        if runtime.is_main:
            checkpoint.settle(place.folder / run_folder.LAST, begun.folder)
    del begun  # as large as what is trained, thrice
    log.resume(session.progress.step, session.progress.evaluated)
    if runtime.is_main:
        write_text(place.folder / run_folder.CONFIG, settings.to_yaml(config))
        environment = summary.environment(session.source.base, session.train_set, runtime)
        write_json(place.folder / "environment.json", environment)
    progress = session.progress
    if session.finished and (evaluation.val_set is None or progress.evaluated == progress.step):
        log.say(f"{place.folder} is finished; raise --epochs or --steps to go on, or choose another --out")
        return outcome(session, 0)
    if place.resume is not None:
        log.say(f"Resumed  step {progress.step:,} of {session.total_steps:,} from {place.resume}")
    try:
        teach(session, evaluation, meter, stop)
    except Interrupted:
        log.say(f"Interrupted in the evaluation at step {progress.step:,}; what was learned is saved")
    except (RuntimeError, MemoryError) as error:
        reason = summary.explain(error, config, session.micro_batch)
        if reason is None:
            raise
        raise UserError(reason) from None
    if stop.signal is not None:
        last = place.folder / run_folder.LAST
        log.say(f"Saved  {last} at step {progress.step:,} · the same command continues")
        return outcome(session, stop.status)
    if runtime.is_main:
        with averaged(session):
            evaluation.finish(session)
    return outcome(session, 0)


def opening(session: Session, evaluation_bytes: int) -> str:
    """Everything a user should see before the first step."""
    config, runtime, model, train_set = session.config, session.runtime, session.model, session.train_set
    groups = session.optimizer.param_groups
    step_bytes = memory.estimate(model, session.micro_batch, config.data.size, runtime.precision)
    length = session.micro_batch, session.steps_per_epoch, session.total_steps
    source = session.source
    defaults = starts.said(config, source.whole, source.base.path if source.base else "")
    parts = [
        summary.heading(runtime, config.run.seed),
        "",
        summary.data(train_set, session.val_set, model.config.decoder.queries),
        summary.weights(source, train_set.names, defaults),
        summary.freeze_table(model, session.strategy, session.placement, groups, config.optim.lr),
        summary.plan(config, runtime, *length, step_bytes, evaluation_bytes),
        f"Run      {session.place.folder}     (the same command continues it)",
        "",
    ]
    return "\n".join(parts)


def teach(session: Session, evaluation: RunEvaluation, meter: Meter, stop: Stop) -> None:
    """From where the run is to its end, or until a signal comes; either way last/ is as far as it got.

    Raises:
        Interrupted: the signal came during an evaluation.
    """
    config, progress = session.config, session.progress
    if progress.step == 0 and progress.evaluated < 0 and config.run.zero_shot:
        examine(session, evaluation, stop, "zero-shot")
    if progress.evaluated < progress.step and evaluation_due(session):
        examine(session, evaluation, stop, "epoch")  # a signal had come in the middle of it
    module: nn.Module = session.step_module
    if session.runtime.world > 1:
        # Said of depthwise convolutions, whose gradients may have either of two equal layouts.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        # Newer torch has another name for it, which older ones do not know.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        module = DistributedDataParallel(module, broadcast_buffers=False, gradient_as_bucket_view=True)
    loop(session, evaluation, meter, module, stop)
    save(session, meter, final=True)
    if stop.signal is None and progress.evaluated != progress.step:
        examine(session, evaluation, stop, "final")
        save(session, meter, final=True)


def loop(session: Session, evaluation: RunEvaluation, meter: Meter, module: nn.Module, stop: Stop) -> None:
    """Optimizer steps until the last one, the end of the allotted time, or a signal."""
    config, progress = session.config, session.progress
    saved, saved_step = time.monotonic(), progress.step
    meter.go_on()
    for batches in steps_of_batches(session):
        meter.waited()
        due = save_due(config, progress.step, saved, saved_step)
        together = agree(session, [session.step_module.count(b) for b in batches], stop, due)
        if together.saving:
            save(session, meter)
            saved, saved_step = time.monotonic(), progress.step
        if together.stopping or together.share >= 1.0:
            break
        milestones, warmup = config.optim.milestones, config.optim.warmup_steps
        factor = optim.lr_factor(progress.step, session.total_steps, milestones, warmup, together.share)
        rate = optim.set_lr(session.optimizer, factor)
        loss, parts, norm = update(session, module, batches, together.divisors)
        progress.step += 1
        if session.ema is not None:
            session.ema.update(session.trained, progress.step)
        meter.stepped(loss, parts, norm, rate)
        if evaluation_due(session):
            meter.flush()
            save(session, meter)
            examine(session, evaluation, stop, "epoch")
            saved, saved_step = time.monotonic(), progress.step
            save(session, meter)
            meter.go_on()
            if progress.ended:
                break
    if stop.signal is None:  # what a stopped run has counted goes on with it
        meter.flush()


def steps_of_batches(session: Session) -> Iterator[list[Batch]]:
    """The micro-batches of each remaining step, already on the device; read ahead by workers."""
    config, runtime = session.config, session.runtime
    sampler = StepSampler(
        session.order,
        config.run.global_batch,
        session.micro_batch,
        first_step=session.progress.step,
        last_step=session.total_steps,
        rank=runtime.rank,
        ranks=runtime.world,
    )
    examples = TrainingSet(session.train_set, config.data, config.run.seed)
    workers = summary.workers(config, runtime.world)
    batches = training_batches(examples, sampler, workers, pin_memory=runtime.device.type == "cuda")
    while micro := [batch.to(runtime.device) for batch in islice(batches, sampler.micro_batches)]:
        yield micro


# ── looking, saving, ending ────────────────────────────────────────────────────────────────────────


def evaluation_due(session: Session) -> bool:
    every, done = session.config.run.eval_every, session.progress.step
    if every == 0 or not 0 < done < session.total_steps:
        return False
    if every is None:  # an epoch of few photos is a few steps, and shorter than an evaluation
        period = max(session.steps_per_epoch, session.total_steps / session.config.run.most_evaluations)
    else:
        period = every * session.steps_per_epoch
    return int(done / period) > int((done - 1) / period)


def save_due(config: Config, done: int, saved: float, saved_step: int) -> bool:
    """Whether the main process, whose clock counts, wants to save before the next step."""
    if done == saved_step:
        return False
    if config.run.save_steps is not None:
        return done % config.run.save_steps == 0
    return time.monotonic() - saved > 60 * config.run.save_minutes


def examine(session: Session, evaluation: RunEvaluation, stop: Stop, moment: str) -> None:
    """Evaluate, tell the result, keep the best weights."""
    progress, runtime = session.progress, session.runtime
    session.log.end_progress()
    with averaged(session):
        show = REPORTED if moment == "final" else 0
        result = evaluation.evaluate(session.model, runtime, stop, moment != "epoch", show)
        headline = {} if result is None else result.headline()
        progress.evaluated, progress.latest = progress.step, headline
        if moment == "zero-shot":
            progress.zero_shot = headline
        score = summary.score_of(headline, evaluation.metric)
        # Of equal weights the later ones; while nothing can be measured the latest.
        better = progress.best is None if score is None else progress.best is None or score >= progress.best
        if better:
            progress.best, progress.best_step = score, progress.step
        progress.worse = 0 if better else progress.worse + 1
        patience = session.config.run.patience
        if patience is not None and progress.worse >= patience and moment == "epoch":
            progress.ended = f"no better weights in {patience} evaluation(s)"
        if runtime.is_main:
            if result is not None:
                evaluation.write(session, result, moment, better)
            if better:
                evaluation.keep(session, result)
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


def outcome(session: Session, status: int) -> Run:
    progress = session.progress
    finished = session.finished or session.time_share() >= 1.0
    report = run_folder.read_summary(session.place.folder)
    best = report.get("best", {})
    return Run(
        session.place.folder, progress.step, finished and status == 0, status, progress.zero_shot, best
    )
