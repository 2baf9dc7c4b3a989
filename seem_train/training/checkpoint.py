"""Saving a run so that nothing can spoil it, and going on as if it had never stopped.

A checkpoint is a folder: ``model.safetensors`` (trainable tensors), ``train_state.pt`` (optimizer, scaler,
running average, counters), ``manifest.json`` (SHA-256 of both, and what the run was). It is written beside
its place and then renamed into it; at every moment, also after ``kill -9`` or on a full disk, a complete one
exists.

There is no random state inside: every draw derives from (seed, step, place), see `runtime.stream_seed`.
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from seem_data.common.files import atomic_path, sha256_file, sync_folder, write_json
from seem_train.errors import UserError
from seem_train.weights.tensor_files import library_errors

MODEL, STATE, MANIFEST = "model.safetensors", "train_state.pt", "manifest.json"
FORMAT = 1
_ADVICE = "name another checkpoint, or start anew with --resume never and another --out"


@dataclass
class Progress:
    """Where a run is. The stream of images is a function of the step, so the step says it all."""

    step: int = 0  #: optimizer steps that are done
    seconds: float = 0.0  #: spent in the run so far, over all restarts
    best: float | None = None
    best_step: int = 0
    evaluated: int = -1  #: the step of the last evaluation
    worse: int = 0  #: evaluations since the best one
    ended: str = ""  #: why it ended before its last step
    zero_shot: dict[str, float | None] = field(default_factory=dict)  #: headline before training
    latest: dict[str, float | None] = field(default_factory=dict)  #: headline of the last evaluation


@dataclass(frozen=True)
class Checkpoint:
    """What was read from a checkpoint folder."""

    folder: Path
    tensors: dict[str, Tensor]
    state: dict[str, Any]
    manifest: dict[str, Any]

    @property
    def progress(self) -> Progress:
        return Progress(**self.state["progress"])


def save(
    folder: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any], manifest: Mapping[str, Any]
) -> None:
    """Write a checkpoint in the place of the last one.

    Raises:
        OSError: the disk is full or not writable; the checkpoint that was there is untouched.
    """
    new = beside(folder, lambda place: not damage(place))
    try:
        owned = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        with atomic_path(new / MODEL) as file, library_errors(new / MODEL):
            save_file(owned, file)
        with atomic_path(new / STATE) as file, library_errors(new / STATE):
            torch.save(dict(state), file)
        hashes = {name: sha256_file(new / name) for name in (MODEL, STATE)}
        write_json(new / MANIFEST, {"format": FORMAT, "files": hashes, **manifest})
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    put_in_place(new, folder)


def beside(folder: Path, complete: Callable[[Path], bool]) -> Path:
    """An empty folder to write into, for `put_in_place`; whatever goes wrong there, `folder` is not touched.

    After a crash between the two renames of `put_in_place` nothing has the name `folder`: what is complete,
    the newest first, gets it, so that nothing complete is deleted before something newer is complete.
    """
    new = _new(folder)
    if not folder.exists():
        survivor = next((place for place in (new, _old(folder)) if complete(place)), None)
        if survivor is not None:
            survivor.rename(folder)
            sync_folder(folder.parent)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    return new


def put_in_place(new: Path, folder: Path) -> None:
    """Give the complete folder `new` the name `folder`; at every moment one of the two names is complete."""
    old = _old(folder)
    sync_folder(new)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _new(folder: Path) -> Path:
    return folder.with_name(folder.name + ".new")


def _old(folder: Path) -> Path:
    return folder.with_name(folder.name + ".old")


def find(folder: Path) -> Path | None:
    """The newest complete checkpoint of that name, also where a save was cut short; None if there is none."""
    for candidate in (folder, _new(folder), _old(folder)):
        if not damage(candidate):
            return candidate
    return None


def settle(folder: Path, found: Path) -> None:
    """Give the checkpoint that `find` found the name `folder`; what is damaged there is kept beside it."""
    if found == folder or found not in (_new(folder), _old(folder)):
        return
    if folder.exists():
        damaged = folder.with_name(f"{folder.name}.damaged")
        shutil.rmtree(damaged, ignore_errors=True)
        folder.rename(damaged)
    found.rename(folder)
    sync_folder(folder.parent)


def damage(folder: Path) -> str:
    """Why a folder is no complete checkpoint; "" if it is one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        hashes = {name: str(manifest["files"][name]) for name in (MODEL, STATE)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"{folder} has no readable {MANIFEST}"
    for name, expected in hashes.items():
        if not (folder / name).is_file():
            return f"{folder / name} is missing"
        try:
            actual = sha256_file(folder / name)
        except OSError as error:
            return f"{folder / name} cannot be read ({error.strerror})"
        if actual != expected:
            return f"{folder / name} is damaged (its SHA-256 is not the one in {MANIFEST})"
    return ""


def load(folder: Path) -> Checkpoint:
    """Raises UserError: the folder is no checkpoint, or is damaged."""
    if wrong := damage(folder):
        raise UserError(f"{wrong}; {_ADVICE}")
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if manifest.get("format", FORMAT) > FORMAT:
        raise UserError(f"{folder} was written by a newer seem-tools; update this one")
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        found = Checkpoint(folder, load_file(folder / MODEL), state, manifest)
        _ = found.progress
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder} does not hold what a checkpoint holds; {_ADVICE}") from None
    return found


