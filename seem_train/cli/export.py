"""``seem-train export``: a fine-tuned model to take away, as plain weights or as graphs."""

from __future__ import annotations

import json
import shlex
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from seem_train.cli import options
from seem_train.cli.early import check_model
from seem_train.cli.options import argument, option, with_options
from seem_train.cli.progress import say
from seem_train.errors import UserError
from seem_train.ranges import check_ranges

_WEIGHTS = (".safetensors", ".pt")
_GRAPHS = ("onnx", "pt2")


@dataclass(frozen=True)
class ExportOptions:
    model: str = argument(options.MODEL)
    out: Path = option(MISSING, "a .safetensors or .pt file for weights; a folder for graphs")
    merge: bool = option(False, "weights: fold LoRA into the weights it belongs to", "--merge")
    form: str = option("onnx", "graphs: onnx, or pt2 (a program of torch.export)", "--format", words=_GRAPHS)
    preset: str | None = option(None, options.PRESET, "--model")
    categories: str | None = option(None, f"graphs: {options.CATEGORIES}")
    size: int | None = option(None, f"graphs: {options.SIZE}; default: the run's, else 800")
    as_json: bool = option(False, options.AS_JSON, "--json")


@with_options(ExportOptions)
def export(chosen: ExportOptions) -> None:
    """Write plain weights under the official names, or image encoder and prompt decoder as graphs.

    Graphs take photos of any size and any number of prompts, and are checked against the model.
    """
    out = chosen.out
    if out.suffix and out.suffix not in _WEIGHTS:
        raise UserError(
            f"--out {out}: give a file {' or '.join(_WEIGHTS)} for weights, or a folder for graphs"
        )
    if chosen.form not in _GRAPHS:
        raise UserError(f"--format {chosen.form}: there are {' and '.join(_GRAPHS)}")
    check_ranges({}, {"--size": chosen.size})
    check_model(chosen.model)
    say(f"loading {chosen.model} …", chosen.as_json)
    from seem_train.exporting import export as exporting
    from seem_train.prediction.predictor import Predictor
    from seem_train.weights.opening import open_model

    run = open_model(chosen.model, chosen.preset)
    opened = run.model
    if out.suffix:
        habits = Predictor(opened)
        exporting.export_weights(opened, out, chosen.merge)
        report: dict[str, Any] = {"out": str(out), "bytes": out.stat().st_size}
        said = f"Wrote {out} ({out.stat().st_size / 1e6:,.0f} MB), official names"
        if out.suffix == ".safetensors":  # which says the rest itself
            said += f"\n  next:  seem-train predict {shlex.quote(str(out))} photo.jpg"
        elif run.folder is not None:  # a .pt knows neither the size of photos nor the names
            names = shlex.quote(",".join(category.name for category in habits.categories))
            said += f"\n  next:  seem-train predict {shlex.quote(str(out))} photo.jpg"
            said += f" --size {habits.scale.short} --categories {names}"
    else:
        settings = Predictor(opened, chosen.categories, size=chosen.size)
        checks = exporting.export_graphs(
            opened,
            out,
            settings.categories,
            settings.scale,
            chosen.form,  # type: ignore[arg-type]
            None if chosen.as_json else lambda name: print(f"{name} … (a minute or two)"),
        )
        report = {"out": str(out), "checks": [vars(check) for check in checks]}
        said = "\n".join(
            f"{check.graph}: at most {check.difference:.1e} from the model, {check.flipped:.2%} of masks flip"
            for check in checks
        )
        said += f"\nWrote {out}; {out / 'README.md'} says how to run it"
    print(json.dumps(report) if chosen.as_json else said)
