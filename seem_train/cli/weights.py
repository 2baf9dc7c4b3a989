"""`seem-train models` and `seem-train weights …`: the models, and their official checkpoint files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.table import Table

from seem_data.common.console import PlainConsole
from seem_data.common.terminal import tell
from seem_data.common.wording import table
from seem_train.errors import UserError
from seem_train.formatting import size_text

if TYPE_CHECKING:
    from torch import Tensor

    from seem_train.model.card import Card
    from seem_train.weights.official import Report

weights = typer.Typer(
    help="Official checkpoints: list, get, inspect, convert, verify.",
    no_args_is_help=True,
    add_completion=False,
)
_SHORT = {
    "backbone": "trunk",
    "pixel decoder": "pixel",
    "decoder": "dec.",
    "text encoder": "text",
    "total": "total",
}  #: parts of a model → headings
_EXAMPLES = 3  #: names shown of each kind in a report

File = Annotated[
    Path, typer.Argument(help="a .pt or .safetensors file, or its bare name in the weights folder")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


def models(as_json: AsJson = False) -> None:
    """List the models: parameters of each part, GFLOPs, official checkpoint and its size."""
    from seem_train.model.footprint import count_parameters
    from seem_train.weights.checkpoints import checkpoint_of_preset
    from seem_train.weights.presets import PRESETS

    rows = []
    for preset in PRESETS.values():
        checkpoint = checkpoint_of_preset(preset.name)
        rows.append(
            {
                "name": preset.name,
                "description": preset.description,
                "parameters": count_parameters(preset.config),
                "gflops_512": preset.gflops,
                "checkpoint": checkpoint.file if checkpoint else None,
                "bytes": checkpoint.size if checkpoint else None,
            }
        )
    if as_json:
        tell(json.dumps(rows, indent=1))
        return
    lines = [("model", *_SHORT.values(), "GFLOPs", "checkpoint", "MB")]
    for row in rows:
        counts = [f"{row['parameters'][part] / 1e6:.1f}" for part in _SHORT]
        size = f"{row['bytes'] / 1e6:.0f}" if row["bytes"] else ""
        lines.append((row["name"], *counts, f"{row['gflops_512']:.0f}", row["checkpoint"] or "none", size))
    tell("millions of parameters; GFLOPs for one 512 × 512 image (samvit pads to 1024)")
    tell(table(lines, left=(0, 7)))


@weights.command("list")
def list_checkpoints(as_json: AsJson = False) -> None:
    """List the official files: model, size, licence, address, and whether they are in the weights folder."""
    from seem_train.weights.checkpoints import CHECKPOINTS, weights_folder

    folder = weights_folder()
    rows: list[dict[str, Any]] = [
        {**vars(checkpoint), "url": checkpoint.url, "here": (folder / checkpoint.file).is_file()}
        for checkpoint in CHECKPOINTS.values()
    ]
    if as_json:
        tell(json.dumps({"folder": str(folder), "files": rows}, indent=1))
        return
    for row in rows:
        here = "here" if row["here"] else "not here"
        tell(f"{row['file']:20} {row['preset']:11} {size_text(row['size']):>8}  {here}")
        tell(f"    {row['url']}\n    sha256 {row['sha256']}\n    licence {row['licence']}")
    tell(f"\nweights folder ($SEEM_WEIGHTS): {folder}")


@weights.command("get")
def get_checkpoint(
    name: Annotated[str, typer.Argument(help="a model (focal-l) or an official file (seem_focall_v1.pt)")],
    folder: Annotated[Path | None, typer.Option(help="where to put it; default: the weights folder")] = None,
) -> None:
    """Download an official file; continues where an earlier attempt stopped, and checks what came."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from seem_train.weights.checkpoints import download, known_checkpoint

    checkpoint = known_checkpoint(name)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress("{task.description}", *columns, console=PlainConsole(stderr=True)) as bar:
        task = bar.add_task(checkpoint.file, total=checkpoint.size)
        path = download(checkpoint, folder, lambda done, total: bar.update(task, completed=done, total=total))
    tell(str(path))


@weights.command()
def inspect(file: File, as_json: AsJson = False) -> None:
    """Say which model a file belongs to and how its tensors compare with it."""
    path, official = _read(file)
    name, report = _identify(official, path)
    facts = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "tensors": len(official),
        "parameters": sum(tensor.numel() for tensor in official.values()),
        "model": name,
    }
    card = _card(path)
    if card is not None:
        facts |= {"categories": [row["name"] for row in card.categories], "size": card.photo_size}
    if as_json:
        counts = {what: len(names) for what, names in _differences(report).items()} if report else None
        tell(json.dumps({**facts, "report": counts, "fits": bool(report and report.fits)}, indent=1))
        return
    tell(f"{path}: {facts['tensors']} tensors, {facts['parameters']:,} values, {size_text(facts['bytes'])}")
    if report is None:
        tell("model: none of ours (its names and shapes are not those of a SEEM checkpoint)")
        return
    tell(f"model: {name}" + _also_fits(name, path))
    if card is not None:
        tell(f"categories ({len(card.categories)}): {', '.join(row['name'] for row in card.categories)}")
        size = card.photo_size or "not said"
        tell(f"photos: shorter side {size}; made of {card.strategy}, step {card.step:,}")
    PlainConsole(soft_wrap=True).print(_table(report))


