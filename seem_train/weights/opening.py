"""The one place where a model is opened, whatever it lies in.

=============================  ======================================================================
what is named                  what is opened
=============================  ======================================================================
``focal-l``, … ``tiny``        `load_model`: random weights; elsewhere the official checkpoint
``seem-tiny``                  the small pretrained model that comes with the package
``weights.pt``                 a file under official names, or its bare name in the weights folder
a model folder                 the original's ``config.json`` and ``weights.safetensors``
an adapter folder              its base weights, with what was trained on them put in
a run folder, ``run/last``     the best weights of a run; the latest
=============================  ======================================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from seem_data.common.files import sha256_file
from seem_train.adapters.layers import fold_lora, inject
from seem_train.errors import UserError
from seem_train.formatting import size_text
from seem_train.model.card import Base
from seem_train.model.config import SEEMConfig
from seem_train.model.seem import SEEM
from seem_train.model.trunks.timm import TimmTrunk
from seem_train.weights.adapter_folder import (
    CARD,
    COPY_AGAIN,
    TENSORS,
    card_of,
    fill,
    find_base,
    fingerprint,
    read_card,
)
from seem_train.weights.checkpoints import checkpoint_of_preset, find_weights
from seem_train.weights.choice import RANDOM, SHIPPED, choose_weights
from seem_train.weights.official import compare, load_official, recognise
from seem_train.weights.original_config import read_config
from seem_train.weights.presets import PRESETS, get_preset
from seem_train.weights.tensor_files import read_metadata, read_tensors
from seem_train.weights.trunk_weights import load_pretrained

_LATEST, _MANIFEST = "model.safetensors", "manifest.json"  #: in a run's last/


# ── any model, ready to use ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class OpenModel:
    """A model in evaluation mode, and what its folder says about it."""

    model: SEEM
    name: str  #: as the user named it
    folder: Path | None = None  #: adapter folder
    size: int | None = None  #: shorter side of photos that it was evaluated at while it was trained


def load_model(
    name_or_folder: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
    *,
    base: str | os.PathLike[str] | None = None,
) -> SEEM:
    """A model in evaluation mode, by the name of a preset or from a folder.

    Args:
        name_or_folder: a preset (`focal-l`, … `tiny`); or a folder with the original's `config.json` (or
            `config.yaml`) and `weights.safetensors` under official names; or a run, adapter or `last`
            folder of the trainer.
        weights: a `.pt` or `.safetensors` file with official names, or the bare name of a file in
            `weights_folder()`. For a preset, None means random initial weights, to train from scratch.
            For a folder, it takes the place of the folder's own weights.
        device: where the model is put.
        base: the weights that an adapter folder stands on, where they are not found where it says.

    Raises:
        UserError: an unknown name, a file that is not a checkpoint, weights of another model.

    >>> from seem_train import load_model
    >>> model = load_model("tiny")  # random weights
    >>> features = model.encode_image(torch.zeros(3, 64, 96))
    >>> features.mask_features.shape
    torch.Size([1, 128, 16, 24])
    """
    device = _checked_device(device)
    name, folder = str(name_or_folder), Path(name_or_folder).expanduser()
    tuned = None if name in PRESETS or name in SHIPPED else _tuned_folder(folder)
    if tuned is not None and weights is not None:
        raise UserError(f"{folder} names its own weights; leave out {weights}")
    if tuned is None and base is not None:
        raise UserError(f"base={base} goes with an adapter folder, which {name} is not")
    file = None if weights is None else find_weights(weights)
    if tuned is not None:
        model = _open_tuned(tuned, None if base is None else Path(base).expanduser())
    elif name in SHIPPED and file is None:
        model = _open_file(_shipped(name), None)
    elif name in PRESETS or not folder.is_dir():
        model = _filled(get_preset(name).config, name, file)
    else:
        model = _open_original(folder, file)
    return model.to(device).eval()


def open_model(named: str, preset: str | None = None, device: str | torch.device = "cpu") -> OpenModel:
    """What ``RUN|WEIGHTS`` means on the command line.

    Args:
        named: run, last/, adapter or model folder; weights file (or its bare name in the weights folder); or
            a preset, whose official checkpoint is taken.
        preset: of a weights file that does not tell.

    Raises:
        UserError: nothing of that name is there, or it does not fit.
    """
    path = Path(named).expanduser()
    tuned = None
    if path.is_dir():
        tuned = _tuned_folder(path)
        model = load_model(path, device=device)
    elif named in SHIPPED:
        model = load_model(named, device=device)
    elif named in PRESETS:
        official = checkpoint_of_preset(named)
        if official is None:
            raise UserError(f"{named} has no official checkpoint; name a run folder or a file of weights")
        model = load_model(named, find_weights(official.file), device)
    else:
        device = _checked_device(device)
        model = _open_file(find_weights(named), preset).to(device).eval()
    return OpenModel(model, named, tuned and tuned.folder, model.card and model.card.photo_size)


def open_base(tuned: OpenModel, device: str | torch.device = "cpu") -> OpenModel:
    """The model as it was before a run: the weights that its adapters stand on.

    Raises:
        UserError: it is no run or adapter folder, or its base is not there any more.
    """
    if tuned.folder is None:
        raise UserError(f"{tuned.name} is no run or adapter folder, so nothing says what it started from")
    card = read_card(tuned.folder)
    base = find_base(tuned.folder, card)
    model = _open_weights(base, card.model, (tuned.folder.resolve(),))
    return OpenModel(model.to(_checked_device(device)).eval(), base.name, size=tuned.size)


def folder_config(folder: Path) -> SEEMConfig:
    """From the original's configuration file in a folder; a UserError where there is none."""
    for name in ("config.json", "config.yaml", "config.yml"):
        if (folder / name).is_file():
            return read_config(folder / name)
    raise UserError(f"{folder} is not a model folder: it has no config.json")


