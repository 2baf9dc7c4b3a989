"""Speed and memory of a training step on this machine: images a second, memory, parts, waits.

Synthetic images and random weights; the decoder is trained. Memory is the peak of the process on the CPU, of
the allocator on a GPU; times are medians. (`make bench` has the original's way beside it.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from seem_data.common.wording import table
from seem_train.adapters import freezing, strategies
from seem_train.data.batch import Batch, Example, StepPhrase, collate
from seem_train.data.strokes import draw_strokes
from seem_train.formatting import size_text
from seem_train.losses.criterion import Criterion
from seem_train.model.seem import SEEM
from seem_train.runtime import Runtime, pick_device, pick_precision
from seem_train.training import optim
from seem_train.training.step import StepDraws, TrainingStep
from seem_train.weights.presets import get_preset

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


Timed = Callable[[str], AbstractContextManager[object]]  #: of a part, by its name
Build = Callable[[SEEM, Sequence[str], Runtime], tuple[TrainingStep, Optimizer]]


@dataclass(frozen=True)
class BenchFigures:
    """Seconds and bytes. The parts come from steps that wait for the device after each."""

    seconds: float  #: of the median step
    fastest: float
    img_s: float
    peak_bytes: int
    built_bytes: int  #: when model and optimizer were built
    host_syncs: int  #: times that a step waits for numbers from the device
    prepared: float  #: seconds spent once, on texts that are kept
    parts: dict[str, float] = field(default_factory=dict)


class Bench:
    """A model in training whose steps are timed; the first one warms up.

    Args:
        build: the step and the optimizer of a model that is ready to train.
        kept: fill the cache of texts first, as a run of some length has done.
    """

    def __init__(self, setting: Setting, build: Build, kept: bool = True) -> None:
        if setting.threads:
            torch.set_num_threads(setting.threads)
        device = pick_device(setting.device)
        self.runtime = Runtime(device, pick_precision(setting.precision, device))
        torch.manual_seed(0)
        model = SEEM(get_preset(setting.model).config)
        strategy = strategies.find(setting.strategy)
        freezing.apply(model, strategy, freezing.placement(strategy))
        model.to(device)
        self.setting = setting
        self.taken, self.optimizer = build(model, names_of(setting.categories), self.runtime)
        self.built = self.runtime.peak_memory()
        self.batches = [synthetic_batch(setting, seed).to(device) for seed in range(setting.steps + 1)]
        self.prepared = _prepare_texts(self.taken, self.batches) if kept else 0.0
        self.times: list[float] = []

    def step(self) -> float:
        """Take the next step; its seconds."""
        self.runtime.synchronize()
        begin = time.perf_counter()
        take(self.taken, self.optimizer, self.batches[len(self.times)], len(self.times))
        self.runtime.synchronize()
        self.times.append(time.perf_counter() - begin)
        return self.times[-1]

    def end(self) -> BenchFigures:
        peak = self.runtime.peak_memory()
        with _Waits(self.runtime.device) as waits:
            take(self.taken, self.optimizer, self.batches[0], 0)
        parts = _parts(self.taken, self.optimizer, self.batches[-2:], self.runtime)
        median = float(np.median(self.times[1:]))
        return BenchFigures(
            seconds=median,
            fastest=min(self.times[1:]),
            img_s=self.setting.batch / median,
            peak_bytes=peak,
            built_bytes=self.built,
            host_syncs=waits.count,
            prepared=self.prepared,
            parts=parts,
        )


def ours(model: SEEM, names: Sequence[str], runtime: Runtime) -> tuple[TrainingStep, Optimizer]:
    """Step and optimizer as a run has them."""
    tasks = ("panoptic", "grounding", "interactive")
    step = TrainingStep(model, Criterion(), names, tasks, 1, runtime.autocast)
    return step, optim.build_optimizer(optim.parameter_groups(model, 1e-4, 0.05, {"backbone": 0.1}))


def measure(setting: Setting, progress: Callable[[int], None] = lambda _: None) -> BenchFigures:
    """How a training step does on this machine; `progress` is told how many steps are done."""
    bench = Bench(setting, ours)
    for step in range(setting.steps + 1):
        bench.step()
        progress(step + 1)
    return bench.end()


def take(
    step: TrainingStep, optimizer: Optimizer, batch: Batch, number: int, timed: Timed = nullcontext
) -> None:
    """One optimizer step, as the trainer takes it."""
    optimizer.zero_grad(set_to_none=True)
    with timed("forward"):
        loss, _ = step(batch, step.count(batch), StepDraws(0, number))
    with timed("backward"):
        loss.backward()
    with timed("optimizer"):
        norm = optim.clip_gradients([p for g in optimizer.param_groups for p in g["params"]], 5.0)
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
            StepPhrase(f"the {SYLLABLES[int(rng.integers(12))]} thing on the left of number {n}", n, n)
            for n in range(min(4, len(there)))
        )
        places = np.arange(1, len(there) + 1)
        chosen, strokes = draw_strokes(ids, places, 1, rng)
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

    def __torch_function__(
        self,
        func: Callable[..., object],
        _types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        if getattr(func, "__name__", "") in self.WAITING and isinstance(tensor := args[0], Tensor):
            self.count += tensor.device.type == self.device.type
        return func(*args, **(kwargs or {}))


def _parts(
    step: TrainingStep, optimizer: Optimizer, batches: list[Batch], runtime: Runtime
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

    watched: dict[str, nn.Module] = {
        "backbone": model.backbone,
        "pixel decoder": model.pixel_decoder,
        "decoder": model.decoder,
        "text encoder": model.language.lang_encoder,
    }
    for name, module in watched.items():
        module.forward = timed(name)(module.forward)
    for number, batch in enumerate(batches):
        take(step, optimizer, batch, number, timed)
    for module in watched.values():
        del module.forward  # the class's own comes to light again
    mean = {name: seconds / len(batches) for name, seconds in spent.items()}
    mean["prompts, heads and losses"] = mean.pop("forward") - sum(mean.get(name, 0.0) for name in watched)
    return mean


def text(setting: Setting, found: BenchFigures) -> str:
    """The figures for people."""
    rows = [
        ("images/s", f"{found.img_s:.3f}"),
        ("seconds a step", f"{found.seconds:.3f} (fastest {found.fastest:.3f})"),
        ("peak memory", size_text(found.peak_bytes)),
        ("waits for the device", str(found.host_syncs)),
        *((f"  {name}", f"{seconds:.3f} s") for name, seconds in found.parts.items()),
    ]
    once = f"Texts that are kept cost {found.prepared:.2f} s a step until they have all been met once."
    return f"{heading(setting)}\n\n{table(rows, left=(0, 1))}\n\n{once}"


def heading(setting: Setting) -> str:
    return (
        f"{setting.model} · {setting.size} px · batch {setting.batch} · "
        f"{setting.categories} categories · strategy {setting.strategy} · random weights"
    )
