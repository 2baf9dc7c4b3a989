"""Adapter folders: what fine-tuning changed, in a few megabytes, and on which weights it stands.

::

    best/
      adapter.safetensors   the trained tensors under the names of the model in memory
      adapter.json          strategy, model, placement of adapters, base weights and their SHA-256,
      categories,
                            preprocessing, metrics
      base.safetensors      only where training started from random weights: the untrained rest

`load_model(folder)` opens one; so it does a run folder, whose ``best/`` it takes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from safetensors.torch import load_file
from torch import Tensor

from seem_train.adapters.layers import Placement, inject
from seem_train.errors import UserError
from seem_train.weights.checkpoints import find_weights, sha256_of
from seem_train.weights.tensor_files import write_tensors

if TYPE_CHECKING:
    from seem_train.model.seem import SEEM

TENSORS, CARD, BASE = "adapter.safetensors", "adapter.json", "base.safetensors"
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Base:
    """The weights an adapter stands on: a file or folder, as it was named, and its content's SHA-256."""

    path: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Card:
    """What ``adapter.json`` says."""

    model: str  #: preset
    strategy: str
    placement: Placement
    base: Base
    categories: tuple[dict[str, Any], ...] = ()
    preprocessing: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, float | None] = dataclasses.field(default_factory=dict)
    step: int = 0
    parameters: int = 0
    tool: str = ""
    format: int = FORMAT


def write(folder: Path, tensors: Mapping[str, Tensor], card: Card) -> None:
    """Write both files, each whole or not at all; the card last: a folder with a card is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    owned = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    write_tensors(folder / TENSORS, owned, {"format": "pt"})
    temporary = folder / f".{CARD}.new"
    temporary.write_text(
        json.dumps(dataclasses.asdict(card), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    temporary.replace(folder / CARD)


def read_card(folder: Path) -> Card:
    """
    Raises:
        UserError: the file is missing or not as described above.
    """
    path = folder / CARD
    try:
        card = msgspec.json.decode(path.read_bytes(), type=Card)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); is it an adapter folder?") from None
    except msgspec.DecodeError as error:
        raise UserError(f"{path}: is not a description of adapters ({error})") from None
    if card.format > FORMAT:
        raise UserError(f"{path}: was written by a newer seem-tools (format {card.format}); update this one")
    return card


def fingerprint(weights: Path) -> str:
    """SHA-256 of a weights file, or of the trained tensors of a run or adapter folder."""
    if weights.is_dir():
        inside = [weights / TENSORS, weights / "best" / TENSORS, weights / "weights.safetensors"]
        found = next((path for path in inside if path.is_file()), None)
        if found is None:
            raise UserError(f"{weights} holds no weights: there is no {TENSORS} in it or in best/")
        return sha256_of(found)
    return sha256_of(weights)


def open_folder(folder: Path, device: str | torch.device = "cpu") -> SEEM:
    """The base model with the folder's adapters in place, in evaluation mode.

    Raises:
        UserError: the base weights are not there or are others, or the tensors do not fit.
    """
    from seem_train.weights.official import load_model

    card = read_card(folder)
    base = find_base(folder, card)
    model = load_model(base) if base.is_dir() else load_model(card.model, weights=base)
    inject(model, card.placement)
    parameters = dict(model.named_parameters())
    tensors = load_file(folder / TENSORS)
    wrong = [n for n, t in tensors.items() if n not in parameters or parameters[n].shape != t.shape]
    if wrong:
        raise UserError(f"{folder / TENSORS}: {wrong[0]} does not fit {card.model}; the folder is damaged")
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)
    model.card = card
    return model.to(device).eval()


def open_run(folder: Path, device: str | torch.device = "cpu") -> SEEM:
    """The best weights of a run folder."""
    if not (folder / "best" / CARD).is_file():
        raise UserError(f"{folder}: the run has no best/ yet; let it reach its first evaluation")
    return open_folder(folder / "best", device)


def find_base(folder: Path, card: Card) -> Path:
    """The weights that a folder's adapters stand on: a file or a folder.

    Raises:
        UserError: they are not there, or are others.
    """
    named = Path(card.base.path)
    for candidate in (folder / named, named):
        if candidate.exists():
            base = candidate
            break
    else:
        try:
            base = find_weights(named.name)
        except UserError:
            raise UserError(
                f"{folder}: its base weights {card.base.path} are not there; put a file of that name "
                f"(SHA-256 {card.base.sha256[:12]}…) into the weights folder or back in its place"
            ) from None
    if (found := fingerprint(base)) != card.base.sha256:
        raise UserError(
            f"{base}: is not what these adapters were trained on (SHA-256 {found[:12]}… ≠ "
            f"{card.base.sha256[:12]}…); find the original file"
        )
    return base
