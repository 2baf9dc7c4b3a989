"""Speed and memory of a training step, ours and the original's way, each in a process of its own.

Both take the same synthetic images and random weights and train the same tensors (the decoder). Memory is
the peak of the process on the CPU, of the allocator on a GPU. The two take their steps in turn, so that other
load on the machine meets both; times are medians.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seem_train.adapters import strategies
from seem_train.data.batch import Batch, Example, Spoken, collate
from seem_train.data.strokes import StrokeConfig, draw_strokes
from seem_train.errors import UserError
from seem_train.formatting import size_text, table
from seem_train.losses.criterion import Criterion
from seem_train.model.seem import SEEM
from seem_train.runtime import Runtime, pick_device, pick_precision
from seem_train.training import optim
from seem_train.training.reference import ReferenceStep, optimizer_of, slow_layers
from seem_train.training.step import StepDraws, TrainingStep
from seem_train.weights.presets import get_preset

PATHS = ("ours", "reference")
SYLLABLES = ("ba", "de", "fi", "go", "ku", "la", "me", "no", "pi", "ra", "su", "te")


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    model: str = "focal-l"
    size: int = 256
    batch: int = 2
    categories: int = 133
    steps: int = 5
    strategy: str = "head"
    device: str = "auto"
    precision: str = "auto"
    threads: int | None = None


@dataclass(frozen=True)
class Measured:
    """One path; seconds and bytes. The parts come from steps that wait for the device after each."""

    path: str
    seconds: float  #: of the median step
    fastest: float
    img_s: float
    peak_bytes: int
    built_bytes: int  #: when model and optimizer were built
    host_syncs: int  #: times that a step waits for numbers from the device
    prepared: float  #: seconds spent once, on texts that are kept
    parts: dict[str, float] = field(default_factory=dict)


def compare(setting: Setting) -> dict[str, Any]:
    """Measure both paths, step by step in turn, so that other load on the machine meets both alike.

    ``speedup`` is reference time over ours, ``memory`` our peak over that of the reference.
    """
    processes = {path: _start(path, setting) for path in PATHS}
    try:
        for _ in range(setting.steps + 1):  # the first step warms up
            for path in PATHS:
                _ask(processes[path], path)
        found = {path: Measured(**json.loads(_ask(processes[path], path, "end"))) for path in PATHS}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    ours, reference = found["ours"], found["reference"]
    return {
        "setting": asdict(setting),
        "ours": asdict(ours),
        "reference": asdict(reference),
        "speedup": reference.seconds / ours.seconds,
        "memory": ours.peak_bytes / reference.peak_bytes,
    }


def _start(path: str, setting: Setting) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "seem_train.training.bench", path, json.dumps(asdict(setting))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(process: subprocess.Popen[str], path: str, what: str = "step") -> str:
    """Have a process take a step, or tell what it measured; its answer, one line."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(f"{what}\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass
    answer = process.stdout.readline()
    if not answer:
        raise UserError(f"the {path} path failed with status {process.wait()}; see above")
    return answer


def measure(path: str, setting: Setting, asked: Iterable[str]) -> Iterator[str]:
    """One path, in this process: a step for every "step" that is asked for, at "end" the results as JSON."""
    if setting.threads:
        torch.set_num_threads(setting.threads)
    device = pick_device(setting.device)
    runtime = Runtime(device, pick_precision(setting.precision, device))
    torch.manual_seed(0)
    model = SEEM(get_preset(setting.model).config)
    strategy = strategies.find(setting.strategy)
    strategies.apply(model, strategy, strategies.placement(strategy))
    model.to(device)
    names = names_of(setting.categories)
    kind = TrainingStep if path == "ours" else ReferenceStep
    step = kind(model, Criterion(), names, ("panoptic", "grounding", "interactive"), 1, runtime.autocast)
    if path == "ours":
        optimizer = optim.build_optimizer(optim.parameter_groups(model, 1e-4, 0.05, {"backbone": 0.1}))
    else:
        slow_layers(model)
        optimizer = optimizer_of(model, 1e-4, 0.05)
    built = runtime.peak_memory()
    batches = [synthetic_batch(setting, seed).to(device) for seed in range(setting.steps + 1)]
    prepared = _prepare_texts(step, batches) if path == "ours" else 0.0
    times: list[float] = []
    for word in asked:
        if word.strip() == "end":
            break
        runtime.synchronize()
        begin = time.perf_counter()
        take(step, optimizer, batches[len(times)], len(times))
        runtime.synchronize()
        times.append(time.perf_counter() - begin)
        yield str(times[-1])
    peak = runtime.peak_memory()
    with _Waits(device) as waits:
        take(step, optimizer, batches[0], 0)
    parts = _parts(step, optimizer, batches[-2:], runtime)
    median, fastest = float(np.median(times[1:])), min(times[1:])
    result = Measured(
        path, median, fastest, setting.batch / median, peak, built, waits.count, prepared, parts
    )
    yield json.dumps(asdict(result))


def take(step: TrainingStep, optimizer: torch.optim.Optimizer, batch: Batch, number: int) -> None:
    """One optimizer step, as the trainer takes it."""
    optimizer.zero_grad(set_to_none=True)
    loss, _ = step(batch, step.count(batch), StepDraws(0, number))
    loss.backward()
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    norm = optim.clip_gradients(trained, 5.0)
    torch.stack([loss.detach(), norm]).tolist()
    optimizer.step()


def _prepare_texts(step: TrainingStep, batches: list[Batch]) -> float:
    """Fill the cache with what these steps will ask for, as a run of some length has done."""
    begin = time.perf_counter()
    for number, batch in enumerate(batches):
        draws = StepDraws(0, number)
        step.model.class_embeddings(step.names, train=True, draws=draws.templates())
        step.model.encode_text(batch.texts)
    return (time.perf_counter() - begin) / len(batches)


