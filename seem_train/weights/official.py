"""Official names in and out: which model a file belongs to, what matches, and copying it.

A file keeps the official names, in `.pt` as in `.safetensors`; only the model in memory has names of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from timm.layers.pos_embed import resample_abs_pos_embed_nhwc
from torch import Tensor

from seem_train.errors import UserError
from seem_train.model.config import DaViTConfig, FocalConfig, FocalDWConfig, SEEMConfig, TimmConfig
from seem_train.model.seem import SEEM
from seem_train.model.trunks.build import build_trunk
from seem_train.weights.checkpoints import CHECKPOINTS
from seem_train.weights.presets import PRESETS

#: Official tensors that are no part of the model, and why they may be absent, or of another shape.
IGNORABLE = {
    "criterion.empty_weight": "class weights of the loss, one a category: set anew by every training",
    "dilation_kernel": "a constant, the ones that widen a click",
}
COCO_CATEGORIES = 133  #: of the official checkpoints
_POSITIONS = re.compile(r"backbone\.(pos_embed|blocks\.\d+\.attn\.rel_pos_[hw])")


@dataclass(frozen=True)
class Report:
    """Official names of a file against a model's."""

    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  #: the model has them, the file has not
    unexpected: list[str] = field(default_factory=list)  #: the file has them, the model has not
    #: (name, shape in the file, shape in the model)
    mismatched: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)  #: position tables, interpolated to the model's size
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


def official_state_dict(model: SEEM) -> dict[str, Tensor]:
    """The model's tensors, as views, under the names, and in the shapes, of the official checkpoints.

    Works on the meta device. `criterion.empty_weight`, which the demo model has not, is for the categories
    that the model was tuned on, else COCO's 133.
    """
    tuned = len(model.card.categories) if model.card is not None else 0
    categories = tuned or COCO_CATEGORIES
    state: dict[str, Tensor] = {}
    for ours, theirs in SEEM.OFFICIAL_PREFIX.items():
        part = getattr(model, ours)
        tensors = part.state_dict()
        tensors = part.to_official(tensors) if hasattr(part, "to_official") else tensors
        state.update({theirs + name: tensor for name, tensor in tensors.items()})
    like = next(iter(state.values()))
    side = model.config.postprocess.click_dilation
    state["dilation_kernel"] = torch.ones(1, 1, side, side, device=like.device)
    if model.config.decoder.mode != "demo":
        state["criterion.empty_weight"] = torch.ones(categories + 1, device=like.device)
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
    for name, ours in official_state_dict(model).items():
        if name not in IGNORABLE:
            ours.copy_(_resized(official[name], ours))
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


def _bears_marks(official: Mapping[str, Tensor], config: SEEMConfig) -> bool:
    """Whether the tensors that tell the presets apart are there, in that configuration's shapes."""
    trunk = config.trunk
    marks: dict[str, tuple[int, ...]] = {
        "sem_seg_head.predictor.query_feat.weight": (config.decoder.queries, config.decoder.dim)
    }
    if isinstance(trunk, FocalConfig):
        marks["backbone.patch_embed.proj.weight"] = (trunk.embed_dim, 3, 7, 7)
        if ("backbone.layers.0.blocks.0.dw1.weight" in official) != isinstance(trunk, FocalDWConfig):
            return False
    elif isinstance(trunk, DaViTConfig):
        marks["backbone.convs.0.proj.weight"] = (trunk.dims[0], 3, 7, 7)
    elif isinstance(trunk, TimmConfig):
        if "backbone.norms.3.weight" not in official:
            return False
        with torch.device("meta"):
            body = build_trunk(trunk).state_dict()
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
