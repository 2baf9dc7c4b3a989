"""The settings of a run: these dataclasses are the command line, the YAML file and the documentation.

A field's metadata holds its help text, its flag and the values it may have, from which `cli.run` makes the
options and `settings.commented_yaml` the file of ``seem-train init``. What is not said keeps the original's
recipe (seem_train/model/ORIGINAL.md).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

from seem_train.errors import UserError
from seem_train.ranges import COUNT, MANY, MAX_PIXELS, SHARE, Range

Task = Literal["panoptic", "grounding", "interactive"]
EvalTask = Literal["panoptic", "semantic", "instance", "grounding", "interactive"]
ModelPart = Literal["backbone", "pixel-decoder", "language", "decoder"]

#: What `evaluate` reports and a run can go by; see ``seem-train evaluate --explain``.
Metric = Literal[
    "PQ", "SQ", "RQ", "PQ things", "PQ stuff", "mIoU", "fwIoU", "pixel acc", "mean acc", "AP", "AP50", "AP75",
    "cIoU", "grounding mIoU", "P@0.5", "NoC@0.5", "NoC@0.8", "NoC@0.85", "NoC@0.9", "IoU@1",
]  # fmt: skip

#: what weights can be compared by ─▶ what an evaluation must measure for it
METRICS: dict[Metric, EvalTask] = {
    **dict.fromkeys(("PQ", "SQ", "RQ", "PQ things", "PQ stuff"), "panoptic"),
    **dict.fromkeys(("mIoU", "fwIoU", "pixel acc", "mean acc"), "semantic"),
    **dict.fromkeys(("AP", "AP50", "AP75"), "instance"),
    **dict.fromkeys(("cIoU", "grounding mIoU", "P@0.5"), "grounding"),
    **dict.fromkeys(("NoC@0.85", "NoC@0.5", "NoC@0.8", "NoC@0.9", "IoU@1"), "interactive"),
}


def _option(
    default: object,
    help: str,
    flag: str | None = None,
    *,
    within: Range | None = None,
    free: bool = False,
    tunable: bool = False,
) -> Any:
    """A setting.

    flag: its name on the command line, None where only the file and ``--set`` reach it.
    within: the values that a number may have.
    free: it may change between a run and its continuation; any other makes another run.
    tunable: it may change where a run goes on from a named checkpoint in another folder.
    """
    facts = {"help": help, "flag": flag, "within": within, "free": free, "tunable": tunable}
    return field(default=default, metadata=facts)


_free, _tunable = partial(_option, free=True), partial(_option, tunable=True)


@dataclass(frozen=True)
class DataConfig:
    dataset: str = _free("dataset", "folder that seem-data build wrote")
    train_split: str = _option("train", "split to learn from")
    val_split: str = _option("val", "split to evaluate on")
    tasks: tuple[Task, ...] = _option(
        ("panoptic", "grounding", "interactive"), "what to learn, separated by commas", "--tasks"
    )
    size: int = _option(
        512, "side of the training crops in pixels (the original: 1024)", "--size", within=Range(32, 16384)
    )
    limit: int | None = _option(
        None, "use only the first N training images (few-shot)", "--limit", within=COUNT
    )
    min_scale: float = _option(
        0.1, "least zoom of large-scale jitter, relative to size", within=Range(above=0, most=100)
    )
    max_scale: float = _option(
        2.0, "largest zoom of large-scale jitter, relative to size", within=Range(above=0, most=100)
    )
    flip: float = _option(0.5, "share of images that are mirrored", within=SHARE)
    color: float = _option(
        0.0,
        "strength of changes of brightness, contrast, saturation, hue (original: none)",
        within=Range(0, 1),
    )
    repeat_rare: float = _option(
        0.0,
        "show images of categories rarer than this share of the images more often; 0: every image once",
        within=SHARE,
    )
    template: Literal["drawn", "mean"] = _option(
        "drawn",
        "how categories are said: in sentences drawn for each step, as the original, or as the mean over all "
        "sentences, as in evaluation, which is easier to learn from nothing",
    )
    prompts: int = _option(1, "interactive objects for each image (the original's K)", within=Range(1, 1000))
    phrases: int = _option(
        4, "phrases, or categories, that an image is asked about at most", within=Range(1, 1000)
    )
    refine_rounds: int = _option(
        1, "at most so many rounds of simulated corrections before the step's loss", within=Range(0, 20)
    )
    max_pixels: int = _free(MAX_PIXELS, "photos of more are refused", "--max-pixels", within=COUNT)
    workers: int | None = _free(
        None, "loader processes; by default the cores, at most 8", "--workers", within=Range(0, 1024)
    )


@dataclass(frozen=True)
class ModelConfig:
    preset: str | None = _option(None, "model, e.g. focal-l; told from the weights where possible", "--model")
    weights: str | None = _free(
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
    rank: int | None = _option(None, "width of adapters: 64, for lora 16", "--rank", within=Range(1, 4096))
    backbone_stages: tuple[int, ...] = _option(
        (3, 4), "stages of the backbone that get adapters", "--backbone-stages", within=Range(1, 64)
    )
    freeze: tuple[ModelPart, ...] = _option((), "parts to freeze against the strategy", "--freeze")
    unfreeze: tuple[ModelPart, ...] = _option((), "parts to train against the strategy", "--unfreeze")


@dataclass(frozen=True)
class OptimConfig:
    lr: float = _tunable(1e-4, "learning rate", "--lr", within=Range(above=0))
    weight_decay: float = _tunable(0.05, "weight decay of matrices", "--weight-decay", within=Range(0, 10))
    backbone_lr: float = _tunable(
        0.1, "times the learning rate, for weights of the backbone (not its adapters)", within=Range(0, 1000)
    )
    language_lr: float = _tunable(0.1, "times the learning rate, for the text encoder", within=Range(0, 1000))
    betas: tuple[float, float] = _option(
        (0.9, 0.999), "AdamW's running averages", within=Range(least=0, below=1)
    )
    decay_rule: Literal["matrices", "original"] = _option(
        "matrices",
        "matrices: no decay for norms, embeddings, biases, scales; original: none for norms and nn.Embedding",
    )
    warmup_steps: int = _tunable(
        0, "steps of linear warm-up (the original has none)", "--warmup-steps", within=MANY
    )
    milestones: tuple[float, ...] = _tunable(
        (0.88889, 0.96296),
        "shares of the run after which the learning rate is divided by 10",
        within=Range(above=0, most=1),
    )
    clip: float = _tunable(
        5.0, "largest norm of the whole gradient; 0: no clipping", "--clip", within=Range(0, 1e9)
    )
    points: int = _option(12544, "points of each mask that the losses look at", within=Range(1, 10**7))
    ema: bool = _option(False, "evaluate and keep a running average of the weights", "--ema")
    ema_decay: float = _option(
        0.999, "how much of the average stays at a step", within=Range(least=0, below=1)
    )


@dataclass(frozen=True)
class RunConfig:
    out: str | None = _free(None, "run folder; by default runs/<dataset>-<strategy>", "--out")
    epochs: float | None = _free(
        None,
        "passes over the training images (50 where nothing is said)",
        "--epochs",
        within=Range(above=0, most=10**7),
    )
    steps: int | None = _free(None, "optimizer steps, instead of epochs", "--steps", within=COUNT)
    max_time: str | None = _free(None, "stop after so long and decay the rate in time: 30m, 2h", "--max-time")
    batch: int | Literal["auto"] = _free(
        "auto", "images at once on a device; auto: what fits", "--batch", within=Range(1, 65536)
    )
    global_batch: int = _option(
        16, "images for each optimizer step, over all devices", "--global-batch", within=Range(1, 10**6)
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = _tunable(
        "auto", "auto: bf16 where the GPU has it, else fp16; fp32 on the CPU", "--precision"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = _free("auto", "where to train", "--device")
    devices: int = _free(1, "processes on this machine, one for each GPU", "--devices", within=Range(1, 1024))
    seed: int = _option(0, "every random draw derives from it", "--seed", within=Range(0, 2**63 - 1))
    deterministic: bool = _option(False, "same bits on every run of a GPU, slower", "--deterministic")
    compile: bool = _free(False, "torch.compile for backbone and pixel decoder", "--compile")
    checkpointing: bool = _free(False, "recompute the backbone's activations: less memory", "--checkpointing")
    resume: str = _free(
        "auto", "auto: go on where the run folder stopped; never; or a checkpoint", "--resume"
    )
    eval_every: float | None = _free(
        None,
        "epochs between evaluations; 0: only before and after; by default 1, or as many as make "
        "run.most_evaluations",
        "--eval-every",
        within=Range(0, 10**7),
    )
    most_evaluations: int = _free(
        50,  # the original's epochs
        "evaluations of a run at most, evenly spread, where --eval-every is not said",
        within=COUNT,
    )
    eval_tasks: tuple[EvalTask, ...] = _free(
        ("panoptic", "semantic", "grounding", "interactive"),
        "what to measure, as far as it is learned; clicks only before and after",
        "--eval-tasks",
    )
    eval_size: int | None = _free(
        None, "shorter side of validation images; by default 800/1024 of --size", within=Range(32, 16384)
    )
    eval_limit: int | None = _free(
        None, "evaluate on the first N validation images only", "--eval-limit", within=COUNT
    )
    zero_shot: bool = _free(True, "evaluate before the first step", "--zero-shot")
    save_minutes: float = _free(
        10.0, "minutes between saves of last/", "--save-minutes", within=Range(above=0, most=10**6)
    )
    save_steps: int | None = _free(
        None, "steps between saves of last/, instead of minutes", "--save-steps", within=COUNT
    )
    log_every: int = _free(
        20, "steps between rows of metrics.csv and plain log lines", "--log-every", within=COUNT
    )
    previews: int = _free(
        4, "validation images drawn at each evaluation", "--previews", within=Range(0, 1000)
    )
    best: Metric = _option("PQ", "metric that decides which weights best/ keeps", "--best")  # noqa: RUF009
    patience: int | None = _free(
        None, "stop after so many evaluations in a row without better weights", "--patience", within=COUNT
    )
    least_steps: int = _free(
        1000, "steps to take at least where neither epochs nor steps are said", within=MANY
    )
    wandb: bool = _free(False, "log to Weights & Biases; offline without a key", "--wandb")
    tensorboard: bool = _free(False, "log to TensorBoard, in the run folder's tb/", "--tensorboard")


@dataclass(frozen=True)
class Config:
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    strategy: StrategyConfig = field(default_factory=StrategyConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)


EPOCHS = 50  #: where neither epochs nor steps are said; the original's MAX_NUM_EPOCHS
SECTIONS: dict[str, type] = get_type_hints(Config)


def fields() -> Iterator[tuple[str, dataclasses.Field[object], object]]:
    """Every setting: its section, its dataclass field and its resolved type."""
    for section, kind in SECTIONS.items():
        hints = get_type_hints(kind)
        for item in dataclasses.fields(kind):
            yield section, item, hints[item.name]


def choices(kind: object) -> list[str]:
    """The words a setting may take, if it takes words of a list."""
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return [word for inner in get_args(kind) for word in choices(inner)]


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


def measured(config: Config, task: EvalTask) -> bool:
    """Whether evaluations of a run measure that: it is asked for, and what it measures is learned."""
    learned = task if task in ("grounding", "interactive") else "panoptic"
    return task in config.run.eval_tasks and learned in config.data.tasks
