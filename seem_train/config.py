"""The settings of a run: these dataclasses are the command line, the YAML file and the documentation.

A field's metadata holds its help text and its flag, from which `commands.run` makes the options and
`commented_yaml` the file of ``seem-train init``. What is not said keeps the original's recipe (SEEM.md
section 6).

Precedence: defaults < ``--config`` file < ``--set section.key=value`` < flags.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import yaml

from seem_train.errors import UserError

Task = Literal["panoptic", "grounding", "interactive"]
EvalTask = Literal["panoptic", "semantic", "instance", "grounding", "interactive"]
Part = Literal["backbone", "pixel-decoder", "language", "decoder"]


def _option(default: Any, help: str, flag: str | None = None) -> Any:
    """A setting; `flag` is its name on the command line, None where only the file and ``--set`` reach it."""
    return field(default=default, metadata={"help": help, "flag": flag})


@dataclass(frozen=True)
class DataConfig:
    dataset: str = _option("dataset", "folder that seem-data build wrote")
    train_split: str = _option("train", "split to learn from")
    val_split: str = _option("val", "split to evaluate on")
    tasks: tuple[Task, ...] = _option(
        ("panoptic", "grounding", "interactive"), "what to learn, separated by commas", "--tasks"
    )
    size: int = _option(512, "side of the training crops in pixels (the original: 1024)", "--size")
    limit: int | None = _option(None, "use only the first N training images (few-shot)", "--limit")
    min_scale: float = _option(0.1, "least zoom of large-scale jitter, relative to size")
    max_scale: float = _option(2.0, "largest zoom of large-scale jitter, relative to size")
    flip: float = _option(0.5, "share of images that are mirrored")
    color: float = _option(
        0.0, "strength of changes of brightness, contrast, saturation, hue (original: none)"
    )
    repeat_rare: float = _option(
        0.0, "show images of categories rarer than this share of the images more often; 0: every image once"
    )
    template: Literal["drawn", "mean"] = _option(
        "drawn",
        "how categories are said: in sentences drawn for each step, as the original, or as the mean over all "
        "sentences, as in evaluation, which is easier to learn from nothing",
    )
    prompts: int = _option(1, "interactive objects for each image (the original's K)")
    phrases: int = _option(4, "phrases, or categories, that an image is asked about at most")
    refine_rounds: int = _option(1, "at most so many rounds of simulated corrections before the step's loss")
    workers: int | None = _option(None, "loader processes; by default the cores, at most 8", "--workers")


@dataclass(frozen=True)
class ModelConfig:
    preset: str | None = _option(None, "model, e.g. focal-l; told from the weights where possible", "--model")
    weights: str | None = _option(
        None,
        "checkpoint file, run folder or adapter folder; 'random' starts from nothing; by default the only "
        "official checkpoint in the weights folder",
        "--weights",
    )
    trunk: str | None = _option(
        None,
        "backbone of timm in the place of the model's own, e.g. convnext_tiny; the rest starts at random",
    )
    trunk_weights: str = _option(
        "pretrained", "of that backbone: pretrained (timm's), random, or a file of timm's weights"
    )


@dataclass(frozen=True)
class StrategyConfig:
    name: str = _option("head-adapter", "which parts learn; see seem-train strategies", "--strategy")
    rank: int | None = _option(None, "width of adapters: 64, for lora 16", "--rank")
    backbone_stages: tuple[int, ...] = _option(
        (3, 4), "stages of the backbone that get adapters", "--backbone-stages"
    )
    freeze: tuple[Part, ...] = _option((), "parts to freeze against the strategy", "--freeze")
    unfreeze: tuple[Part, ...] = _option((), "parts to train against the strategy", "--unfreeze")


@dataclass(frozen=True)
class OptimConfig:
    lr: float = _option(1e-4, "learning rate", "--lr")
    weight_decay: float = _option(0.05, "weight decay of matrices", "--weight-decay")
    backbone_lr: float = _option(
        0.1, "times the learning rate, for weights of the backbone (not its adapters)"
    )
    language_lr: float = _option(0.1, "times the learning rate, for the text encoder")
    betas: tuple[float, float] = _option((0.9, 0.999), "AdamW's running averages")
    decay_rule: Literal["matrices", "original"] = _option(
        "matrices",
        "matrices: no decay for norms, embeddings, biases, scales; original: none for norms and nn.Embedding",
    )
    warmup_steps: int = _option(0, "steps of linear warm-up (the original has none)", "--warmup-steps")
    milestones: tuple[float, ...] = _option(
        (0.88889, 0.96296), "shares of the run after which the learning rate is divided by 10"
    )
    clip: float = _option(5.0, "largest norm of the whole gradient; 0: no clipping", "--clip")
    points: int = _option(12544, "points of each mask that the losses look at")
    ema: bool = _option(False, "evaluate and keep a running average of the weights", "--ema")
    ema_decay: float = _option(0.999, "how much of the average stays at a step")


@dataclass(frozen=True)
class RunConfig:
    out: str | None = _option(None, "run folder; by default runs/<dataset>-<strategy>", "--out")
    epochs: float | None = _option(
        None, "passes over the training images (50 where nothing is said)", "--epochs"
    )
    steps: int | None = _option(None, "optimizer steps, instead of epochs", "--steps")
    max_time: str | None = _option(
        None, "stop after so long and decay the rate in time: 30m, 2h", "--max-time"
    )
    batch: int | Literal["auto"] = _option("auto", "images at once on a device; auto: what fits", "--batch")
    global_batch: int = _option(16, "images for each optimizer step, over all devices", "--global-batch")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = _option(
        "auto", "auto: bf16 where the GPU has it, else fp16; fp32 on the CPU", "--precision"
    )
    device: Literal["auto", "cpu", "cuda"] = _option("auto", "where to train", "--device")
    devices: int = _option(1, "processes on this machine, one for each GPU", "--devices")
    seed: int = _option(0, "every random draw derives from it", "--seed")
    deterministic: bool = _option(False, "same bits on every run of a GPU, slower", "--deterministic")
    compile: bool = _option(False, "torch.compile for backbone and pixel decoder", "--compile")
    checkpointing: bool = _option(
        False, "recompute the backbone's activations: less memory", "--checkpointing"
    )
    resume: str = _option(
        "auto", "auto: go on where the run folder stopped; never; or a checkpoint", "--resume"
    )
    eval_every: float = _option(1.0, "epochs between evaluations; 0: only before and after", "--eval-every")
    eval_tasks: tuple[EvalTask, ...] = _option(
        ("panoptic", "semantic", "grounding", "interactive"),
        "what to measure, as far as it is learned; clicks only before and after",
        "--eval-tasks",
    )
    eval_size: int | None = _option(None, "shorter side of validation images; by default 800/1024 of --size")
    eval_limit: int | None = _option(None, "evaluate on the first N validation images only", "--eval-limit")
    zero_shot: bool = _option(True, "evaluate before the first step", "--zero-shot")
    save_minutes: float = _option(10.0, "minutes between saves of last/", "--save-minutes")
    save_steps: int | None = _option(None, "steps between saves of last/, instead of minutes", "--save-steps")
    log_every: int = _option(20, "steps between rows of metrics.csv and plain log lines", "--log-every")
    previews: int = _option(4, "validation images drawn at each evaluation", "--previews")
    best: str = _option("PQ", "metric that decides which weights best/ keeps", "--best")
    wandb: bool = _option(False, "log to Weights & Biases; offline without a key", "--wandb")
    tensorboard: bool = _option(False, "log to TensorBoard, in the run folder's tb/", "--tensorboard")


@dataclass(frozen=True)
class Config:
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)


EPOCHS = 50  #: where neither epochs nor steps are said; the original's MAX_NUM_EPOCHS
SECTIONS: dict[str, type] = get_type_hints(Config)


def fields() -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Every setting: its section, its dataclass field and its resolved type."""
    for section, kind in SECTIONS.items():
        hints = get_type_hints(kind)
        for item in dataclasses.fields(kind):
            yield section, item, hints[item.name]


