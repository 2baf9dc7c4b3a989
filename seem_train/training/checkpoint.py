"""Saving a run so that nothing can spoil it, and going on as if it had never stopped.

A checkpoint is a folder: ``model.safetensors`` (trainable tensors), ``train_state.pt`` (optimizer, scaler,
running average, counters), ``manifest.json`` (SHA-256 of both, and what the run was). It is written beside
its place and then renamed into it; at every moment, also after ``kill -9`` or on a full disk, a complete one
exists.

There is no random state inside: every draw derives from (seed, step, place), see `runtime.stream_seed`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from seem_train.errors import UserError
from seem_train.weights.tensor_files import writing

MODEL, STATE, MANIFEST = "model.safetensors", "train_state.pt", "manifest.json"
FORMAT = 1


@dataclass
class Progress:
    """Where a run is. The stream of images is a function of the step, so the step says it all."""

    step: int = 0  #: optimizer steps that are done
    seconds: float = 0.0  #: spent in the run so far, over all restarts
    best: float | None = None
    best_step: int = 0
    evaluated: int = -1  #: the step of the last evaluation
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
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        owned = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        with writing(new / MODEL):
            save_file(owned, new / MODEL)
        with writing(new / STATE):
            torch.save(dict(state), new / STATE)
        files = {name: sha256(new / name) for name in (MODEL, STATE)}
        text = json.dumps({"format": FORMAT, "files": files, **manifest}, indent=2, ensure_ascii=False)
        (new / MANIFEST).write_text(text + "\n", encoding="utf-8")
        for name in (MODEL, STATE, MANIFEST):
            _flush(new / name)
        _flush(new)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    put_in_place(new, folder)


def put_in_place(new: Path, folder: Path) -> None:
    """Give the complete folder `new` the name `folder`; at every moment one of the two names is complete."""
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    _flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def find(folder: Path) -> Path | None:
    """The newest complete checkpoint of that name, also where a save was cut short; None if there is none."""
    for candidate in (folder, folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")):
        if not damage(candidate):
            return candidate
    return None


def damage(folder: Path) -> str:
    """Why a folder is no complete checkpoint; "" if it is one."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files: dict[str, str] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{folder} has no readable {MANIFEST}"
    for name, expected in files.items():
        if not (folder / name).is_file():
            return f"{folder / name} is missing"
        if sha256(folder / name) != expected:
            return f"{folder / name} is damaged (its SHA-256 is not the one in {MANIFEST})"
    return ""


def load(folder: Path) -> Checkpoint:
    """
    Raises:
        UserError: the folder is no checkpoint, or is damaged.
    """
    if wrong := damage(folder):
        raise UserError(f"{wrong}; name another checkpoint, or start anew with --resume never")
    state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return Checkpoint(folder, load_file(folder / MODEL), state, manifest)


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


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
        return digest.hexdigest()


def _flush(path: Path) -> None:
    """Have the disk hold what was written, so that a rename never becomes durable before its content."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot flush folders
            os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
