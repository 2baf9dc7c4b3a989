"""One optimizer step over all micro-batches and processes, and what is said where it cannot be taken."""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from seem_data.common.files import atomic_path
from seem_data.common.wording import a_few
from seem_train.data.batch import Batch
from seem_train.errors import UserError
from seem_train.losses.matcher import NonFiniteLoss
from seem_train.losses.targets import LossCounts
from seem_train.runtime import Stop
from seem_train.training import checkpoint, optim, run_folder
from seem_train.training.session import Session
from seem_train.training.step import StepDraws


@dataclass(frozen=True)
class Agreement:
    """What all processes must know of a step."""

    divisors: LossCounts
    share: float  #: of the allotted time that has passed
    stopping: bool
    saving: bool


def agree(session: Session, counts: list[LossCounts], stop: Stop, saving: bool) -> Agreement:
    """In one exchange; time and saves are the main process's to decide.

    DDP averages gradients over processes, so the divisors are those of the whole step over their number.
    """
    runtime = session.runtime
    mine = astuple(sum(counts[1:], counts[0]))
    share, due = (session.time_share(), float(saving)) if runtime.is_main else (0.0, 0.0)
    *totals, share, stopping, due = runtime.sum([*mine, share, float(stop.signal is not None), due])
    return Agreement(LossCounts(*totals).over(runtime.world), share, stopping > 0, due > 0)


def update(
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
    with atomic_path(file) as new:
        torch.save({"images": batch.images.cpu(), "id_maps": batch.id_maps.cpu(), "files": batch.files}, new)
    rate = max(group["lr"] for group in session.optimizer.param_groups)
    names = ", ".join(batch.files[:4]) + (" …" if len(batch.files) > 4 else "")
    found = a_few(terms, most=4)
    last = session.place.folder / run_folder.LAST
    start, resume = "Start anew", ""
    if checkpoint.find(last) is not None:
        start, resume = "Go on from the last save", f"--resume {shlex.quote(str(last))} "
    out = shlex.quote(f"{session.place.folder}-2")
    return UserError(
        f"the loss is not finite at step {number} ({found}; lr {rate:.3g}; {names}).\n"
        f"The batch is in {file}. {start} in another folder, with a smaller rate or in full precision: "
        f"{resume}--out {out} --lr {rate / 3:.1g} --precision fp32"
    )