def resolve(
    file: Path | None = None, assignments: Sequence[str] = (), flags: Mapping[str, Any] | None = None
) -> Config:
    """Put a YAML file, ``section.key=value`` texts and flags (``{"optim.lr": 1e-3}``) over the defaults.

    Raises:
        UserError: unknown keys, values of the wrong type, or settings that contradict each other; all are
        listed.
    """
    settings: dict[str, Any] = {}
    if file is not None:
        settings.update(_flatten(_read_yaml(file), str(file)))
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text}: write it as section.key=value, e.g. optim.lr=1e-3")
        settings[key.strip()] = yaml.safe_load(value)
    settings.update({key: value for key, value in (flags or {}).items() if value is not None})
    return from_settings(settings)


def from_settings(settings: Mapping[str, Any]) -> Config:
    """``{"section.key": value}`` to a checked `Config`; texts are converted ("1e-4", "a,b")."""
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


def _convert(value: Any, kind: Any) -> Any:
    if get_origin(kind) is tuple and (value is None or isinstance(value, str)):
        value = [part.strip() for part in (value or "").split(",") if part.strip()]
    return msgspec.convert(value, kind, strict=False)


def choices(kind: Any) -> list[str]:
    """The words a setting may take, if it takes words of a list."""
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return [word for inner in get_args(kind) for word in choices(inner)]


def _explain(error: str, kind: Any) -> str:
    match = re.search(r"enum value '(.*?)'", error)
    if match is None:
        return error[:1].lower() + error[1:].split(" - at")[0]
    close = difflib.get_close_matches(match[1], choices(kind), 1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}It is one of {', '.join(choices(kind))}."