@weights.command()
def convert(
    file: File,
    out: Annotated[Path, typer.Argument(help="the new file: ….safetensors or ….pt")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an existing file")] = False,
) -> None:
    """Rewrite a checkpoint as .safetensors or as .pt: same official names, same values, bit for bit."""
    from seem_data.common.files import sha256_file
    from seem_train.weights.tensor_files import write_tensors

    if out.exists() and not overwrite:
        raise UserError(f"{out} exists; name another file, or add --overwrite")
    path, official = _read(file)
    name, _ = _identify(official, path)
    write_tensors(out, official, {"format": "pt", **({"model": name} if name else {})})
    tell(f"{out}: {len(official)} tensors, model {name or 'unknown'}")
    tell(f"sha256 {sha256_file(out)}")


@weights.command()
def verify(file: File) -> None:
    """Check a file: every tensor of its model is there, all finite; the checksum, where one is known."""
    from seem_data.common.files import sha256_file
    from seem_train.weights.checkpoints import CHECKPOINTS

    path, official = _read(file)
    name, report = _identify(official, path)
    if report is None:
        raise UserError(f"{path}: its names and shapes are not those of a SEEM checkpoint")
    if not report.fits:
        raise UserError(f"{path} is nearly {name}, but not all of it: {report.sentence()}")
    if broken := [key for key, tensor in official.items() if not tensor.isfinite().all()]:
        raise UserError(f"{path}: {len(broken)} tensors hold NaN or infinity, the first is {broken[0]}")
    digest = sha256_file(path)
    tell(f"{path}: {name}, {report.sentence()}\nsha256 {digest}")
    official_digests = {c.sha256: c.file for c in CHECKPOINTS.values()}
    if digest in official_digests:
        tell(f"the official {official_digests[digest]}")
    elif (known := CHECKPOINTS.get(path.name)) is not None:
        raise UserError(f"{path} has not the checksum of the official {known.file} ({known.sha256})")
    else:
        tell("not an official file by its checksum (a converted or fine-tuned one has its own)")


def _read(file: Path) -> tuple[Path, dict[str, Tensor]]:
    from seem_train.weights.checkpoints import find_weights
    from seem_train.weights.tensor_files import read_tensors

    path = find_weights(file)
    return path, read_tensors(path)


def _card(path: Path) -> Card | None:
    """What plain weights that were made of a run say of it."""
    from seem_train.weights.adapter_folder import card_of
    from seem_train.weights.tensor_files import read_metadata

    text = read_metadata(path).get("card")
    return None if text is None else card_of(text, str(path))


def _identify(official: dict[str, Tensor], path: Path) -> tuple[str | None, Report | None]:
    """The preset that a file belongs to, else the model that a configuration beside it describes."""
    import torch

    from seem_train.model.seem import SEEM
    from seem_train.weights.official import compare, recognise
    from seem_train.weights.opening import folder_config
    from seem_train.weights.presets import PRESETS

    name = recognise(official, path.name)
    if name is not None:
        config = PRESETS[name].config
    elif (path.parent / "config.json").is_file():
        name, config = f"that of {path.parent / 'config.json'}", folder_config(path.parent)
    else:
        return None, None
    with torch.device("meta"):
        model = SEEM(config)
    return name, compare(model, official)


def _also_fits(name: str | None, path: Path) -> str:
    from seem_train.weights.checkpoints import CHECKPOINTS
    from seem_train.weights.presets import PRESETS

    twin = f"{name}-v0"
    if path.name in CHECKPOINTS or twin not in PRESETS:
        return ""
    return f" (or {twin}, whose tensors have the same names and shapes)"


def _differences(report: Report) -> dict[str, list[str]]:
    return {
        "matched": report.matched,
        "missing": report.missing,
        "unexpected": report.unexpected,
        "other shape": [
            f"{name}: {theirs} in the file, {ours} in the model" for name, theirs, ours in report.mismatched
        ],
        "resized": report.resized,
        "ignored": report.ignored,
    }


def _table(report: Report) -> Table:
    from seem_train.weights.official import IGNORABLE

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("tensors", "count", "for example"):
        table.add_column(heading, justify="right" if heading == "count" else "left")
    for what, names in _differences(report).items():
        if not names:
            continue
        shown = [f"{name}: {IGNORABLE[name]}" if what == "ignored" else name for name in names[:_EXAMPLES]]
        if len(names) > _EXAMPLES:
            shown.append("…")
        table.add_row(what, str(len(names)), "\n".join(shown if what != "matched" else []))
    return table
