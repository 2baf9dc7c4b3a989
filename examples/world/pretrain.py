"""Pretrain a model on the endless world of scenes, in stages, on whatever time there is.

    python -m examples.world.pretrain FOLDER [--config pretrain.yaml] [--minutes M] [--device D]

The same command goes on where the last one stopped. FOLDER holds `weights.safetensors` (the running average,
under official names), `state.pt`, and `log.csv`. Step n sees the same scenes and makes the same draws however
often it was stopped.
"""

from __future__ import annotations

import argparse
import csv
import os
import signal
import time
from pathlib import Path

import cv2
import msgspec
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from examples.world.batches import SceneBatch, SceneBatches
from examples.world.recipe import Recipe, Stage
from examples.world.step import WorldStep
from seem_train.losses.criterion import Criterion, LossConfig, TaskWeights
from seem_train.losses.points import RandomPoints
from seem_train.model.seem import SEEM
from seem_train.model.trunks.timm import TimmTrunk
from seem_train.runtime import stream_seed
from seem_train.training import optim
from seem_train.weights.official import load_official, official_state_dict
from seem_train.weights.presets import get_preset
from seem_train.weights.tensor_files import write_tensors
from seem_train.weights.trunk_weights import load_pretrained

TOLD_TOGETHER = 20  #: steps between two lines of the log
CPU = torch.device("cpu")


def new_model(recipe: Recipe) -> SEEM:
    """The preset with a pretrained trunk."""
    torch.manual_seed(recipe.seed)
    model = SEEM(get_preset(recipe.model).config)
    if isinstance(model.backbone, TimmTrunk):
        print(load_pretrained(model.backbone), flush=True)
    model.language.start_anew()
    return model


class Pretraining:
    def __init__(self, folder: Path, recipe: Recipe, device: torch.device = CPU) -> None:
        self.folder, self.recipe, self.step, self.device = folder, recipe, 0, device
        self.model = new_model(recipe).to(device)
        kinds = (recipe.objects_weight, recipe.grounding_weight, recipe.spatial_weight)
        objects, grounding, spatial = (TaskWeights(*w) for w in kinds)
        loss = LossConfig(objects=objects, grounding=grounding, spatial=spatial)
        criterion = Criterion(loss, RandomPoints(points=recipe.points))
        self.module = WorldStep(self.model, criterion, recipe.rounds)
        self.model.train()
        # Two rates: the trunk's, a multiple of the stage's, and that of all else; see `set_rates`.
        groups = optim.parameter_groups(self.model, 1.0, 0.05, {"backbone": 0.5})
        self.optimizer = optim.build_optimizer(groups)
        for group in self.optimizer.param_groups:
            group["trunk"] = group["lr"] < 1
        self.trained = dict(self.model.named_parameters())
        self.ema = optim.Ema(self.trained, recipe.ema)

    def resume(self) -> None:
        file = self.folder / "state.pt"
        if not file.is_file():
            return
        state = torch.load(file, map_location="cpu", weights_only=True)
        load_official(self.model, state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema.average = {name: value.to(self.device) for name, value in state["ema"].items()}
        self.step = state["step"]
        print(f"going on at step {self.step}", flush=True)

    def save(self) -> None:
        state = {
            "weights": official_state_dict(self.model),
            "optimizer": self.optimizer.state_dict(),
            "ema": self.ema.average,
            "step": self.step,
        }
        part = self.folder / "state.pt.part"
        torch.save(state, part)
        part.replace(self.folder / "state.pt")
        self.ema.swap(self.trained)
        write_tensors(self.folder / "weights.safetensors", official_state_dict(self.model), {"format": "pt"})
        self.ema.swap(self.trained)

    def set_rates(self) -> tuple[Stage, float]:
        stage, done = self.recipe.at(self.step)
        rate = stage.lr
        if stage.last_lr is not None:
            rate += (stage.last_lr - stage.lr) * done / max(stage.steps - 1, 1)
        rate *= min(1.0, (self.step + 1) / self.recipe.warmup)
        frozen = stage.trunk == 0
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (stage.trunk if group["trunk"] else 1.0)
        for name, parameter in self.trained.items():
            if name.startswith("backbone.body."):
                parameter.requires_grad_(not frozen)
        return stage, rate

    def take(self, batch: SceneBatch) -> dict[str, Tensor | float]:
        """One step; what it tells stays on the device, so that the next step need not wait for it."""
        stage, rate = self.set_rates()
        self.optimizer.zero_grad(set_to_none=True)
        loss, parts = self.module(batch, stream_seed(self.recipe.seed, self.step))
        loss.backward()
        norm = optim.clip_gradients([p for p in self.trained.values() if p.requires_grad], 5.0)
        self.optimizer.step()
        self.step += 1
        self.ema.update(self.trained, self.step)
        final = {name.removeprefix("loss_"): values[0] for name, values in parts.items()}
        return {"side": stage.side, "lr": rate, "loss": loss.detach(), "norm": norm.detach()} | final


def run(
    folder: Path, recipe: Recipe, minutes: float | None, config: Path, device: torch.device = CPU
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_bytes(config.read_bytes())
    pretraining = Pretraining(folder, recipe, device)
    pretraining.resume()
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: stopping.append(n))
    cv2.setNumThreads(1)
    workers = min(recipe.workers, max(1, (os.cpu_count() or 2) - 1))
    loader = DataLoader(
        SceneBatches(recipe),
        batch_size=None,
        sampler=range(pretraining.step, recipe.steps),
        num_workers=workers,
        prefetch_factor=3 if workers else None,
        worker_init_fn=_let_the_run_end_first,
        pin_memory=device.type == "cuda",
    )
    began = saved = time.monotonic()
    rows: list[dict[str, Tensor | float]] = []
    for batch in loader:
        rows.append(pretraining.take(batch))
        if len(rows) == TOLD_TOGETHER:
            _log(folder / "log.csv", pretraining.step, rows)
            rows = []
        ended = bool(stopping) or (minutes is not None and time.monotonic() - began > 60 * minutes)
        if ended or time.monotonic() - saved > 60 * recipe.save_minutes:
            pretraining.save()
            saved = time.monotonic()
        if ended:
            print(f"stopped at step {pretraining.step}; the same command goes on", flush=True)
            return
    pretraining.save()
    print(f"finished, {pretraining.step} steps", flush=True)


def _let_the_run_end_first(_: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _log(file: Path, step: int, rows: list[dict[str, Tensor | float]]) -> None:
    names = sorted({name for row in rows for name in row})
    means = {n: float(np.mean([float(row[n]) for row in rows if n in row])) for n in names}
    if not np.isfinite(means["loss"]):
        raise SystemExit(f"the loss is not finite in the {len(rows)} steps before {step}")
    new = not file.is_file()
    with file.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(["step", "cpu_seconds", *names])
        writer.writerow([step, round(sum(os.times()[:4]), 1), *(f"{means[n]:.5g}" for n in names)])
    print(
        f"step {step}  " + "  ".join(f"{n} {means[n]:.3f}" for n in ("loss", *names) if n != "lr"), flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Pretrain on the world of scenes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("pretrain.yaml"))
    parser.add_argument("--minutes", type=float, help="stop after so long; the same command goes on")
    parser.add_argument("--device", help="cpu or cuda; by default a GPU where there is one")
    arguments = parser.parse_args()
    recipe = msgspec.yaml.decode(arguments.config.read_bytes(), type=Recipe)
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.set_float32_matmul_precision("high")  # TensorFloat-32, on GPUs that have it
    run(arguments.folder, recipe, arguments.minutes, arguments.config, device)


if __name__ == "__main__":
    main()
