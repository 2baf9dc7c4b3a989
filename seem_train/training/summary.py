"""What a run says about itself in words, and the numbers behind its plan."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from seem_data.common.wording import a_few, table
from seem_data.version import __version__
from seem_train.adapters import freezing, strategies
from seem_train.adapters.layers import Placement, is_adapter_name
from seem_train.adapters.strategies import Strategy
from seem_train.config import EPOCHS, Config
from seem_train.data.dataset import SegmentationSet
from seem_train.evaluation.result import fewer_is_better
from seem_train.formatting import count_text, size_text
from seem_train.model.card import Base
from seem_train.model.language import BACKGROUND, spoken_names
from seem_train.model.seem import SEEM
from seem_train.runtime import Runtime, allocator_error
from seem_train.weights.adapter_folder import fingerprint
from seem_train.weights.opening import StartingWeights

RARE = 3  #: categories with fewer masks are pointed out


# Numbers ----------------------------------------------------------------------------------------------


def workers(config: Config, world: int) -> int:
    """Loader processes of each training process."""
    if config.data.workers is not None:
        return config.data.workers
    return min(8, max(1, (os.cpu_count() or 1) // world))


def score_of(headline: Mapping[str, float | None], metric: str) -> float | None:
    """The metric by which weights are compared, "more is better"; None where there was nothing to measure."""
    value = headline.get(metric)
    if value is None or not math.isfinite(value):
        return None
    return -value if fewer_is_better(metric) else value


def environment(base: Base | None, train_set: SegmentationSet, runtime: Runtime) -> dict[str, object]:
    """Versions, machine and command, for whoever wants the same numbers again."""
    file = train_set.folder / "dataset.json"
    versions = {}
    for package in ("seem-tools", "torch", "timm", "numpy", "opencv-python", "scipy", "safetensors"):
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    on_gpu = runtime.device.type == "cuda"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
        "device": str(runtime.device),
        "gpu": torch.cuda.get_device_name(runtime.device) if on_gpu else None,
        "processes": runtime.world,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "seem-tools": __version__,
        "precision": runtime.precision,
        "weights": {"path": base.path, "sha256": base.sha256} if base else "random",
        "data": {"path": str(file.parent), "sha256": fingerprint(file) if file.is_file() else None},
    }


# Words ------------------------------------------------------------------------------------------------


def heading(runtime: Runtime, seed: int) -> str:
    where = torch.cuda.get_device_name(runtime.device) if runtime.device.type == "cuda" else "CPU"
    many = f" × {runtime.world}" if runtime.world > 1 else ""
    return (
        f"seem-train {__version__} · torch {torch.__version__.split('+')[0]} · {where}{many} · "
        f"{runtime.precision} · seed {seed}"
    )


def weights(source: StartingWeights, names: Sequence[str], defaults: str | None) -> str:
    """Where the weights come from, what `starts.said` of them, and the names they will hear."""
    heard = zip(names, spoken_names(names), strict=True)
    why = f"to SEEM, {BACKGROUND!r} means no object"
    lines = [
        source.report,
        source.why,
        defaults,
        f"vocabulary: {len(names)} names from the dataset (no class head)",
        *(f"{name!r} is said as {said!r}: {why}" for name, said in heard if name != said),
    ]
    return "Weights  " + "\n         ".join(line for line in lines if line)


def data(train: SegmentationSet, val: SegmentationSet | None, queries: int) -> str:
    things = sum(train.things)
    masks = train.segments_of_categories()
    phrases = sum(len(row.sentences) for row in train.split.grounding())
    said = f"{phrases:,} phrases" if phrases else "no phrases (class names are used)"
    lines = [
        f"Data     {len(train):,} train · {len(val or ()):,} val · "
        f"{things} things + {len(train.names) - things} stuff · "
        f"{sum(masks.values()) / max(len(train), 1):.1f} masks/img · {said}"
    ]
    lines += [f"         ! {remark}" for remark in _remarks(train, val, masks, queries)]
    return "\n".join(lines)


def _remarks(
    train: SegmentationSet, val: SegmentationSet | None, masks: Counter[int], queries: int
) -> list[str]:
    remarks = []
    if empty := sum(not image.segments for image in train.images):
        remarks.append(f"{empty} training image(s) have no segments (kept)")
    if absent := [name for place, name in enumerate(train.names) if not masks[place]]:
        remarks.append(f"nothing to learn from for {a_few(absent, most=5)}")
    if rare := [f"{n!r} ({masks[p]})" for p, n in enumerate(train.names) if 0 < masks[p] < RARE]:
        remarks.append(f"few masks: {a_few(rare, most=5)}; data.repeat_rare shows them more often")
    counts = {image.file_name: sum(not s.iscrowd for s in image.segments) for image in train.images}
    if crowded := [name for name, count in counts.items() if count > queries]:
        most = max(crowded, key=lambda name: counts[name])
        remarks.append(
            f"{len(crowded)} training image(s) have more segments than the model has queries ({queries}), "
            f"up to {counts[most]} in {most}: what is beyond is neither learned nor found"
        )
    if val is None:
        remarks.append(
            "no val split, so nothing is evaluated and best/ is the last; "
            "seem-data build --split train=0.9,val=0.1 makes one"
        )
    elif val.absent():
        remarks.append(f"not in {val.split.name}, so not measured: {a_few(val.absent(), most=5)}")
    return remarks


_PART_NAMES = {"pixel-decoder": "pixel decoder", "language": "text encoder"}


def freeze_table(
    model: SEEM,
    strategy: Strategy,
    placement: Placement,
    groups: Sequence[Mapping[str, Any]],
    adapter_rate: float,
) -> str:
    """What is trained, and the parts of the model, counted on the model itself."""
    counts = freezing.count(model, strategy)
    own = ((name, group["base_lr"]) for group in groups for name in group["names"])
    rates = {name.partition(".")[0]: rate for name, rate in own if not is_adapter_name(name)}
    rows = [("part", "params", "trains", "lr")]
    for row in counts:
        name = _PART_NAMES.get(row.part, row.part)
        rate = rates.get(strategies.PARTS[row.part])
        frozen = "cached, not run" if row.part == "language" else "frozen"
        trains = "yes" if row.base_trained == row.base else f"{count_text(row.base_trained)} of it"
        rows.append((name, count_text(row.base), trains if rate else frozen, f"{rate:.3g}" if rate else "–"))
        if row.adapters:
            kind = "LoRA" if row.treatment == "lora" else "adapters"
            rank = f"yes (rank {placement.rank})"
            rows.append((f"{name} {kind}", count_text(row.adapters), rank, f"{adapter_rate:.3g}"))
    trained = sum(row.trained for row in counts)
    text = table(rows, left=(0, 2), indent="         ")
    return (
        f"Strategy {strategy.name} · {strategy.about}\n"
        f"{text}\n         total {count_text(sum(r.base for r in counts))} · trainable {count_text(trained)} "
        f"({freezing.trainable_share(counts):.2%}) · checkpoint ≈ {size_text(trained * 12)}"
    )


def plan(
    config: Config,
    runtime: Runtime,
    micro_batch: int,
    steps_per_epoch: float,
    total_steps: int,
    step_bytes: int,
    evaluation_bytes: int,
) -> str:
    """How long and how large it will be.

    Args:
        micro_batch: images at once on a device.
        step_bytes, evaluation_bytes: what they will take of memory; 0: there are no evaluations.
    """
    run = config.run
    world = f" × {runtime.world} processes" if runtime.world > 1 else ""
    there = f" (in evaluations {size_text(evaluation_bytes)})" if evaluation_bytes else ""
    if runtime.device.type == "cuda":
        there += f" of {size_text(torch.cuda.get_device_properties(runtime.device).total_memory)}"
    until = f" · at most {run.max_time}" if run.max_time else ""
    if run.steps is None and run.epochs is None and total_steps == run.least_steps:
        until += (
            f" (more than {EPOCHS} epochs, since the dataset is small; --epochs or --steps say otherwise)"
        )
    return (
        f"Plan     {config.data.size} px · batch {micro_batch} × "
        f"accumulation {run.global_batch // (micro_batch * runtime.world)}{world} = {run.global_batch} · "
        f"{steps_per_epoch:.3g} steps/epoch · {total_steps:,} steps{until}\n"
        f"         tasks {', '.join(config.data.tasks)} · estimated peak {size_text(step_bytes)}{there}"
    )


def explain(error: Exception, config: Config, micro_batch: int) -> str | None:
    """What a user can do about an error that torch raised in a step; None where it is a fault of ours."""
    if (detail := allocator_error(error)) is not None:
        return out_of_memory(config, micro_batch, detail)
    if isinstance(error, torch.distributed.DistError) or "closed by peer" in str(error):
        return "another process of this run has ended; what it said, or its launcher, tells why"
    if "deterministic implementation" in str(error):
        part = str(error).split(" does not")[0]
        return f"--deterministic: on a GPU this model needs {part}, of which torch has no deterministic form"
    return None


def out_of_memory(config: Config, micro_batch: int, detail: str) -> str:
    """Which knobs help, when a device is full."""
    now = config.data.size
    smaller = max(32, now * 3 // 4 // 32 * 32)
    tries = [f"--size {smaller} (about {(smaller / now) ** 2:.0%} of the activations)"]
    if less := [n for n in range(1, micro_batch) if micro_batch % n == 0]:
        share = less[-1] / micro_batch
        tries.insert(0, f"--batch {less[-1]} (about {share:.0%} of the activations, the same result)")
    if not config.run.checkpointing and config.strategy.name not in ("head-adapter", "head", "lora"):
        tries.append("--checkpointing (recomputes the backbone)")
    if config.strategy.name != "head-adapter":
        tries.append("--strategy head-adapter (no graph through the backbone)")
    if config.run.precision == "fp32":
        tries.append("--precision bf16 (about half)")
    return f"out of memory at --batch {micro_batch} ({detail}).\n       try: " + "\n            ".join(tries)
