"""Weights in and out: official names, which model a file belongs to, what matches, and `load_model`.

A file keeps the official names, in `.pt` as in `.safetensors`; only the model in memory has names of its own.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from timm.layers.pos_embed import resample_abs_pos_embed_nhwc
from torch import Tensor

from seem_train.errors import UserError
from seem_train.model.config import FocalConfig, SEEMConfig
from seem_train.model.seem import SEEM
from seem_train.model.trunks.davit import DaViTConfig
from seem_train.model.trunks.focal import build_backbone
from seem_train.model.trunks.focal_dw import FocalDWConfig
from seem_train.model.trunks.timm import TimmConfig
from seem_train.weights.checkpoints import CHECKPOINTS, find_weights
from seem_train.weights.original_config import read_config
from seem_train.weights.presets import PRESETS, get_preset
from seem_train.weights.tensor_files import read_tensors

#: Official tensors that are no part of the model, and why they may be absent, or of another shape.
IGNORABLE = {
    "criterion.empty_weight": "class weights of the loss, one a category: set anew by every training",
    "dilation_kernel": "a constant, the ones that widen a click",
}
_POSITIONS = re.compile(r"backbone\.(pos_embed|blocks\.\d+\.attn\.rel_pos_[hw])")

#: How the trainer's folders are opened: marker file in the folder → "module:function", called with
#: (folder, device), that returns the model.
FOLDER_KINDS = {
    "adapter.json": "seem_train.adapters.files:open_folder",
    "best/adapter.json": "seem_train.adapters.files:open_run",
}


@dataclass(frozen=True)
class Report:
    """Official names of a file against a model's."""

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  #: the model has them, the file has not
    unexpected: list[str] = field(default_factory=list)  #: the file has them, the model has not
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    """(name, shape in the file, shape in the model)"""
    resized: list[str] = field(
        default_factory=list
    )  #: position tables that are interpolated to the model's size
    ignored: list[str] = field(default_factory=list)  #: of `IGNORABLE`

    @property
    def fits(self) -> bool:
        return not (self.missing or self.unexpected or self.mismatched)

    def sentence(self) -> str:
        """Counts, with at most two examples each."""
        parts = [f"{len(self.matched)} tensors match"]
        for what, names in (
            ("missing", self.missing),
            ("unexpected", self.unexpected),
            ("of another shape", [f"{name} {theirs} ≠ {ours}" for name, theirs, ours in self.mismatched]),
        ):
            if names:
                more = ", …" if len(names) > 2 else ""
                parts.append(f"{what}: {len(names)} ({', '.join(names[:2])}{more})")
        return "; ".join(parts)


def official_state_dict(model: SEEM, classes: int = 133) -> dict[str, Tensor]:
    """The model's tensors under the names, and in the shapes, of the official checkpoints.

    Works on the meta device. `classes` sizes `criterion.empty_weight`, which the demo model has not.
    """
    state: dict[str, Tensor] = {}
    for ours, theirs in SEEM.OFFICIAL_PREFIX.items():
        part = getattr(model, ours.rstrip("."))
        tensors = part.state_dict()
        tensors = part.to_official(tensors) if hasattr(part, "to_official") else tensors
        state.update({theirs + name: tensor for name, tensor in tensors.items()})
    like = next(iter(state.values()))
    side = model.config.postprocess.click_dilation
    state["dilation_kernel"] = torch.ones(1, 1, side, side, device=like.device)
    if model.config.decoder.mode != "demo":
        state["criterion.empty_weight"] = torch.ones(classes + 1, device=like.device)
        state["criterion.empty_weight"][-1] = 0.1  # the background's weight, NO_OBJECT_WEIGHT of the original
    return state


def compare(model: SEEM, official: Mapping[str, Tensor]) -> Report:
    """What loading `official` into `model` would find."""
    report = Report()
    expected = official_state_dict(model)
    for name, tensor in official.items():
        if name in IGNORABLE:
            report.ignored.append(name)
        elif name not in expected:
            report.unexpected.append(name)
        elif tensor.shape == expected[name].shape:
            report.matched.append(name)
        elif _POSITIONS.fullmatch(name) and _resizable(tensor, expected[name]):
            report.resized.append(name)
        else:
            report.mismatched.append((name, tuple(tensor.shape), tuple(expected[name].shape)))
    report.missing.extend(name for name in expected if name not in official and name not in IGNORABLE)
    return report


def load_official(model: SEEM, official: Mapping[str, Tensor], source: str = "the weights") -> Report:
    """Copy official tensors into the model; a UserError, and nothing copied, where they do not fit."""
    report = compare(model, official)
    if not report.fits:
        raise UserError(f"{source} does not fit this model: {report.sentence()}")
    expected = official_state_dict(model)
    for ours, theirs in SEEM.OFFICIAL_PREFIX.items():
        part = getattr(model, ours.rstrip("."))
        tensors = {
            name.removeprefix(theirs): _resized(official[name], expected[name])
            for name in expected
            if _owner(name) == theirs
        }
        tensors = part.from_official(tensors) if hasattr(part, "from_official") else tensors
        part.load_state_dict(tensors)
    return report


