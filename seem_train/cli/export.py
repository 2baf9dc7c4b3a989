"""``seem-train export``: a fine-tuned model to take away, as plain weights or as graphs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from seem_train.errors import UserError

_WEIGHTS = (".safetensors", ".pt")
_GRAPHS = ("onnx", "pt2")


def export(
    model: Annotated[str, typer.Argument(help="run folder, weights file, or a model such as focal-l")],
    out: Annotated[
        Path, typer.Option("--out", help="a .safetensors or .pt file for weights; a folder for graphs")
    ],
    merge: Annotated[
        bool, typer.Option("--merge", help="weights: fold LoRA into the weights it belongs to")
    ] = False,
    form: Annotated[
        str, typer.Option("--format", help="graphs: onnx, or pt2 (a program of torch.export)")
    ] = "onnx",
    preset: Annotated[
        str | None, typer.Option("--model", help="model of a weights file that does not tell")
    ] = None,
    categories: Annotated[
        str | None,
        typer.Option(help="graphs: names, as 'mug,table'; default: the run's, else COCO's 133"),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="graphs: shorter side of photos; default: the run's, else 800")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Write plain weights under the official names, or image encoder and prompt decoder as graphs.

    Graphs take photos of any size and any number of prompts, and are checked against the model.
    """
    if out.suffix and out.suffix not in _WEIGHTS:
        raise UserError(
            f"--out {out}: give a file {' or '.join(_WEIGHTS)} for weights, or a folder for graphs"
        )
    if form not in _GRAPHS:
        raise UserError(f"--format {form}: there are {' and '.join(_GRAPHS)}")
    from seem_train.exporting import export as exporting
    from seem_train.prediction.predictor import Predictor
    from seem_train.weights.opening import open_model

    run = open_model(model, preset)
    opened = run.model
    if out.suffix:
        habits = Predictor(opened)
        exporting.export_weights(opened, out, merge)
        report: dict[str, Any] = {"out": str(out), "bytes": out.stat().st_size}
        said = f"Wrote {out} ({out.stat().st_size / 1e6:,.0f} MB), official names"
        if run.folder is not None:  # plain weights know neither the size of photos nor the names
            names = ",".join(category.name for category in habits.categories)
            said += f"\n  next:  seem-train predict {out} photo.jpg --size {habits.scale.short}"
            said += f' --categories "{names}"'
    else:
        settings = Predictor(opened, categories, size=size)
        checks = exporting.export_graphs(
            opened,
            out,
            settings.categories,
            settings.scale,
            form,  # type: ignore[arg-type]
            None if as_json else lambda name: print(f"{name} … (a minute or two)"),
        )
        report = {"out": str(out), "checks": [vars(check) for check in checks]}
        said = "\n".join(
            f"{check.graph}: at most {check.difference:.1e} from the model, {check.flipped:.2%} of masks flip"
            for check in checks
        )
        said += f"\nWrote {out}; {out / 'README.md'} says how to run it"
    print(json.dumps(report) if as_json else said)
