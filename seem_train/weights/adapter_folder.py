"""Adapter folders: what fine-tuning changed, in a few megabytes, and on which weights it stands.

::

    best/
      adapter.safetensors   the trained tensors under the names of the model in memory
      adapter.json          strategy, model, placement of adapters, base weights and their SHA-256,
                            categories, preprocessing, metrics
      base.safetensors      only where training started from random weights: the untrained rest

Written here, and read file by file; `opening` makes models of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from seem_data.common.files import sha256_file, write_json
from seem_train.adapters.layers import Placement, adapter_kind
from seem_train.errors import UserError
from seem_train.model.card import FORMAT, Card
from seem_train.weights.checkpoints import find_weights
from seem_train.weights.choice import SHIPPED
from seem_train.weights.tensor_files import write_tensors

TENSORS, CARD, BASE = "adapter.safetensors", "adapter.json", "base.safetensors"
COPY_AGAIN = "copy the folder again from where it is whole"


def write(folder: Path, tensors: Mapping[str, Tensor], card: Card) -> None:
    """Write both files, each whole or not at all; the card last: a folder with a card is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    owned = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    write_tensors(folder / TENSORS, owned, {"format": "pt"})
    write_json(folder / CARD, dataclasses.asdict(card))


def read_card(folder: Path) -> Card:
    """Raises UserError: the file is missing or not as `Card` describes it."""
    path = folder / CARD
    try:
        return card_of(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); is it an adapter folder?") from None


def card_of(text: bytes | str, source: str) -> Card:
    """A card from its JSON; `source` names it in the UserError for what is none."""
    try:
        card = msgspec.json.decode(text, type=Card)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{source}: is not a description of adapters ({error})") from None
    if card.format > FORMAT:
        raise UserError(
            f"{source}: was written by a newer seem-tools (format {card.format}); update this one"
        )
    return card


def metadata_of(card: Card | None) -> dict[str, str]:
    """What plain weights of a model say beside their tensors: its card, without the adapters."""
    if card is None:
        return {"format": "pt"}
    card = dataclasses.replace(card, placement=Placement())
    return {"format": "pt", "model": card.model, "card": json.dumps(dataclasses.asdict(card))}


def fingerprint(weights: Path) -> str:
    """SHA-256 of a weights file, or of the trained tensors of a run, last/, adapter or model folder."""
    if weights.is_dir():
        inside = (TENSORS, f"best/{TENSORS}", "weights.safetensors", "model.safetensors")
        found = next((weights / name for name in inside if (weights / name).is_file()), None)
        if found is None:
            raise UserError(f"{weights} holds no weights: there is no {TENSORS} in it or in best/")
        return sha256_file(found)
    return sha256_file(weights)


def find_base(folder: Path, card: Card, named: Path | None = None) -> Path:
    """The weights that a folder's adapters stand on: a file or a folder.

    Looked for where the card says (seen from the folder, then as it stands), beside the card, among those
    that came with the package, and in the weights folder; `named` is looked at instead.

    Raises:
        UserError: they are not there, or are others.
    """
    said = Path(card.base.path)
    shipped = [file for file in SHIPPED.values() if file.name == said.name]
    places = [folder / said, said, folder / said.name, *shipped] if named is None else [named]
    base = next((place for place in places if _is_other(place, folder)), None)
    if base is None and named is None and said.name:
        try:
            base = find_weights(said.name)
        except UserError:
            base = None
    if base is None:
        raise UserError(
            f"{folder}: its base weights {named or card.base.path!r} are not there; put the file "
            f"(SHA-256 {card.base.sha256[:12]}…) beside {CARD}, into the weights folder or back in its "
            "place, or name it: load_model(folder, base=FILE)"
        )
    if (found := fingerprint(base)) != card.base.sha256:
        raise UserError(
            f"{base}: is not what these adapters were trained on (SHA-256 {found[:12]}… ≠ "
            f"{card.base.sha256[:12]}…); find the original file"
        )
    return base


def _is_other(place: Path, folder: Path) -> bool:
    """Whether something lies there, and not the adapter folder itself, which cannot stand on itself."""
    try:
        return place.exists() and place.resolve() != folder.resolve()
    except OSError:  # a name too long, a loop of links
        return False


def fill(model: nn.Module, tensors: Mapping[str, Tensor], card: Card, source: Path) -> None:
    """Copy trained tensors into a model that has its adapters in place already.

    Raises:
        UserError: the tensors are not those, or not all of those, that the card speaks of.
    """
    parameters = dict(model.named_parameters())
    wrong = [n for n, t in tensors.items() if n not in parameters or parameters[n].shape != t.shape]
    if wrong:
        raise UserError(f"{source}: {wrong[0]} does not fit {card.model}; {COPY_AGAIN}")
    missing = [name for name in parameters if _is_placed(name, card.placement) and name not in tensors]
    held = sum(tensor.numel() for tensor in tensors.values())
    if missing or card.parameters not in (0, held):
        many = f"holds {held:,} of {card.parameters:,} trained values" if card.parameters else "is not whole"
        lost = f" ({len(missing)} tensors are missing, first {missing[0]})" if missing else ""
        raise UserError(f"{source}: {many}{lost}; {COPY_AGAIN}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            parameters[name].copy_(tensor)


def _is_placed(name: str, placement: Placement) -> bool:
    """Whether a parameter belongs to the adapters that a placement puts in."""
    kind = adapter_kind(name)
    return kind != "none" and kind == getattr(placement, name.partition(".")[0], "none")
