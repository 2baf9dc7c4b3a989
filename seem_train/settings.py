"""Settings come from a YAML file, ``--set`` texts and flags, and go back into YAML.

Precedence: defaults < what a start asks for < ``--config`` file < ``--set section.key=value`` < flags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import get_args, get_origin

import msgspec
import yaml

from seem_data.common.bounded_yaml import YamlError, load_yaml
from seem_data.common.wording import closest
from seem_train.config import METRICS, SECTIONS, Config, Task, choices, fields, measured, seconds
from seem_train.devices import check_device
from seem_train.errors import UserError

#: What a start asks for: settings in the place of defaults, for a run whose other settings are these.
Beneath = Callable[[Config], Mapping[str, object]]


def resolve(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    beneath: Beneath | None = None,
) -> Config:
    """Put a YAML file, ``section.key=value`` texts and flags (``{"optim.lr": 1e-3}``) over the defaults.

    Raises:
        UserError: unknown keys, values of the wrong type, or settings that contradict each other; all are
        listed.
    """
    settings: dict[str, object] = {}
    if file is not None:
        settings.update(_flatten(_read_yaml(file), str(file)))
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text}: write it as section.key=value, e.g. optim.lr=1e-3")
        try:
            settings[key.strip()] = load_yaml(value)
        except YamlError as error:
            raise UserError(f"--set {text}: is not YAML ({error}).") from None
    settings.update({key: value for key, value in (flags or {}).items() if value is not None})
    return from_settings(settings, beneath)


def from_settings(settings: Mapping[str, object], beneath: Beneath | None = None) -> Config:
    """``{"section.key": value}`` to a checked `Config`; texts are converted ("1e-4", "a,b")."""
    config = _config(settings)
    more = {} if beneath is None else beneath(config)
    return _config({**more, **settings}) if more else config


def _config(settings: Mapping[str, object]) -> Config:
    known = {f"{section}.{item.name}": kind for section, item, kind in fields()}
    problems, nested = [], {section: {} for section in SECTIONS}
    for key, value in settings.items():
        if key not in known:
            problems.append(f"unknown setting {key!r}. {_suggest(key, known)}".rstrip())
            continue
        section, name = key.split(".")
        try:
            nested[section][name] = _convert(value, known[key])
        except (msgspec.ValidationError, ValueError) as error:
            problems.append(f"{key} = {value!r}: {_explain(str(error), known[key])}")
    if problems:
        raise UserError("\n".join(problems))
    config = Config(**{section: kind(**nested[section]) for section, kind in SECTIONS.items()})
    check(config)
    return config


def check(config: Config) -> None:
    """Refuse settings that cannot work or contradict each other, all at once.

    Raises:
        UserError
    """
    data, strategy, run = config.data, config.strategy, config.run
    wrong: list[str] = []
    for section, item, _ in fields():
        value, within = getattr(getattr(config, section), item.name), item.metadata["within"]
        numbers = value if isinstance(value, tuple) else (value,)
        if within is not None and any(isinstance(n, int | float) and n not in within for n in numbers):
            name, shown = item.metadata["flag"] or f"{section}.{item.name}", ",".join(map(str, numbers))
            wrong.append(f"{name} {shown}: must be {within}")
    if data.size % 32:
        wrong.append(
            f"--size {data.size}: must be a multiple of 32, e.g. {max(32, round(data.size / 32) * 32)}"
        )
    if not data.tasks:
        wrong.append(f"--tasks: name at least one of {', '.join(get_args(Task))}")
    if not 0 < data.min_scale <= data.max_scale:
        wrong.append(f"data.min_scale {data.min_scale} and data.max_scale {data.max_scale}: 0 < min ≤ max")
    if run.epochs is not None and run.steps is not None:
        wrong.append("--epochs and --steps both say when to stop; give one of them")
    batch = 1 if run.batch == "auto" else run.batch
    if batch > 0 and run.devices > 0 and run.global_batch % (batch * run.devices):
        what = f"--batch {batch} × --devices {run.devices}" if batch > 1 else f"--devices {run.devices}"
        wrong.append(f"--global-batch {run.global_batch} is no multiple of {what}")
    both = sorted(set(strategy.freeze) & set(strategy.unfreeze))
    wrong += [f"--freeze {part} and --unfreeze {part} contradict each other" for part in both]
    if run.best != "PQ" and not measured(config, METRICS[run.best]):
        wrong.append(
            f"--best {run.best}: needs {METRICS[run.best]} among --eval-tasks, and learned (--tasks)"
        )
    for check_value, value in ((check_device, run.device), (seconds, run.max_time)):
        try:
            if value is not None:
                check_value(value)
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(wrong))


def _convert(value: object, kind: object) -> object:
    if get_origin(kind) is tuple and (value is None or isinstance(value, str)):
        value = [part.strip() for part in (value or "").split(",") if part.strip()]
    return msgspec.convert(value, kind, strict=False)


def _explain(error: str, kind: object) -> str:
    match = re.search(r"enum value '(.*?)'", error)
    if match is None:
        return error[:1].lower() + error[1:].split(" - at")[0]
    close = closest(match[1], choices(kind))
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}It is one of {', '.join(choices(kind))}."


def _suggest(key: str, known: Mapping[str, object]) -> str:
    if key in SECTIONS:
        return f"It is a section; its settings are {', '.join(k for k in known if k.startswith(key + '.'))}."
    close = closest(key, known, cutoff=0.75)
    close = close or [k for k in known if k.split(".")[1] == key.rpartition(".")[2].replace("-", "_")]
    names = {k.split(".")[1]: k for k in known}
    close = close or [names[n] for n in closest(key.rpartition(".")[2], names, cutoff=0.75)]
    return f"Did you mean {close[0]!r}?" if close else f"Sections are {', '.join(SECTIONS)}."


def _read_yaml(file: Path) -> object:
    try:
        return load_yaml(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}). seem-train init writes one.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not YAML ({error}).") from None
    except YamlError as error:
        line = f"line {error.line}: " if error.line else ""
        raise UserError(f"{file}: {line}is not YAML ({error}).") from None


def _flatten(tree: object, file: str) -> dict[str, object]:
    if not isinstance(tree, dict):
        raise UserError(f"{file}: expected sections ({', '.join(SECTIONS)}), found {type(tree).__name__}.")
    flat: dict[str, object] = {}
    for section, values in tree.items():
        if isinstance(values, dict):
            flat.update({f"{section}.{key}": value for key, value in values.items()})
        elif values is not None:
            flat[str(section)] = values
    return flat


def to_dict(config: Config) -> dict[str, dict[str, object]]:
    """Plain values, as JSON and YAML know them."""
    return msgspec.json.decode(msgspec.json.encode(config))


def to_yaml(config: Config) -> str:
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def commented_yaml() -> str:
    """Every setting with its help text, for ``seem-train init``."""
    values = to_dict(Config())
    lines = ["# seem-train run --config this-file.yaml   (flags win over this file)"]
    for section, items in groupby(fields(), key=itemgetter(0)):
        lines += ["", f"{section}:"]
        for _, item, kind in items:
            flag = f" ({item.metadata['flag']})" if item.metadata["flag"] else ""
            listed = f"; one of {', '.join(choices(kind))}" if len(choices(kind)) > 1 else ""
            value = yaml.safe_dump(values[section][item.name], default_flow_style=True).split("\n...")[0]
            lines.append(f"  {item.name}: {value.strip()}  # {item.metadata['help']}{listed}{flag}")
    return "\n".join(lines) + "\n"
