"""A run that is killed again and again, anywhere, ends with the bits of one that was not.

Forked children train and kill themselves at a random one of their events: each change of a file (so in the
middle of saves, of rows and of pictures), each step, each image of an evaluation. The dataset says hundreds
of different sentences, so that every restart meets texts whose embeddings the undisturbed run had kept.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import toy

from seem_train.settings import to_yaml
from seem_train.training import checkpoint, trainer
from seem_train.training.run_evaluation import RunEvaluation

_FORK = multiprocessing.get_context("fork")
_MEASURED = {"img_s", "waiting", "memory_gb", "seconds"}  #: what no two runs share
_WORDS = [
    "the",
    "mug",
    "plate",
    "table",
    "red",
    "blue",
    "near",
    "far",
    "left",
    "one",
    "behind",
    "beside",
    "wide",
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each object of each photo in 12 sentences of its own, of 3 to 25 words: 360 and more."""
    toy.register_micro()
    root = toy.toy_dataset(tmp_path_factory.mktemp("data") / "kitchen", train=15)
    rng = random.Random(0)
    for split in ("train", "val"):
        file = root / split / "grounding.json"
        rows = json.loads(file.read_text())
        for row in rows["annotations"]:
            texts = (" ".join(rng.choices(_WORDS, k=rng.randint(3, 25))) for _ in range(12))
            row["sentences"] = [{"raw": text, "kind": "own"} for text in texts]
        file.write_text(json.dumps(rows))
    return root


def settings(dataset: Path, out: Path, strategy: str) -> Any:
    return toy.settings(
        dataset,
        out,
        strategy__name=strategy,
        optim__ema=True,
        run__steps=20,
        run__zero_shot=True,
        run__eval_every=1,
        run__eval_tasks="panoptic,grounding,interactive",
        run__save_steps=3,
        run__log_every=4,
    )


def _train(config: Any, at: int, counted: Any) -> None:
    """In a forked child: train, and be gone at event number `at`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def event() -> None:
        counted.value += 1
        if counted.value == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        writes = name == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_CREAT | os.O_TRUNC)
        if writes or name in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod"):
            event()

    update, evaluate = trainer.update, RunEvaluation.evaluate

    def updated(*arguments: Any) -> Any:
        event()
        found = update(*arguments)
        event()
        return found

    def evaluated(*arguments: Any) -> Any:
        event()
        found = evaluate(*arguments)
        event()
        return found

    trainer.update, RunEvaluation.evaluate = updated, evaluated  # type: ignore[method-assign]
    sys.addaudithook(hook)
    trainer.run(config)
    os._exit(0)


def trained(config: Any, at: int = 0) -> tuple[bool, int]:
    """Whether a child came to its end, and how many events it saw."""
    counted = _FORK.Value("i", 0)
    child = _FORK.Process(target=_train, args=(config, at, counted))
    child.start()
    child.join(600)
    assert child.exitcode in (0, -signal.SIGKILL), f"exit code {child.exitcode} at event {at}"
    return child.exitcode == 0, counted.value


def everything(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Weights, moments and averages; rows without what is measured in seconds and bytes."""
    found = checkpoint.load(folder / "last")
    state = {f"model.{name}": tensor for name, tensor in found.tensors.items()}
    for number, moments in found.state["optimizer"]["state"].items():
        state |= {f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()}
    state |= {f"ema.{name}": tensor for name, tensor in found.state["ema"].items()}
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return state, [{k: v for k, v in json.loads(line).items() if k not in _MEASURED} for line in lines]


def assert_same(one: Path, other: Path) -> None:
    (first, rows), (second, others) = everything(one), everything(other)
    assert set(first) == set(second)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert rows == others


def campaign(dataset: Path, folder: Path, strategy: str, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    complete, events = trained(settings(dataset, folder / "whole", strategy))
    assert complete and events > 150
    done = attempt = 0
    while done < kills:
        attempt += 1
        config = settings(dataset, folder / f"killed-{attempt}", strategy)
        complete = False
        while not complete and done < kills:
            complete, _ = trained(config, rng.randint(1, events // 2))
            done += not complete
        if not complete:
            complete, _ = trained(config)
        assert_same(folder / "whole", folder / f"killed-{attempt}")


def test_a_few_kills_leave_the_same_bits(dataset: Path, tmp_path: Path) -> None:
    campaign(dataset, tmp_path, "head-adapter", kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["head-adapter", "full"])
def test_fifty_kills_leave_the_same_bits(dataset: Path, tmp_path: Path, strategy: str) -> None:
    campaign(dataset, tmp_path, strategy, kills=50, seed=2)


def _start_two(file: Path) -> list[subprocess.Popen[bytes]]:
    """As torchrun would; `--devices` starts `seem_train`, which knows no micro model."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    command = [sys.executable, str(Path(toy.__file__)), "run", "--config", str(file)]
    ranks = ({"RANK": str(n), "LOCAL_RANK": str(n), "MASTER_PORT": str(port)} for n in range(2))
    return [subprocess.Popen(command, env=shared | rank, stdout=subprocess.DEVNULL) for rank in ranks]


@pytest.mark.slow
def test_two_processes_killed_at_random_times_leave_the_same_bits(dataset: Path, tmp_path: Path) -> None:
    rng, kills = random.Random(3), 0
    for name in ("whole", "killed"):
        file = tmp_path / f"{name}.yaml"
        file.write_text(to_yaml(settings(dataset, tmp_path / name, "head-adapter")))
        for _ in range(0 if name == "whole" else 6):
            log = tmp_path / name / "log.txt"
            before = log.stat().st_size if log.is_file() else 0
            both = _start_two(file)
            while both[0].poll() is None and not (log.is_file() and log.stat().st_size > before):
                time.sleep(0.02)  # until it trains
            time.sleep(rng.uniform(0.0, 1.5))
            for process in both:
                process.kill()
            kills += [process.wait() for process in both] == [-signal.SIGKILL] * 2
        assert [process.wait() for process in _start_two(file)] == [0, 0]
    assert kills > 0
    assert_same(tmp_path / "whole", tmp_path / "killed")