def names_of(count: int) -> list[str]:
    """Invented names of two or three tokens, like real categories."""
    base = len(SYLLABLES)
    return [
        f"{SYLLABLES[n % base]}{SYLLABLES[n // base % base]} {SYLLABLES[n // base // base % base]}"
        for n in range(count)
    ]


def synthetic_batch(setting: Setting, seed: int) -> Batch:
    """Noise with rectangles: about ten segments, four phrases and one stroke an image, as in COCO."""
    rng = np.random.default_rng(seed)
    side = setting.size
    examples = []
    for _ in range(setting.batch):
        ids = np.zeros((side, side), np.int16)
        for number in range(1, 11):
            top, left = rng.integers(0, side * 3 // 4, 2)
            height, width = rng.integers(side // 8, side // 2, 2)
            ids[top : top + height, left : left + width] = number
        there = [int(n) for n in np.unique(ids) if n]
        for place, number in enumerate(there, start=1):
            ids[ids == number] = place
        categories = tuple(int(c) for c in rng.integers(0, setting.categories, len(there)))
        phrases = tuple(
            Spoken(f"the {SYLLABLES[int(rng.integers(12))]} thing on the left of number {n}", n, n)
            for n in range(min(4, len(there)))
        )
        places = np.arange(1, len(there) + 1)
        chosen, strokes = draw_strokes(ids, places, StrokeConfig(), rng)
        examples.append(
            Example(
                image=torch.from_numpy(rng.integers(0, 256, (3, side, side), dtype=np.uint8)),
                id_map=torch.from_numpy(ids),
                categories=categories,
                mode="text",
                phrases=phrases,
                prompted=tuple(int(c) - 1 for c in chosen),
                strokes=torch.from_numpy(strokes),
                file="synthetic",
            )
        )
    return collate(examples)


class _Waits(TorchFunctionMode):
    """Counts calls that bring numbers from the device to the host. On the CPU, where they cost little, calls
    on tensors that would lie on the host anyway (prompts, drawn points) count as well."""

    WAITING = frozenset({"item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__int__", "__float__"})

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.count = 0

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.WAITING and isinstance(args[0], Tensor):
            self.count += args[0].device.type == self.device.type
        return func(*args, **(kwargs or {}))


def _parts(
    step: TrainingStep, optimizer: torch.optim.Optimizer, batches: list[Batch], runtime: Runtime
) -> dict[str, float]:
    """Seconds of each part, mean over the batches; the rest of the forward pass is matching and losses."""
    spent: dict[str, float] = {}
    model = step.model

    @contextmanager
    def timed(name: str) -> Iterator[None]:
        runtime.synchronize()
        begin = time.perf_counter()
        yield
        runtime.synchronize()
        spent[name] = spent.get(name, 0.0) + time.perf_counter() - begin

    handles = []
    for name, module in (
        ("backbone", model.backbone),
        ("pixel decoder", model.pixel_decoder),
        ("decoder", model.decoder),
        ("text encoder", model.language.lang_encoder),
    ):
        handles += _watch(module, name, timed)
    for number, batch in enumerate(batches):
        optimizer.zero_grad(set_to_none=True)
        with timed("forward"):
            loss, _ = step(batch, step.count(batch), StepDraws(0, number))
        with timed("backward"):
            loss.backward()
        with timed("optimizer"):
            optim.clip_gradients([p for g in optimizer.param_groups for p in g["params"]], 5.0)
            optimizer.step()
    for handle in handles:
        handle.remove()
    mean = {name: seconds / len(batches) for name, seconds in spent.items()}
    inside = sum(mean.get(name, 0.0) for name in ("backbone", "pixel decoder", "decoder", "text encoder"))
    mean["prompts, heads and losses"] = mean.pop("forward") - inside
    return mean


def _watch(module: nn.Module, name: str, timed: Any) -> list[Any]:
    running: list[Any] = []

    def before(*_: object) -> None:
        running.append(timed(name))
        running[-1].__enter__()

    def after(*_: object) -> None:
        running.pop().__exit__(None, None, None)

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def text(found: dict[str, Any]) -> str:
    """The comparison for people."""
    setting, ours, reference = found["setting"], found["ours"], found["reference"]
    head = (
        f"{setting['model']} · {setting['size']} px · batch {setting['batch']} · "
        f"{setting['categories']} categories · strategy {setting['strategy']} · random weights"
    )
    rows: list[tuple[str, ...]] = [("", "ours", "reference", "ratio")]
    rows.append(("images/s", f"{ours['img_s']:.3f}", f"{reference['img_s']:.3f}", f"{found['speedup']:.2f}×"))
    peaks = [size_text(part["peak_bytes"]) for part in (ours, reference)]
    rows.append(("peak memory", *peaks, f"{found['memory']:.2f}×"))
    rows.append(("waits for the device", str(ours["host_syncs"]), str(reference["host_syncs"]), ""))
    for name in reference["parts"]:
        mine, theirs = ours["parts"].get(name, 0.0), reference["parts"][name]
        rows.append(
            (f"  {name}", f"{mine:.3f} s", f"{theirs:.3f} s", f"{theirs / mine:.1f}×" if mine > 1e-3 else "")
        )
    once = f"Texts that are kept cost {ours['prepared']:.2f} s a step until they have all been met once."
    return f"{head}\n\n{table(rows)}\n\n{once}"


if __name__ == "__main__":
    for line in measure(sys.argv[1], Setting(**json.loads(sys.argv[2])), sys.stdin):
        print(line, flush=True)
