"""Replays the original's training steps: ``python -m tests.parity.losses FOLDER…``

A folder holds golden cases (``<case>/case.json`` and ``data.safetensors``) or is one. Of every case that
records a training step the loss terms (1e-4 relative), all matchings (equal) and the gradient norm of every
parameter (1e-3 relative) are compared with ours; the command fails on a miss. Everything, from the loss
weights to the points, is read from the case's files. Paths in case.json that begin with ``fixtures/`` are
relative to the folder above the case.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from seem_train.errors import UserError
from seem_train.losses.criterion import LossTerms
from seem_train.losses.points import Task
from seem_train.losses.targets import Targets
from seem_train.model.predictions import Predictions
from seem_train.weights.opening import load_model
from tests.parity.golden import Case, case_folders
from tests.parity.training import MODES, official_gradients, step

LOSS_TOLERANCE = 1e-4  #: relative
#: Losses below this are compared absolutely: the original's own float32 noise in logits is of order 1e-4.
LOSS_FLOOR = 0.1
GRADIENT_TOLERANCE = 1e-3  #: relative
#: Gradients this much smaller than the largest are rounding noise around zero and are compared absolutely.
GRADIENT_FLOOR = 1e-7


@dataclass
class Outcome:
    """What differed in one case."""

    name: str
    terms: int = 0
    loss_error: float = 0.0
    worst_loss: str = ""
    gradients: int = 0
    gradient_error: float = 0.0
    worst_gradient: str = ""
    matchings: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.faults


def run(case: Case) -> Outcome:
    """Replay one case and compare."""
    torch.manual_seed(0)
    model = load_model(case.path("config").parent, weights=case.path("weights"))
    model.requires_grad_(True).train()
    terms, targets, predictions = step(case, model)
    outcome = Outcome(case.name)
    _compare_losses(outcome, case, terms)
    _compare_matchings(outcome, case, terms, targets, predictions)
    terms.total.backward()
    _compare_gradients(outcome, case, official_gradients(model))
    return outcome


def _compare_losses(outcome: Outcome, case: Case, terms: LossTerms) -> None:
    ours = dict(zip(terms.names, terms.stacked().tolist(), strict=True))
    theirs: dict[str, float] = case.info["raw_losses"]
    if set(ours) != set(theirs):
        outcome.faults.append(f"loss terms differ: {sorted(set(ours) ^ set(theirs))[:4]}")
    compared = {name: (ours[name], theirs[name]) for name in theirs if name in ours}
    compared["total"] = (terms.total.item(), case.info["total"])
    outcome.terms = len(compared)
    for name, (mine, golden) in compared.items():
        error = abs(mine - golden) / max(abs(golden), LOSS_FLOOR)
        if not error <= outcome.loss_error:
            outcome.loss_error, outcome.worst_loss = error, name
        if not error <= LOSS_TOLERANCE:
            outcome.faults.append(f"{name}: {mine:.6g}, the original {golden:.6g}")


def _compare_matchings(
    outcome: Outcome, case: Case, terms: LossTerms, targets: Targets, predictions: Predictions
) -> None:
    final = predictions.final
    sizes: dict[Task, tuple[int, tuple[int, ...]]] = {
        "objects": (final.objects.masks.shape[1], targets.objects.counts)
    }
    if final.spatial is not None and targets.spatial is not None:
        sizes["spatial"] = (final.spatial.masks.shape[1], targets.spatial.counts)
    if final.grounding is not None and targets.grounding is not None:
        sizes["grounding"] = (final.grounding.masks.shape[1], targets.grounding.counts)
    for task, mode in MODES.items():
        theirs = [m["indices"] for m in case.info["matching"] if m["mode"] == mode]
        ours = terms.pairs[task].per_image(*sizes[task]) if task in terms.pairs else []
        if len(ours) != len(theirs):
            outcome.faults.append(f"{task}: {len(ours)} layers matched, the original {len(theirs)}")
        for layer, (mine, golden) in enumerate(zip(ours, theirs, strict=False)):
            outcome.matchings += 1
            if [[list(query), list(target)] for query, target in mine] != golden:
                outcome.faults.append(f"{task}, layer {layer}: matched {mine}, the original {golden}")


def _compare_gradients(outcome: Outcome, case: Case, ours: dict[str, Tensor]) -> None:
    golden = dict(zip(case.info["grad_norm_names"], case.tensors["grad_norm"].tolist(), strict=True))
    floor = GRADIENT_FLOOR * max(golden.values())
    outcome.gradients = len(golden)
    for name, norm in golden.items():
        if name not in ours:
            outcome.faults.append(f"{name}: no such parameter")
            continue
        error = abs(ours[name].norm().item() - norm) / max(norm, floor)
        if not error <= outcome.gradient_error:
            outcome.gradient_error, outcome.worst_gradient = error, name
        if not error <= GRADIENT_TOLERANCE:
            outcome.faults.append(f"|grad {name}|: {ours[name].norm():.6g}, the original {norm:.6g}")
    for name in case.info["grad_none"]:
        if name not in ours or ours[name].any():
            outcome.faults.append(f"{name}: has a gradient, in the original it has none")


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        print("usage: python -m tests.parity.losses FOLDER…", file=sys.stderr)
        return 2
    try:
        cases = [Case.read(folder) for argument in arguments for folder in case_folders(Path(argument))]
        outcomes = []
        print(f"{'case':32} {'terms':>5} {'worst Δ':>8} {'matchings':>9} {'gradients':>9} {'worst Δ':>8}  of")
        for case in cases:
            if "raw_losses" not in case.info:
                continue
            outcome = Outcome(case.name)
            try:
                outcome = run(case)
            except ValueError as error:  # the replay does not fit the recording
                outcome.faults.append(str(error))
            outcomes.append(outcome)
            verdict = "ok" if outcome.passed else f"{len(outcome.faults)} FAULTS"
            print(
                f"{outcome.name:32} {outcome.terms:5} {outcome.loss_error:8.1e} {outcome.matchings:9} "
                f"{outcome.gradients:9} {outcome.gradient_error:8.1e}  {outcome.worst_loss}, "
                f"{outcome.worst_gradient}: {verdict}"
            )
            for fault in outcome.faults[:10]:
                print(f"    {fault}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not outcomes:
        print("error: no recorded training step in these folders", file=sys.stderr)
        return 2
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
