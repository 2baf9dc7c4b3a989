"""Pretrained weights of timm's backbones: of an installed package, of the Hugging Face hub, or of a file."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from torch import Tensor

from seem_train.errors import UserError
from seem_train.model.trunks.timm import LITE0, TimmTrunk
from seem_train.weights.choice import LITE0_PACKAGE
from seem_train.weights.hub import check_answers
from seem_train.weights.tensor_files import read_tensors


def load_pretrained(trunk: TimmTrunk, source: str = "pretrained") -> str:
    """Give the trunk's body pretrained weights; returns where they came from, for the reader.

    Args:
        source: ``pretrained`` (the installed package with those of `LITE0`, else timm's own through the
            Hugging Face hub), or a file of timm's weights of that architecture.

    Raises:
        UserError: nothing can be had (offline, no weights published), or the file does not fit.
    """
    if source != "pretrained":
        path = Path(source).expanduser()
        _fill(trunk, read_tensors(path), str(path))
        return f"trunk {trunk.name} with the weights of {path}"
    if trunk.name == LITE0 and (packaged := _packaged()) is not None:
        ours = [name for name in timm.create_model(LITE0).state_dict() if not name.startswith("classifier.")]
        values = list(torch.load(packaged, map_location="cpu", weights_only=True).values())
        _fill(trunk, dict(zip(ours, values, strict=False)), str(packaged))  # the classifier comes last
        return f"trunk {trunk.name} with ImageNet weights of the package {LITE0_PACKAGE.replace('_', '-')}"
    published = timm.get_pretrained_cfg(trunk.name)
    try:
        if published is not None and published.hf_hub_id:
            check_answers(published.hf_hub_id)
        whole = timm.create_model(trunk.name, pretrained=True)
    except RuntimeError as error:  # timm publishes none
        raise UserError(
            f"model.trunk {trunk.name!r}: {error}; say --set model.trunk_weights=random"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"the pretrained weights of trunk {trunk.name!r} cannot be fetched from the Hugging Face hub "
            f"({_first_line(error)}); once online they are kept in its cache. Offline: name a file with "
            f"--set model.trunk_weights=FILE, say --set model.trunk_weights=random, or take {LITE0}, whose "
            "weights are installed"
        ) from None
    _fill(trunk, whole.state_dict(), "timm's weights")
    return f"trunk {trunk.name} with timm's pretrained weights"


def _packaged() -> Path | None:
    found = importlib.util.find_spec(LITE0_PACKAGE)
    if found is None or found.origin is None:
        return None
    return next(Path(found.origin).parent.glob("models/*.pth"), None)


def _fill(trunk: TimmTrunk, whole: Mapping[str, Tensor], source: str) -> None:
    """Copy a whole classifier's tensors into the body, which flattens some names and lacks the head."""
    wanted = trunk.body.state_dict()
    flat = {_flat(name): tensor for name, tensor in whole.items()}
    given = {name: flat.get(_flat(name)) for name in wanted}
    missing = [n for n, t in given.items() if t is None or t.shape != wanted[n].shape]
    if missing:
        raise UserError(
            f"{source} does not fit trunk {trunk.name!r}: {len(missing)} of {len(wanted)} tensors are "
            f"missing or of another shape ({', '.join(missing[:2])})"
        )
    trunk.body.load_state_dict(given)


def _flat(name: str) -> str:
    return name.replace(".", "_")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:160] or type(error).__name__