# ── what a run starts from ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class StartingWeights:
    """A model as training found it."""

    model: SEEM
    preset: str  #: name, or the model folder
    base: Base | None  #: None: random weights
    report: str  #: one line for the reader
    why: str = ""  #: see `WeightsChoice`
    whole: bool = False


def open_start(
    preset: str | None,
    weights: str | None,
    seed: int,
    trunk: str | None = None,
    trunk_weights: str = "pretrained",
) -> StartingWeights:
    """The model to fine-tune, on the CPU.

    A run or adapter folder gives what it learned: LoRA folded into its weights, bottlenecks as layers.

    Args:
        preset, weights: as `choose_weights` takes them.
        seed: of random weights.
        trunk: a backbone of timm in the place of the preset's. Without weights that were trained on it the
            rest of the model starts at random.
        trunk_weights: of such a backbone: ``pretrained``, ``random`` or a file.

    Raises:
        UserError: as `choose_weights`; or the weights do not fit.
    """
    choice = choose_weights(preset, weights, trunk)
    if choice.weights == RANDOM:
        assert choice.preset is not None
        torch.manual_seed(seed)
        model = load_model(choice.preset)
        model.language.start_anew()
        report = f"{choice.preset} with random weights (seed {seed})"
        if isinstance(model.backbone, TimmTrunk) and trunk_weights != RANDOM:
            report += f" but for its {load_pretrained(model.backbone, trunk_weights)}"
        return StartingWeights(model, choice.preset, None, report, choice.why, choice.whole)
    path = _shipped(choice.weights) if choice.weights in SHIPPED else find_weights(choice.weights)
    if path.is_dir():
        tuned, wanted = _tuned_folder(path), choice.preset
        model = _open_weights(path, "").eval()
        name = str(path) if tuned is None else read_card(tuned.folder).model
        if wanted is not None and tuned is not None and wanted not in (name, name.partition("+")[0]):
            raise UserError(
                f"--model {wanted.replace('+', ' and model.trunk ')}: {path} holds {name}; leave them out, "
                "or start anew with --weights random"
            )
        return StartingWeights(model, name, Base(str(path), fingerprint(path)), f"{path} · {name}")
    name = choice.preset or _preset_of(path)
    model = _open_weights(path, name).eval()
    base = Base(str(path), fingerprint(path))
    report = f"{path.name} · {name} · {size_text(path.stat().st_size)} · sha256 {base.sha256[:8]}…"
    report += f" · all {len(model.state_dict()):,} tensors match"
    return StartingWeights(model, name, base, report, choice.why)


# ── folders of the trainer ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _TunedFolder:
    folder: Path  #: with the card
    tensors: Path