def restore_tensors(parameters: Mapping[str, Tensor], checkpoint: Checkpoint) -> None:
    """Copy saved tensors into the trainable parameters of the same names.

    Raises:
        UserError: they are not the same set, or a shape differs; another strategy wrote the checkpoint.
    """
    wrong = sorted(set(parameters) ^ set(checkpoint.tensors))
    wrong += [n for n, t in checkpoint.tensors.items() if n in parameters and t.shape != parameters[n].shape]
    if wrong:
        raise UserError(
            f"{checkpoint.folder} was written with other trainable tensors ({len(wrong)} differ, "
            f"first {wrong[0]}); use the strategy, rank and model it was started with, or --resume never"
        )
    with torch.no_grad():
        for name, tensor in checkpoint.tensors.items():
            parameters[name].copy_(tensor)


def restore_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Checkpoint) -> None:
    """Copy saved moments to the parameters of the same names; rates and decays stay those of now.

    Raises:
        UserError: there are others, or of other shapes, than the parameters have.
    """
    pairs: list[tuple[str, Tensor, Tensor]] = []
    try:
        saved = checkpoint.state["optimizer"]
        moments = {
            name: saved["state"][place]
            for group in saved["param_groups"]
            for name, place in zip(group["names"], group["params"], strict=True)
        }
        pairs = [
            (f"{kind} of {name}", own, moments[name][kind])
            for group in optimizer.param_groups
            for name, parameter in zip(group["names"], group["params"], strict=True)
            for kind, own in optimizer.state[parameter].items()
        ]
        wrong = [name for name, own, found in pairs if own.shape != found.shape or own.dtype != found.dtype]
    except (KeyError, TypeError, ValueError, AttributeError):
        wrong = ["what it says about parameters"]
    if wrong:
        file = checkpoint.folder / STATE
        raise UserError(f"{file}: the optimizer's state does not fit ({wrong[0]}); {_ADVICE}")
    with torch.no_grad():
        for _, own, found in pairs:
            own.copy_(found)


def restore_average(average: dict[str, Tensor], checkpoint: Checkpoint) -> None:
    """Copy the saved running average of the weights.

    Raises:
        UserError: it is not there, or of other tensors.
    """
    saved = checkpoint.state.get("ema") or {}
    if set(saved) != set(average) or any(saved[n].shape != t.shape for n, t in average.items()):
        raise UserError(f"{checkpoint.folder / STATE}: the running average does not fit; {_ADVICE}")
    for name, tensor in average.items():
        tensor.copy_(saved[name])