def _suggest(key: str, known: Mapping[str, Any]) -> str:
    if key in SECTIONS:
        return f"It is a section; its settings are {', '.join(k for k in known if k.startswith(key + '.'))}."
    close = difflib.get_close_matches(key, known, 1, 0.75)
    close = close or [k for k in known if k.split(".")[1] == key.rpartition(".")[2].replace("-", "_")]
    names = {k.split(".")[1]: k for k in known}
    close = close or [names[n] for n in difflib.get_close_matches(key.rpartition(".")[2], names, 1, 0.75)]
    return f"Did you mean {close[0]!r}?" if close else f"Sections are {', '.join(SECTIONS)}."


def _read_yaml(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}). seem-train init writes one.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f"line {where.line + 1}: " if where else ""
        raise UserError(f"{file}: {line}is not YAML ({getattr(error, 'problem', None) or error}).") from None


def _flatten(tree: Any, file: str) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise UserError(f"{file}: expected sections ({', '.join(SECTIONS)}), found {type(tree).__name__}.")
    flat: dict[str, Any] = {}
    for section, values in tree.items():
        if isinstance(values, dict):
            flat.update({f"{section}.{key}": value for key, value in values.items()})
        elif values is not None:
            flat[str(section)] = values
    return flat


def seconds(text: str) -> float:
    """``"90s"``, ``"30m"``, ``"1h30m"`` or plain seconds.

    Raises:
        UserError: anything else.
    """
    match = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m(?:in)?)?(?:([\d.]+)s?)?", text.strip())
    if match is None or not any(match.groups()):
        raise UserError(f"--max-time {text!r}: write it like 45s, 30m or 1h30m")
    hours, minutes, rest = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + rest


def check(config: Config) -> None:
    """Refuse settings that cannot work or contradict each other, all at once.

    Raises:
        UserError
    """
    data, strategy, optim, run = config.data, config.strategy, config.optim, config.run
    wrong: list[str] = []
    positive = {
        "--size": data.size,
        "--global-batch": run.global_batch,
        "--devices": run.devices,
        "--log-every": run.log_every,
        "--lr": optim.lr,
        "--limit": data.limit,
        "--steps": run.steps,
        "--epochs": run.epochs,
        "--batch": None if run.batch == "auto" else run.batch,
        "--rank": strategy.rank,
        "data.prompts": data.prompts,
        "data.phrases": data.phrases,
    }
    wrong += [
        f"{name} {value}: must be above 0"
        for name, value in positive.items()
        if value is not None and value <= 0
    ]
    if data.size % 32:
        wrong.append(
            f"--size {data.size}: must be a multiple of 32, e.g. {max(32, round(data.size / 32) * 32)}"
        )
    if not data.tasks:
        wrong.append("--tasks: name at least one of panoptic, grounding, interactive")
    if not 0 < data.min_scale <= data.max_scale:
        wrong.append(f"data.min_scale {data.min_scale} and data.max_scale {data.max_scale}: 0 < min ≤ max")
    if run.epochs is not None and run.steps is not None:
        wrong.append("--epochs and --steps both say when to stop; give one of them")
    if run.batch != "auto" and run.global_batch % (run.batch * run.devices):
        wrong.append(
            f"--global-batch {run.global_batch} is no multiple of --batch {run.batch} "
            f"× --devices {run.devices}"
        )
    elif run.global_batch % run.devices:
        wrong.append(f"--global-batch {run.global_batch} is no multiple of --devices {run.devices}")
    if config.model.trunk is not None and config.model.weights not in (None, "random"):
        wrong.append("model.trunk builds a model that no weights fit yet; leave out --weights")
    both = sorted(set(strategy.freeze) & set(strategy.unfreeze))
    wrong += [f"--freeze {part} and --unfreeze {part} contradict each other" for part in both]
    if any(not 0 < share <= 1 for share in optim.milestones):
        wrong.append(f"optim.milestones {optim.milestones}: shares of the run, between 0 and 1")
    if run.max_time is not None:
        try:
            seconds(run.max_time)
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(wrong))


def to_dict(config: Config) -> dict[str, Any]:
    """Plain values, as JSON and YAML know them."""
    return msgspec.json.decode(msgspec.json.encode(config))


def to_yaml(config: Config) -> str:
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def commented_yaml(config: Config | None = None) -> str:
    """Every setting with its help text, for ``seem-train init``."""
    values = to_dict(config or Config())
    lines = ["# seem-train run --config this-file.yaml   (flags win over this file)"]
    for section in SECTIONS:
        lines += ["", f"{section}:"]
        for where, item, kind in fields():
            if where != section:
                continue
            flag = f" ({item.metadata['flag']})" if item.metadata["flag"] else ""
            listed = f"; one of {', '.join(choices(kind))}" if len(choices(kind)) > 1 else ""
            value = (
                yaml.safe_dump(values[section][item.name], default_flow_style=True).split("\n...")[0].strip()
            )
            lines.append(f"  {item.name}: {value}  # {item.metadata['help']}{listed}{flag}")
    return "\n".join(lines) + "\n"
