"""A model as a user names it, with what is known of its use: its categories and how large it sees photos."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from seem_train.errors import UserError
from seem_train.image_scale import OBJECTS, Scale
from seem_train.model.checkpoints import checkpoint_of_preset, find_weights, weights_folder
from seem_train.model.presets import PRESETS
from seem_train.model.seem import SEEM
from seem_train.model.tensor_files import read_tensors
from seem_train.model.weights import load_model, recognise
from seem_train.vocabulary import Category, as_categories, coco_categories


@dataclass(frozen=True)
class Opened:
    model: SEEM  #: in evaluation mode
    categories: tuple[Category, ...]  #: those it was tuned on; COCO's for official weights
    scale: Scale  #: what it was evaluated at in its run; the original's for official weights
    name: str  #: one line for the reader


def open_model(
    source: str | os.PathLike[str], preset: str | None = None, device: str | torch.device = "cpu"
) -> Opened:
    """A run folder, an adapter folder, a model folder, a file of weights, or the name of a preset.

    Args:
        source: a bare file name is also looked for in the weights folder; a preset stands for its official
            checkpoint there.
        preset: which model a file of weights belongs to, where that cannot be told from it.

    Raises:
        UserError: there is no such model, its weights are not there, or they do not fit.
    """
    text, path = str(source), Path(source).expanduser()
    if path.is_dir():
        if preset is not None:
            raise UserError(f"{path} says itself which model it is; leave out --model {preset}")
        model = load_model(path, device=device)
        name = f"{path} · {model.card.model} · {model.card.strategy}" if model.card else text
        return Opened(model, *habits(model), name)
    if text in PRESETS and not path.exists():
        file = _official(text)
        preset = text
    else:
        file = find_weights(text)
        preset = preset or recognise(read_tensors(file), file.name)
        if preset is None:
            raise UserError(f"{file}: is of no model known here; name one with --model")
    model = load_model(preset, file, device)
    return Opened(model, *habits(model), f"{file.name} · {preset}")


def habits(model: SEEM) -> tuple[tuple[Category, ...], Scale]:
    """What a model was tuned on and its run evaluated at; else COCO's categories and the original's size."""
    card = model.card
    categories = as_categories(card.categories) if card and card.categories else coco_categories()
    size = card.preprocessing.get("eval_size") if card else None
    return categories, Scale.of(int(size)) if size else OBJECTS


def _official(preset: str) -> Path:
    checkpoint = checkpoint_of_preset(preset)
    if checkpoint is None:
        raise UserError(f"{preset} has no official weights; name a run folder, or a file of weights")
    file = weights_folder() / checkpoint.file
    if not file.is_file():
        raise UserError(f"{file} is not there; get it with: seem-train weights get {preset}")
    return file