def _tuned_folder(path: Path) -> _TunedFolder | None:
    """Where an adapter folder, a run or its last/ keep card and tensors; None: it is nothing of the trainer.

    Raises:
        UserError: the folder is a run's, and nothing to open is in it yet.
    """
    # The other two names hold the best weights while those are being replaced, or where that was cut short.
    for place in (path, path / "best", path / "best.new", path / "best.old"):
        if (place / CARD).is_file():
            return _TunedFolder(place, place / TENSORS)
    if (path / _MANIFEST).is_file() and (path / _LATEST).is_file():
        best = _tuned_folder(path.parent)  # its card holds for the whole run
        return best and _TunedFolder(best.folder, path / _LATEST)
    if (path / "last" / _MANIFEST).is_file():
        raise UserError(f"{path}: the run has no best/ yet; let it reach its first evaluation")
    return None


def _open_tuned(tuned: _TunedFolder, base: Path | None = None, above: tuple[Path, ...] = ()) -> SEEM:
    """Base weights with a folder's adapters in place; `above`: the folders that stand on this one."""
    place = tuned.folder.resolve()
    if place in above:
        raise UserError(f"{tuned.folder / CARD}: its base weights stand on this folder itself")
    card = read_card(tuned.folder)
    if tuned.tensors.name == _LATEST:
        _check_latest(tuned.tensors)
    model = _open_weights(find_base(tuned.folder, card, base), card.model, (*above, place))
    inject(model, card.placement)
    fill(model, read_tensors(tuned.tensors, COPY_AGAIN), card, tuned.tensors)
    model.card = card
    return model


def _open_weights(path: Path, preset: str, above: tuple[Path, ...] = ()) -> SEEM:
    """Weights for adapters to stand on: a file of that preset, or a folder, whose LoRA is folded in."""
    if not path.is_dir():
        return _open_file(path, preset)
    tuned = _tuned_folder(path)
    if tuned is None:
        return _open_original(path)
    model = _open_tuned(tuned, above=above)
    fold_lora(model)
    return model


def _check_latest(tensors: Path) -> None:
    manifest = tensors.with_name(_MANIFEST)
    try:
        expected = json.loads(manifest.read_text(encoding="utf-8"))["files"][_LATEST]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{manifest}: is damaged; open the run folder, for its best weights") from None
    if sha256_file(tensors) != expected:
        raise UserError(f"{tensors}: is damaged (its SHA-256 is not the one in {_MANIFEST}); {COPY_AGAIN}")


# ── files, and folders of the original's form ──────────────────────────────────────────────────────


def _open_file(file: Path, preset: str | None) -> SEEM:
    name = preset or _preset_of(file)
    return _filled(get_preset(name).config, name, file)


def _preset_of(file: Path) -> str:
    """The preset of a file: as it says itself, else by its tensors."""
    said = read_metadata(file).get("model")
    name = said if said and said.partition("+")[0] in PRESETS else recognise(read_tensors(file), file.name)
    if name is None:
        raise UserError(f"{file}: is of no model known here; name one with --model")
    return name


def _open_original(folder: Path, file: Path | None = None) -> SEEM:
    config = folder_config(folder)
    file = file or folder / "weights.safetensors"
    if not file.is_file():
        raise UserError(f"{folder} has no weights.safetensors; name a file of weights as well")
    return _filled(config, str(folder), file)


def _filled(config: SEEMConfig, name: str, file: Path | None) -> SEEM:
    """A model of that configuration, with a file's weights or random ones."""
    model = SEEM(config)
    if file is not None:
        official = read_tensors(file)
        _refuse_other_preset(model, official, name, file)
        load_official(model, official, str(file))
        model.language.keep_on_disk()
        if "card" in (metadata := read_metadata(file)):
            model.card = card_of(metadata["card"], str(file))
    return model


def _refuse_other_preset(model: SEEM, official: Mapping[str, Tensor], name: str, file: Path) -> None:
    if compare(model, official).fits:
        return
    other = recognise(official, file.name)
    if other is not None and get_preset(other).config != model.config:
        raise UserError(f"{file} holds the weights of {other!r}, not of {name!r}; load it as {other!r}")


def _shipped(name: str) -> Path:
    if not SHIPPED[name].is_file():
        raise UserError(
            f"{name} did not come with this installation ({SHIPPED[name]} is missing); name a run folder or "
            "a weights file, or pretrain it in a clone: make pretrain"
        )
    return SHIPPED[name]


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UserError(f"there is no device {device!r}; try cpu, cuda, cuda:0 or mps") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {device} was asked for, but PyTorch finds no CUDA GPU here; use device cpu")
    return chosen
