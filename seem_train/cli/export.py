"""``seem-train export``: a fine-tuned model to take away, as plain weights or as graphs."""

from __future__ import annotations

import json
import shlex
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seem_data.common.terminal import tell, typed
from seem_train.cli import options
from seem_train.cli.early import check_model
from seem_train.cli.options import argument, option, with_options
from seem_train.cli.progress import say
from seem_train.exporting.target import FORMATS, check_target
from seem_train.ranges import check_ranges

if TYPE_CHECKING:
    from seem_train.exporting.api import ExportResult


@dataclass(frozen=True)
class ExportOptions:
    model: str = argument(options.MODEL)
    out: Path = option(MISSING, "a .safetensors or .pt file for weights; a folder for graphs")
    merge: bool = option(False, "weights: fold LoRA into the weights it belongs to", "--merge")
    form: str = option("onnx", "graphs: onnx, or pt2 (a program of torch.export)", "--format", words=FORMATS)
    preset: str | None = option(None, options.PRESET, "--model")
    categories: str | None = options.categories_option(of="graphs: ")
    size: int | None = option(None, f"graphs: {options.SIZE}; default: the run's, else 800")
    as_json: bool = option(False, options.AS_JSON, "--json")


@with_options(ExportOptions)
def export(chosen: ExportOptions) -> None:
    """Write plain weights under the official names, or image encoder and prompt decoder as graphs.

    Graphs take photos of any size and any number of prompts, and are checked against the model.
    """
    out = chosen.out
    check_target(out, chosen.form)
    check_ranges({}, {"--size": chosen.size})
    check_model(chosen.model)
    say(f"loading {chosen.model} …", chosen.as_json)
    from seem_train.exporting import api

    exported = api.export(
        chosen.model,
        out,
        merge=chosen.merge,
        format=chosen.form,  # type: ignore[arg-type]  # checked there
        preset=chosen.preset,
        categories=chosen.categories,
        size=chosen.size,
        progress=None if chosen.as_json else lambda name: tell(f"{name} … (a minute or two)"),
    )
    if chosen.as_json:
        told = {"checks": [vars(check) for check in exported.checks]}
        tell(json.dumps({"out": str(out)} | ({"bytes": out.stat().st_size} if out.suffix else told)))
    else:
        tell(_sentences(exported))


def _sentences(exported: ExportResult) -> str:
    out = exported.out
    if not out.suffix:
        lines = [
            f"{check.graph}: at most {check.difference:.1e} from the model, {check.flipped:.2%} of masks flip"
            for check in exported.checks
        ]
        return "\n".join([*lines, f"Wrote {out}; {out / 'README.md'} says how to run it"])
    said = f"Wrote {out} ({out.stat().st_size / 1e6:,.0f} MB), official names"
    again = f"\n  next:  {typed('seem-train')} predict {shlex.quote(str(out))} photo.jpg"
    if out.suffix == ".safetensors":  # which says the rest itself
        return said + again
    if exported.is_tuned:  # a .pt knows neither the size of photos nor the names
        names = shlex.quote(",".join(category.name for category in exported.categories))
        return f"{said}{again} --size {exported.size} --categories {names}"
    return said
