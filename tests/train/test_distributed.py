"""Two processes learn what one would, and neither waits for the other for ever."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as multiprocessing
import toy
from torch.nn.parallel import DistributedDataParallel

from seem_train.config import Config
from seem_train.data.batch import Batch, collate
from seem_train.runtime import Stop, start
from seem_train.settings import to_yaml
from seem_train.training import checkpoint, trainer
from seem_train.training.reporting.loggers import Log
from seem_train.training.run_folder import Place
from seem_train.training.step import StepDraws
from tests.parity.fixed import GridPoints


def in_two_processes(work: Callable[..., None], *arguments: Any) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.spawn(_enter, args=(port, work, arguments), nprocs=2, join=False)
    assert context is not None
    deadline = time.monotonic() + 120
    while not context.join(timeout=1):
        if time.monotonic() > deadline:
            for process in context.processes:
                process.kill()
            raise TimeoutError("the two processes wait for each other")


def _enter(rank: int, port: int, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    toy.register_micro()
    work(*arguments)


def gradients_of_first_step(config: Config, out: Path, without_segments: bool = False) -> None:
    """Computes one step's gradients as the trainer does and writes them (main process)."""
    place = Place(out, None)
    with start("cpu") as runtime, Stop() as stop:
        session = trainer.prepare(config, place, runtime, Log(quiet=True))
        session.step_module.criterion.points = GridPoints(12, 16)
        module: torch.nn.Module = session.step_module
        if runtime.world > 1:
            module = DistributedDataParallel(module, broadcast_buffers=False)
        batches = next(trainer.steps_of_batches(session))
        if without_segments:
            batches = [_emptied(batch, runtime.rank, runtime.world) for batch in batches]
        counts = [session.step_module.count(b) for b in batches]
        divisors = trainer.agree(session, counts, stop, saving=False).divisors
        for number, batch in enumerate(batches):
            last = number + 1 == len(batches)
            if runtime.world > 1 and not last:
                with module.no_sync():  # type: ignore[operator]
                    module(batch, divisors, StepDraws(0, 0))[0].backward()
            else:
                module(batch, divisors, StepDraws(0, 0))[0].backward()
        if runtime.is_main:
            torch.save({n: p.grad for n, p in session.trained.items()}, out)


def _emptied(batch: Batch, rank: int, world: int) -> Batch:
    """The batch with nothing labelled in the images of rank 0 (with one process: in its first half)."""
    bare = len(batch) if world > 1 else len(batch) // 2
    if world > 1 and rank == 1:
        return batch
    examples = []
    for place in range(len(batch)):
        example = replace(batch.examples[place], image=batch.images[place], id_map=batch.id_maps[place])
        if place < bare:
            example = replace(
                example,
                id_map=torch.zeros_like(example.id_map),
                categories=(),
                phrases=(),
                prompted=(),
                strokes=example.strokes[:0],
            )
        examples.append(example)
    return collate(examples)


def settings(dataset: Path, **changes: object) -> Config:
    plain: dict[str, object] = {"strategy__name": "head", "run__global_batch": 4, "data__refine_rounds": 0}
    return toy.settings(dataset, dataset.parent / "unused", **plain | changes)


def assert_close(one: Path, other: Path) -> None:
    first, second = torch.load(one), torch.load(other)
    assert set(first) == set(second)
    scale = max(float(g.abs().max()) for g in first.values())
    for name, gradient in first.items():
        assert torch.isfinite(gradient).all(), name
        torch.testing.assert_close(gradient, second[name], rtol=1e-3, atol=1e-5 * scale, msg=name)
    assert scale > 0


@pytest.mark.parametrize("batch", [2, 1])
def test_two_processes_have_the_gradients_of_one_with_the_double_batch(
    dataset: Path, tmp_path: Path, batch: int
) -> None:
    """Batch 1: with gradient accumulation besides."""
    toy.register_micro()
    gradients_of_first_step(settings(dataset, run__batch=4), tmp_path / "one.pt")
    in_two_processes(gradients_of_first_step, settings(dataset, run__batch=batch), tmp_path / "two.pt")
    assert_close(tmp_path / "one.pt", tmp_path / "two.pt")


def test_accumulation_has_the_gradients_of_the_whole_batch(dataset: Path, tmp_path: Path) -> None:
    toy.register_micro()
    gradients_of_first_step(settings(dataset, run__batch=4), tmp_path / "whole.pt")
    gradients_of_first_step(settings(dataset, run__batch=1), tmp_path / "parts.pt")
    assert_close(tmp_path / "whole.pt", tmp_path / "parts.pt")


def test_images_without_segments_in_one_process_neither_hang_nor_spoil(dataset: Path, tmp_path: Path) -> None:
    in_two_processes(gradients_of_first_step, settings(dataset, run__batch=2), tmp_path / "two.pt", True)
    assert all(torch.isfinite(g).all() for g in torch.load(tmp_path / "two.pt").values())


def _train(config: Config) -> None:
    trainer.run(config)


def test_a_checkpoint_of_two_processes_goes_on_in_one(dataset: Path, tmp_path: Path) -> None:
    toy.register_micro()
    config = toy.settings(dataset, tmp_path / "run", run__steps=4, run__global_batch=4, run__batch=2)
    in_two_processes(_train, config)
    assert checkpoint.load(tmp_path / "run" / "last").manifest["processes"] == 2
    done = trainer.run(
        toy.settings(dataset, tmp_path / "run", run__steps=6, run__global_batch=4, run__batch=2)
    )
    assert (done.steps, done.finished) == (6, True)
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert sum('"train"' in row for row in rows) == 6, "the main process alone writes"


def launched(dataset: Path, tmp_path: Path, **changes: object) -> subprocess.Popen[str]:
    """``seem-train run --devices 2`` in a process of its own."""
    plain: dict[str, object] = {"run__devices": 2, "run__batch": 1, "run__save_steps": 2, "run__steps": 400}
    file = tmp_path / "run.yaml"
    file.write_text(to_yaml(toy.settings(dataset, tmp_path / "run", **plain | changes)))
    code = (
        "import sys, toy\n"
        "from seem_train.runtime import launch\n"
        "sys.exit(launch([sys.executable, toy.__file__, 'run', '--config', sys.argv[1]], 2))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(toy.__file__).parent)}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(file)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_steps(process: subprocess.Popen[str], rows: Path, steps: int) -> None:
    deadline = time.monotonic() + 180
    while not rows.is_file() or rows.read_text().count('"train"') < steps:
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.02)


@pytest.mark.slow
def test_a_signal_to_the_launcher_saves_and_asks_to_be_queued_again(dataset: Path, tmp_path: Path) -> None:
    process = launched(dataset, tmp_path)
    wait_for_steps(process, tmp_path / "run" / "metrics.jsonl", 3)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert "Traceback" not in said
    assert checkpoint.load(tmp_path / "run" / "last").progress.step >= 3


@pytest.mark.slow
def test_a_killed_process_ends_the_others_with_a_message_and_the_run_can_go_on(
    dataset: Path, tmp_path: Path
) -> None:
    process = launched(dataset, tmp_path)
    wait_for_steps(process, tmp_path / "run" / "metrics.jsonl", 5)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
    )
    os.kill(int(children.stdout.split()[-1]), signal.SIGKILL)
    _, said = process.communicate(timeout=90)
    assert process.returncode == 1
    assert "was killed by signal 9" in said and "continues from the last save" in said
    kept = checkpoint.find(tmp_path / "run" / "last")
    assert kept is not None
    before = checkpoint.load(kept).progress.step
    toy.register_micro()
    done = trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=before + 2))
    assert done.steps == before + 2
