"""What of a session is saved in last/, and how a session goes on from it."""

from __future__ import annotations

import dataclasses
import shlex
import time

import torch

from seem_data import __version__
from seem_train import settings
from seem_train.errors import UserError
from seem_train.training import checkpoint, run_folder
from seem_train.training.meter import Meter
from seem_train.training.session import Session


def save(session: Session, meter: Meter, final: bool = False) -> None:
    """Write last/. A full disk is a warning while there is time to make room, an error at the end."""
    meters = session.runtime.gather(meter.state())
    if not session.runtime.is_main:
        return
    progress = dataclasses.replace(session.progress, seconds=session.seconds)
    state = {
        "progress": dataclasses.asdict(progress),
        "optimizer": session.optimizer.state_dict(),
        "scaler": session.scaler.state_dict(),
        "meter": meters,
        "ema": session.ema.average if session.ema is not None else None,
    }
    folder = session.place.folder / run_folder.LAST
    base = session.source.base
    manifest = {
        "step": progress.step,
        "total_steps": session.total_steps,
        "strategy": session.strategy.name,
        "model": session.source.preset,
        "base_sha256": base.sha256 if base else None,
        "data_sha256": session.data_sha256,
        "settings": run_folder.flat(settings.to_dict(session.config)),
        "processes": session.runtime.world,
        "torch": torch.__version__,
        "tool": f"seem-tools {__version__}",
    }
    try:
        checkpoint.save(folder, session.trained, state, manifest)
    except OSError as error:
        kept = checkpoint.find(folder)
        before = "nothing was saved yet"
        if kept:
            before = f"the checkpoint of step {checkpoint.load(kept).progress.step} is still there"
        message = f"{folder}: cannot be saved ({error.strerror or error}); {before}"
        if final:
            raise UserError(f"{message}. Make room and give the same command again.") from None
        session.log.say(f"warning: {message}. Will try again.", style="yellow")


def restore(session: Session, meter: Meter, found: checkpoint.Checkpoint) -> None:
    """Put a checkpoint's weights, optimizer and counters in place.

    Raises:
        UserError: it was trained on other data or other weights, or what it holds does not fit.
    """
    if session.runtime.is_main:
        _same_origin(session, found)
    checkpoint.restore_tensors(session.trained, found)
    checkpoint.restore_optimizer(session.optimizer, found)
    if scaler := found.state.get("scaler"):
        session.scaler.load_state_dict(scaler)
    if session.ema is not None:
        checkpoint.restore_average(session.ema.average, found)
    session.progress = found.progress
    meter.restore(found.state.get("meter") or [])
    session.began = time.monotonic()


def _same_origin(session: Session, found: checkpoint.Checkpoint) -> None:
    """Refuse data and base weights that the run was not started with; of what it does not tell, say so."""
    run, before = found.folder.parent, found.manifest
    advice = f"start a new run from what it learned, with --weights {shlex.quote(str(run))} and another --out"
    untold = {"data": "data_sha256", "base weights": "base_sha256"}
    if missing := [what for what, name in untold.items() if name not in before]:
        session.log.say(
            f"! {run} was saved by an earlier version, which did not note its {' and '.join(missing)}: see "
            "to it that they are those it was started with",
            style="yellow",
        )
    data = session.config.data.dataset
    known = before.get("data_sha256") or {}
    for file, digest in session.data_sha256.items():
        if known.get(file, digest) != digest:
            raise UserError(
                f"{run} was trained on other data: {file} of {data} is not what it started with; "
                f"name the dataset it was started on, or {advice}"
            )
    base = session.source.base.sha256 if session.source.base else None
    if "base_sha256" in before and before["base_sha256"] != base:
        was, now = ((digest or "random weights")[:14] for digest in (before["base_sha256"], base))
        raise UserError(
            f"{run} was started from other weights ({was} then, {now} now); name those with "
            f"--weights, or {advice}"
        )
