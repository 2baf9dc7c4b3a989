"""Golden cases: what the original did, stored with its inputs, its random draws and its outputs.

A case is a folder with `case.json` (what was run) and `data.safetensors`. Paths in case.json that begin with
``fixtures/`` mean the folder that the cases lie in. `compare` replays them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch import Tensor

from seem_train.errors import UserError
from seem_train.model.language import BACKGROUND
from seem_train.model.seem import SEEM
from seem_train.weights.opening import load_model
from tests.parity.fixed import ReplayDraws

FEATURES = 1e-4  #: tolerance of backbone and pixel decoder, relative to the largest value
LOGITS = 3e-4  #: of logits and embeddings
MASKS = 1e-3  #: of mask logits, whose values are of order 10


@dataclass(frozen=True)
class Case:
    """One golden case; `name` is its folder's name."""

    root: Path  #: the folder of cases
    name: str
    info: dict[str, Any]  #: case.json
    tensors: dict[str, Tensor]  #: data.safetensors

    @classmethod
    def read(cls, folder: Path) -> Case:
        info = json.loads((folder / "case.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "data.safetensors")  # in no order; case.json has theirs
        return cls(folder.parent, folder.name, info, {n: tensors[n] for n in info.get("tensors", tensors)})

    def path(self, key: str) -> Path:
        """The file that ``case.json[key]`` names."""
        return self.root / str(self.info[key]).removeprefix("fixtures/")

    def siblings(self) -> Iterator[Case]:
        """The other cases of the folder, in the order of their names; what they are, their contents say."""
        for folder in case_folders(self.root):
            if folder.name != self.name:
                yield Case.read(folder)

    def config_file(self) -> Path:
        """The configuration of this case's model, or of the first other case that names one."""
        for case in (self, *self.siblings()):
            if str(case.info.get("config", "")).endswith(".json"):
                return case.path("config")
        raise KeyError("no case of the folder names a config.json")

    def model(self) -> SEEM:
        """The model the case was run with, from its configuration and weights."""
        return _model(self.path("config"), self.path("weights"))

    def images(self) -> dict[str, Tensor]:
        """The images [3, H, W] of this case or the folder's backbone case, by size such as "96x128"."""
        models = (
            c for c in (self, *self.siblings()) if "trunk" not in c.info
        )  # those have images of their own
        return next((images for c in models if (images := c.with_prefix("image_"))), {})

    def lists_texts(self) -> bool:
        """Whether this is a case of the text encoder (those of training name categories and prompts too)."""
        return {"class_names", "prompts"} <= self.info.keys() and "raw_losses" not in self.info

    def categories(self) -> Tensor:
        """Embeddings of the category names that the folder's text case lists, as for evaluation."""
        texts = (c for c in (self, *self.siblings()) if c.lists_texts())
        source = next(texts, None)
        if source is None:
            raise KeyError("no case of the folder lists class_names")
        *names, last = source.info["class_names"]
        if last == BACKGROUND:
            return self.model().language.category_embeddings(names)
        return self.model().language.category_embeddings([*names, last])[:-1]

    def draws(self, full_sets: bool = True) -> ReplayDraws | None:
        """The recorded draws of the decoder in their order; None where the case has none recorded."""
        recorded = self.info.get("random_draws")
        if recorded is None:
            return None
        return ReplayDraws([self.tensors[r["key"]] for r in recorded], full_sets)

    def with_prefix(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names begin with the prefix, without it."""
        return {n.removeprefix(prefix): t for n, t in self.tensors.items() if n.startswith(prefix)}


@functools.lru_cache(maxsize=4)
def _model(config: Path, weights: Path) -> SEEM:
    return load_model(config.parent, weights=weights)


def case_folders(folder: Path) -> list[Path]:
    """The cases in a folder of cases, or the folder itself if it is one."""
    if (folder / "case.json").is_file():
        return [folder]
    found = sorted(f for f in folder.iterdir() if (f / "case.json").is_file()) if folder.is_dir() else []
    if not found:
        raise UserError(f"{folder} holds no golden case: no folder in it has a case.json")
    return found


@dataclass
class Comparison:
    """Differences of one case from its golden tensors, tensor by tensor."""

    case: Case
    deltas: dict[str, tuple[float, float]] = field(default_factory=dict)  #: worst |Δ| and its tolerance
    faults: list[str] = field(default_factory=list)  #: what is wrong beside numbers

    def close(self, name: str, ours: Tensor, tolerance: float, golden: Tensor | None = None) -> None:
        """Ours may differ from golden tensor `name` (or `golden`, under that label) by the tolerance.

        A tensor that the case does not hold is not compared.
        """
        if golden is None and name not in self.case.tensors:
            return
        golden = self.case.tensors[name] if golden is None else golden
        if golden.shape != ours.shape:
            self.faults.append(f"{name} is {list(ours.shape)}, golden {list(golden.shape)}")
            golden = ours = ours.new_zeros(0)
        delta = (ours.double() - golden.double()).abs().max().item() if ours.numel() else 0.0
        self.deltas[name] = (delta, tolerance)
        if delta != delta:
            self.faults.append(f"{name} holds values that are not numbers")

    def relative(self, name: str, ours: Tensor, tolerance: float) -> None:
        """As `close`, the tolerance times the largest golden value."""
        if name in self.case.tensors:
            self.close(name, ours, tolerance * float(self.case.tensors[name].abs().max()))

    def equal(self, name: str, ours: Tensor, golden: Tensor | None = None) -> None:
        """Integers and booleans must be the same."""
        self.close(name, ours.to(torch.int64), 0.0, golden)

    def same(self, name: str, ours: object, golden: object) -> None:
        """Values of case.json must be the same."""
        self.deltas[name] = (0.0, 0.0)
        if ours != golden:
            self.faults.append(f"{name} is {ours!r}, golden {golden!r}")

    def all_used(self, draws: ReplayDraws | None) -> None:
        """As many draws must have been made as the original made."""
        if draws is not None and draws.used != len(draws.recorded):
            self.faults.append(f"{draws.used} draws were made, the original made {len(draws.recorded)}")

    def uncompared(self, inputs: Sequence[str]) -> list[str]:
        """Golden tensors that were neither compared nor are inputs (by prefix)."""
        return [n for n in self.case.tensors if n not in self.deltas and not n.startswith(tuple(inputs))]

    @property
    def worst(self) -> tuple[str, float, float]:
        """Name, |Δ| and tolerance of the tensor nearest to (or furthest beyond) its tolerance."""
        if not self.deltas:
            return "", 0.0, 0.0
        name = max(self.deltas, key=lambda n: (_excess(*self.deltas[n]), self.deltas[n][0]))
        return name, *self.deltas[name]

    @property
    def passed(self) -> bool:
        return not self.faults and bool(self.deltas) and all(_excess(*d) <= 1 for d in self.deltas.values())


def _excess(delta: float, tolerance: float) -> float:
    if tolerance > 0:
        return delta / tolerance
    return 0.0 if delta == 0 else float("inf")


def print_table(results: Sequence[Comparison], not_run: Sequence[tuple[str, str]]) -> None:
    """One line for each case, then the faults in full."""
    table = Table("case", "tensors", "worst |Δ|", "tolerance", "of", "verdict")
    for result in results:
        name, delta, tolerance = result.worst
        verdict = "equal" if result.passed else "MISS"
        table.add_row(
            result.case.name, str(len(result.deltas)), f"{delta:.1e}", f"{tolerance:.1e}", name, verdict
        )
    for name, reason in not_run:
        table.add_row(name, "", "", "", reason, "not run")
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
    for result in results:
        beyond = [f"{n}: |Δ| {d:.2e} > {t:.1e}" for n, (d, t) in result.deltas.items() if _excess(d, t) > 1]
        for fault in [*result.faults, *beyond]:
            console.print(f"{result.case.name}: {fault}", markup=False, highlight=False)
