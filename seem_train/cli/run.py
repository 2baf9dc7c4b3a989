"""``seem-train run``, ``init``, ``strategies``: options from dataclasses, no logic."""

from __future__ import annotations

import dataclasses
import inspect
import json
import shlex
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

import typer

from seem_data.common.files import write_text
from seem_data.common.terminal import tell
from seem_train import settings
from seem_train.cli.early import check_all, check_dataset, check_model
from seem_train.cli.options import as_command, parameter
from seem_train.cli.progress import say
from seem_train.config import Config, choices, fields
from seem_train.errors import UserError
from seem_train.training import starts
from seem_train.weights.choice import RANDOM

_PANELS = {
    "data": "Data",
    "model": "Model",
    "strategy": "Strategy",
    "optim": "Optimizer",
    "run": "Run",
}


def _with_settings(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for every setting that has a flag; they arrive as ``section__name``."""
    given = inspect.signature(function, eval_str=True).parameters.values()
    own = [p for p in given if p.kind is not inspect.Parameter.VAR_KEYWORD]
    for section, item, kind in fields():
        flag = item.metadata["flag"]
        if flag is None:
            continue
        plain = _plain_type(kind)
        names = f"{flag}/--no-{flag[2:]}" if plain is bool else flag
        option = typer.Option(
            names, help=_help(item, kind), rich_help_panel=_PANELS[section], show_default=False
        )
        wanted: object = plain | None  # type: ignore[operator]
        own.append(parameter(f"{section}__{item.name}", wanted, None, option))
    return as_command(function, function, own)


def _plain_type(kind: object) -> object:
    """What the command line reads; `config` converts texts to lists and checks words."""
    options = [part for part in get_args(kind) if part is not type(None)] or [kind]
    return options[0] if len(options) == 1 and options[0] in (bool, int, float) else str


def _help(item: dataclasses.Field[object], kind: object) -> str:
    words = choices(kind)
    listed = f" ({', '.join(words)})" if len(words) > 1 else ""
    default = item.default
    if isinstance(default, tuple):
        default = ",".join(str(part) for part in default)
    shown = f" \\[{default}]" if default not in (None, "", False) else ""
    return f"{item.metadata['help']}{listed}{shown}"


@_with_settings
def run(
    dataset: Annotated[
        str | None, typer.Argument(help="folder that seem-data build wrote \\[dataset]")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of settings; see init")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="any setting, as section.key=value; may be repeated")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check everything, show the plan, stop")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="rows as JSON lines on standard output")] = False,
    **flags: object,
) -> None:
    """Fine-tune SEEM on a dataset. The same command continues a run that was stopped."""
    chosen = {name.replace("__", ".", 1): value for name, value in flags.items()}
    if dataset is not None:
        chosen["data.dataset"] = dataset
    resolved = settings.resolve(config, assignments or (), chosen, _start)
    say("loading …", as_json)
    from seem_train.runtime import launch, world_size

    if resolved.run.devices > 1 and world_size() == 1:
        command = [sys.executable, "-m", "seem_train", *sys.argv[1:]]
        raise typer.Exit(launch(command, resolved.run.devices))
    from seem_train.training import trainer

    raise typer.Exit(trainer.run(resolved, as_json=as_json, dry_run=dry_run).status)


def _start(given: Config) -> Mapping[str, object]:
    """What the start asks for, once all that can be told before torch is imported is in order."""
    weights = given.model.weights
    check_all(
        partial(check_dataset, Path(given.data.dataset), given.data.train_split),
        partial(starts.beneath, given) if weights in (None, RANDOM) else partial(check_model, weights),
    )
    return starts.beneath(given)


def init(
    file: Annotated[Path, typer.Argument(help="file to write")] = Path("run.yaml"),
    force: Annotated[bool, typer.Option("--force", help="write over an existing file")] = False,
) -> None:
    """Write a commented file with every setting and its default."""
    if file.exists() and not force:
        raise UserError(f"{file} exists; name another file, or write over it with --force")
    write_text(file, settings.commented_yaml())
    tell(f"Wrote {file}. Edit it, then: seem-train run --config {shlex.quote(str(file))}")


def strategies(
    model: Annotated[str, typer.Option("--model", help="preset to count on, e.g. focal-l")] = "focal-l",
    weights: Annotated[
        str | None, typer.Option("--weights", help="checkpoint to tell the preset from")
    ] = None,
    rank: Annotated[int | None, typer.Option("--rank", help="width of adapters: 64, for lora 16")] = None,
    backbone_stages: Annotated[
        str, typer.Option("--backbone-stages", help="stages of the backbone that get adapters")
    ] = "3,4",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Show what each strategy freezes, adapts and trains."""
    say(f"counting on {model} …", as_json)
    from seem_train.training.reporting import strategy_table

    stages = settings.resolve(None, [f"strategy.backbone_stages={backbone_stages}"]).strategy.backbone_stages
    rows = strategy_table.count_all(model, weights, rank, stages)
    tell(json.dumps(rows, indent=2) if as_json else strategy_table.text(rows))
