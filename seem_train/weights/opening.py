"""What ``RUN|WEIGHTS`` means on the command line: a run or adapter folder, a file of weights, or a preset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from seem_train.adapters.files import CARD, find_base, read_card
from seem_train.errors import UserError
from seem_train.model.seem import SEEM
from seem_train.weights.checkpoints import checkpoint_of_preset, find_weights
from seem_train.weights.official import load_model, recognise
from seem_train.weights.presets import PRESETS
from seem_train.weights.tensor_files import read_tensors


@dataclass(frozen=True)
class Opened:
    """A model in evaluation mode, and what its folder says about it."""

    model: SEEM
    name: str  #: as the user named it
    folder: Path | None = None  #: adapter folder
    size: int | None = None  #: shorter side of photos that it was evaluated at while it was trained


def open_model(named: str, preset: str | None = None, device: str | torch.device = "cpu") -> Opened:
    """
    Args:
        named: run, adapter or model folder; weights file (or its bare name in the weights folder); or a
            preset, whose official checkpoint is taken.
        preset: of a weights file that does not tell.

    Raises:
        UserError: nothing of that name is there, or it does not fit.
    """
    path = Path(named).expanduser()
    if path.is_dir():
        folder = next((place for place in (path, path / "best") if (place / CARD).is_file()), None)
        size = read_card(folder).preprocessing.get("eval_size") if folder is not None else None
        return Opened(load_model(path, device=device), named, folder, size)
    if named in PRESETS:
        official = checkpoint_of_preset(named)
        if official is None:
            raise UserError(f"{named} has no official checkpoint; name a run folder or a file of weights")
        return Opened(load_model(named, weights=find_weights(official.file), device=device), named)
    file = find_weights(named)
    preset = preset or recognise(read_tensors(file), file.name)
    if preset is None:
        raise UserError(f"{file}: is of no model known here; name one with --model")
    return Opened(load_model(preset, weights=file, device=device), named)


def open_base(tuned: Opened, device: str | torch.device = "cpu") -> Opened:
    """The model as it was before a run: the weights that its adapters stand on.

    Raises:
        UserError: it is no run or adapter folder, or its base is not there any more.
    """
    if tuned.folder is None:
        raise UserError(f"{tuned.name} is no run or adapter folder, so nothing says what it started from")
    card = read_card(tuned.folder)
    base = find_base(tuned.folder, card)
    model = load_model(base, device=device) if base.is_dir() else load_model(card.model, base, device)
    return Opened(model, base.name, size=tuned.size)
