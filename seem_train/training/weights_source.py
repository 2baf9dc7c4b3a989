"""Which weights a run starts from: what `--weights` and `--model` mean, and what was found in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from seem_train.adapters.files import Base, fingerprint
from seem_train.adapters.layers import has_adapters, merge
from seem_train.errors import UserError
from seem_train.model.seem import SEEM
from seem_train.model.trunks.timm import TimmTrunk, load_pretrained
from seem_train.weights.checkpoints import CHECKPOINTS, find_weights, weights_folder
from seem_train.weights.official import load_model, recognise
from seem_train.weights.presets import PRESETS
from seem_train.weights.tensor_files import read_tensors

RANDOM = "random"
#: The log temperature of a model without pretrained weights: the most that CLIP allows
#: (arXiv:2103.00020, 2.5). Embeddings of a text encoder that knows nothing lie close together (cosines of
#: 0.98); the original's 1.0, which its pretrained weights overwrite, could not tell them apart.
FIRST_SCALE = math.log(100.0)


@dataclass(frozen=True)
class Source:
    """A model as training found it."""

    model: SEEM
    preset: str  #: name, or the model folder
    base: Base | None  #: None: random weights
    report: str  #: one line for the reader


def load_source(
    preset: str | None,
    weights: str | None,
    seed: int,
    trunk: str | None = None,
    trunk_weights: str = "pretrained",
) -> Source:
    """The model to fine-tune, on the CPU.

    Args:
        trunk: a backbone of timm in the place of the preset's; the rest of the model then starts at random.
        trunk_weights: of such a backbone: ``pretrained``, ``random`` or a file.

    Raises:
        UserError: no weights are named and there is not exactly one official checkpoint; they do not fit.
    """
    if trunk is not None:
        preset, weights = f"{preset or 'tiny'}+{trunk}", RANDOM
    if weights == RANDOM:
        if preset is None:
            raise UserError("--weights random needs --model, e.g. --model tiny")
        torch.manual_seed(seed)
        model = load_model(preset)
        with torch.no_grad():
            model.language.logit_scale.fill_(FIRST_SCALE)
        report = f"{preset} with random weights (seed {seed})"
        if isinstance(model.backbone, TimmTrunk) and trunk_weights != RANDOM:
            report += f" but for its {load_pretrained(model.backbone, trunk_weights)}"
        return Source(model, preset, None, report)
    path = _only_official(preset) if weights is None else _find(weights)
    if path.is_dir():
        model = load_model(path)
        if has_adapters(model):
            _merged(model, path)
        name = _preset_of(path)
        return Source(model, name, Base(str(path), fingerprint(path)), f"{path} · {name}")
    if preset is None:
        preset = recognise(read_tensors(path), path.name)
        if preset is None:
            raise UserError(f"{path}: is of no model known here; name one with --model")
    model = load_model(preset, weights=path)
    base = Base(str(path), fingerprint(path))
    tensors = len(model.state_dict())
    report = f"{path.name} · {preset} · {path.stat().st_size / 1e9:.2f} GB · sha256 {base.sha256[:8]}…"
    return Source(model, preset, base, f"{report} · all {tensors:,} tensors match")


def _find(weights: str) -> Path:
    path = Path(weights).expanduser()
    return path if path.is_dir() else find_weights(weights)


def _merged(model: SEEM, path: Path) -> None:
    try:
        merge(model)
    except UserError:
        raise UserError(
            f"{path} holds bottleneck adapters, on which no others can be put; to train them further raise "
            "--epochs of their own run, else name the weights they were trained on"
        ) from None


def _preset_of(folder: Path) -> str:
    from seem_train.adapters.files import CARD, read_card

    for place in (folder, folder / "best"):
        if (place / CARD).is_file():
            return read_card(place).model
    return str(folder)


def _only_official(preset: str | None) -> Path:
    """The official checkpoint to start from when none is named."""
    folder = weights_folder()
    there = [c for c in CHECKPOINTS.values() if (folder / c.file).is_file()]
    fitting = [c for c in there if preset in (None, c.preset)]
    if len(fitting) == 1:
        return folder / fitting[0].file
    choices = ", ".join(c.file for c in fitting or CHECKPOINTS.values() if preset in (None, c.preset))
    if fitting:
        raise UserError(f"{folder} holds several checkpoints; choose one with --weights: {choices}")
    advice = f"get one with: seem-train weights get {choices.split(', ')[0]}" if choices else ""
    random = f"--weights random --model {preset}" if preset in PRESETS else "--weights random --model tiny"
    raise UserError(
        f"no weights: {folder} holds no official checkpoint{f' of {preset}' if preset else ''}. "
        f"{advice + ', or n' if advice else 'N'}ame a file with --weights, or start anew with {random}"
    )
