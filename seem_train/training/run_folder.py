"""The folder of a run: its name, what lies in it, and whether a new command goes on with it.

::

    runs/kitchen-head-adapter/
      config.yaml        resolved settings: seem-train run --config …
      environment.json   versions, device, command, fingerprints of data and weights
      .lock              who trains in it
      log.txt  metrics.jsonl  metrics.csv  curves.png  previews/  summary.json  report.html
      best/              adapter folder: the best weights so far, for predict and export
      last/              checkpoint, to go on from
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seem_data.common.bounded_yaml import load_yaml
from seem_train import settings
from seem_train.adapters.strategies import ALIASES
from seem_train.config import Config, fields
from seem_train.errors import UserError
from seem_train.model.seem import SEEM
from seem_train.training import checkpoint
from seem_train.weights.choice import choose_weights
from seem_train.weights.official import official_state_dict
from seem_train.weights.tensor_files import write_tensors

CONFIG, SUMMARY, LAST, BEST, BASE = "config.yaml", "summary.json", "last", "best", "base.safetensors"


@dataclass(frozen=True)
class Place:
    """Where a run lives and where it goes on from (None: it starts)."""

    folder: Path
    resume: Path | None


def choose(config: Config) -> Place:
    """The folder for these settings.

    Without ``--out`` it is ``runs/<dataset>-<strategy>``, or the same with a number where that one is
    finished; an unfinished one is continued. The strategy is the one that is trained: ``full`` where no
    weights are there for adapters to stand on. So the same command can be given again and again.

    Raises:
        UserError: the folder holds a run with other settings or a damaged one, or a checkpoint is named that
            is none.
    """
    run = config.run
    if run.resume not in ("auto", "never"):
        return _named(Path(run.resume), config)
    if run.out is not None:
        folder = Path(run.out)
        if run.resume == "never" and _holds_run(folder):
            raise UserError(f"--resume never: {folder} holds a run; choose another --out, or delete it")
        return _continued(folder, config)
    model = config.model
    whole = choose_weights(model.preset, model.weights, model.trunk).whole
    strategy = "full" if whole else ALIASES.get(config.strategy.name, config.strategy.name)
    first = Path("runs") / f"{Path(config.data.dataset).resolve().name}-{strategy}"
    number, folder = 1, first
    while _holds_run(folder) and (run.resume == "never" or read_summary(folder).get("finished")):
        number += 1
        folder = first.with_name(f"{first.name}-{number}")
    return _continued(folder, config)


def _named(named: Path, config: Config) -> Place:
    """``--resume PATH``: from there, in the same folder or, with ``--out``, in another."""
    start = checkpoint.find(named) or checkpoint.find(named / LAST)
    if start is None:
        raise UserError(f"--resume {named}: is neither a checkpoint nor a run folder with a last/")
    folder = Path(config.run.out) if config.run.out else start.parent
    elsewhere = folder.resolve() != start.parent.resolve()
    if elsewhere and (folder / LAST).exists():
        raise UserError(
            f"--resume {named}: {folder} holds a run of its own; leave out --resume to go on with it, "
            "or choose another --out"
        )
    _same_settings(start, config, elsewhere)
    return Place(folder, start)


def _continued(folder: Path, config: Config) -> Place:
    last = checkpoint.find(folder / LAST)
    if last is not None:
        _same_settings(last, config, elsewhere=False)
    elif (folder / LAST).exists() or (folder / f"{LAST}.old").exists():
        raise UserError(f"{checkpoint.damage(folder / LAST)}; {_start_anew(folder)}")
    elif read_summary(folder).get("step", 0):
        step = read_summary(folder)["step"]
        raise UserError(
            f"{folder / LAST} is missing, although the run came to step {step:,}; {_start_anew(folder)}"
        )
    return Place(folder, last)


def _start_anew(folder: Path) -> str:
    """What can be done where there is nothing to go on from; nothing there is overwritten."""
    if (folder / BEST).is_dir():
        return f"start from its best weights with --weights {shlex.quote(str(folder))} and another --out"
    return "start anew with another --out"


def _holds_run(folder: Path) -> bool:
    return (folder / CONFIG).exists() or (folder / LAST).exists()


def read_summary(folder: Path) -> dict[str, Any]:
    """summary.json, or nothing where there is none; it is made of what the run knows, and made again."""
    try:
        found = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _same_settings(start: Path, config: Config, elsewhere: bool) -> None:
    """Refuse settings that make another run; `elsewhere`: it goes on in another folder."""
    before, now = _settings_of(start), flat(settings.to_dict(config))
    may_change = {
        f"{section}.{item.name}"
        for section, item, _ in fields()
        if item.metadata["free"] or (elsewhere and item.metadata["tunable"])
    }
    if changed := [k for k in now if k not in may_change and before.get(k, now[k]) != now[k]]:
        shown = "\n".join(f"  {key}: was {before[key]}, now {now[key]}" for key in changed)
        raise UserError(
            f"{start.parent} was started with other settings:\n{shown}\n"
            "Give it the old ones, or start a new run with --resume never (and another --out)."
        )


def _settings_of(start: Path) -> dict[str, object]:
    """The settings a checkpoint was made with: those it says itself, else those of config.yaml beside it."""
    file = start.parent / CONFIG
    own = json.loads((start / checkpoint.MANIFEST).read_text(encoding="utf-8")).get("settings")
    try:
        beside = flat(load_yaml(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return own or {}
    except (OSError, ValueError) as error:
        why = str(error).splitlines()[0]
        raise UserError(
            f"{file}: is damaged ({why}); delete it, and the same command goes on and writes it anew"
        ) from None
    return own or beside


def flat(tree: object) -> dict[str, object]:
    """``{"section.key": value}`` of a tree of settings.

    Raises:
        ValueError: these are no sections of settings.
    """
    if not isinstance(tree, dict) or not all(isinstance(section, dict) for section in tree.values()):
        raise ValueError("it holds no sections")
    return {f"{s}.{k}": v for s, part in tree.items() for k, v in part.items()}


def keep_base(folder: Path, model: SEEM) -> None:
    """Write the random weights a run starts from, without which its adapters mean nothing; once."""
    if not (folder / BASE).is_file():
        write_tensors(folder / BASE, official_state_dict(model), {"format": "pt"})