def recognise(official: Mapping[str, Tensor], file: str = "") -> str | None:
    """The preset that a file's names and shapes belong to, or None.

    v0 has the tensors of v1; only the name of an official `file` tells them apart.
    """
    known = CHECKPOINTS.get(file)
    candidates = [name for name, preset in PRESETS.items() if _bears_marks(official, preset.config)]
    if known is not None and known.preset in candidates:
        return known.preset
    return candidates[0] if candidates else None


def load_model(
    name_or_folder: str | os.PathLike[str],
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device = "cpu",
) -> SEEM:
    """A model in evaluation mode, by the name of a preset or from a folder.

    name_or_folder: a preset (`focal-l`, … `tiny`); or a folder with the original's `config.json` (or
        `config.yaml`) and `weights.safetensors` under official names; or a folder of the trainer.
    weights: a `.pt` or `.safetensors` file with official names, or the bare name of a file in
        `weights_folder()`. For a preset, None means random initial weights, to train from scratch.
        For a folder, it takes the place of the folder's own weights.
    device: where the model is put.

    Raises UserError for an unknown name, a file that is not a checkpoint, and weights of another model.
    """
    device = _checked_device(device)
    name, folder = str(name_or_folder), Path(name_or_folder).expanduser()
    file = None
    if name in PRESETS or not folder.is_dir():
        config = get_preset(name).config
    elif (opener := _trainer_opener(folder)) is not None:
        if weights is not None:
            raise UserError(f"{folder} names its own weights; leave out {weights}")
        return opener(folder, device)
    else:
        config, file = folder_config(folder), folder / "weights.safetensors"
        if weights is None and not file.is_file():
            raise UserError(f"{folder} has no weights.safetensors; name a file of weights as well")
    if weights is not None:
        file = find_weights(weights)
    model = SEEM(config)
    if file is not None:
        official = read_tensors(file)
        _refuse_other_preset(model, official, name, file)
        load_official(model, official, str(file))
    return model.to(device).eval()


def _trainer_opener(folder: Path) -> Callable[[Path, torch.device], SEEM] | None:
    for marker, opener in FOLDER_KINDS.items():
        if (folder / marker).is_file():
            module, function = opener.split(":")
            return getattr(importlib.import_module(module), function)
    return None


def folder_config(folder: Path) -> SEEMConfig:
    """From the original's configuration file in a folder; a UserError where there is none."""
    for name in ("config.json", "config.yaml", "config.yml"):
        if (folder / name).is_file():
            return read_config(folder / name)
    raise UserError(f"{folder} is not a model folder: it has no config.json")


def _refuse_other_preset(model: SEEM, official: Mapping[str, Tensor], name: str, file: Path) -> None:
    if compare(model, official).fits:
        return
    other = recognise(official, file.name)
    if other is not None and get_preset(other).config != model.config:
        raise UserError(f"{file} holds the weights of {other!r}, not of {name!r}; load it as {other!r}")


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UserError(f"there is no device {device!r}; try cpu, cuda, cuda:0 or mps") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {device} was asked for, but PyTorch finds no CUDA GPU here; use device cpu")
    return chosen


def _owner(name: str) -> str | None:
    """The official prefix of the part that a tensor belongs to: the longest that fits."""
    fitting = [prefix for prefix in SEEM.OFFICIAL_PREFIX.values() if name.startswith(prefix)]
    return max(fitting, key=len, default=None)


def _bears_marks(official: Mapping[str, Tensor], config: SEEMConfig) -> bool:
    """Whether the tensors that tell the presets apart are there, in that configuration's shapes."""
    trunk = config.trunk
    marks: dict[str, tuple[int, ...]] = {
        "sem_seg_head.predictor.query_feat.weight": (config.decoder.queries, config.decoder.dim)
    }
    if isinstance(trunk, FocalConfig | FocalDWConfig):
        marks["backbone.patch_embed.proj.weight"] = (trunk.embed_dim, 3, 7, 7)
        if ("backbone.layers.0.blocks.0.dw1.weight" in official) != isinstance(trunk, FocalDWConfig):
            return False
    elif isinstance(trunk, DaViTConfig):
        marks["backbone.convs.0.proj.weight"] = (trunk.dims[0], 3, 7, 7)
    elif isinstance(trunk, TimmConfig):
        if "backbone.norms.3.weight" not in official:
            return False
        with torch.device("meta"):
            body = build_backbone(trunk).state_dict()
        marks |= {f"backbone.{name}": tuple(tensor.shape) for name, tensor in body.items()}
    else:
        side = trunk.image_size // trunk.patch_size
        marks["backbone.pos_embed"] = (1, side, side, trunk.embed_dim)
    return all(name in official and tuple(official[name].shape) == shape for name, shape in marks.items())


def _resizable(theirs: Tensor, ours: Tensor) -> bool:
    return theirs.ndim == ours.ndim and theirs.shape[-1] == ours.shape[-1]


def _resized(theirs: Tensor, ours: Tensor) -> Tensor:
    """A table of absolute [1, H, W, C] or relative [2·S−1, C] positions, interpolated to the model's size."""
    if theirs.shape == ours.shape:
        return theirs
    if theirs.ndim == 4:
        return resample_abs_pos_embed_nhwc(theirs.float(), list(ours.shape[1:3]))
    return F.interpolate(theirs.float().T[None], size=ours.shape[0], mode="linear")[0].T
