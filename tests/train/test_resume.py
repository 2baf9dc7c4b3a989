"""A run that was stopped and continued ends with the bits of one that was not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import toy

from seem_train.adapters.strategies import STRATEGIES
from seem_train.config import Config
from seem_train.errors import UserError
from seem_train.settings import to_yaml
from seem_train.training import checkpoint, trainer
from seem_train.training.run_evaluation import RunEvaluation
from seem_train.training.trainer import Run

pytestmark = pytest.mark.usefixtures("micro")


def run_and_stop(config: Config, monkeypatch: pytest.MonkeyPatch, after: int, number: int) -> Run:
    """A real signal arrives while step `after` is being computed."""
    whole = trainer.update

    def step(session: Any, *rest: Any) -> Any:
        if session.progress.step == after - 1:
            os.kill(os.getpid(), number)
        return whole(session, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "update", step)
        return trainer.run(config)


def final_state(folder: Path) -> dict[str, torch.Tensor]:
    """Everything a checkpoint holds, flattened: weights, moments, averages."""
    found = checkpoint.load(folder / "last")
    state = {f"model.{name}": tensor for name, tensor in found.tensors.items()}
    for number, moments in found.state["optimizer"]["state"].items():
        state |= {f"optimizer.{number}.{name}": tensor for name, tensor in moments.items()}
    state |= {f"ema.{name}": tensor for name, tensor in (found.state["ema"] or {}).items()}
    return state


def assert_same(one: Path, other: Path) -> None:
    first, second = final_state(one), final_state(other)
    assert set(first) == set(second)
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert different == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_6_steps_a_signal_and_4_more_equal_10(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """In the middle of an epoch (12 of 7 images), with a running average, and workers in the second part."""
    plain = {"strategy__name": strategy, "optim__ema": True}
    trainer.run(toy.settings(dataset, tmp_path / "whole", **plain))
    config = toy.settings(dataset, tmp_path / "parts", **plain)
    stopped = run_and_stop(config, monkeypatch, 6, signal.SIGTERM)
    assert (stopped.steps, stopped.status, stopped.finished) == (6, 75, False)
    workers = 2 if strategy == "head-adapter" else 0
    done = trainer.run(toy.settings(dataset, tmp_path / "parts", data__workers=workers, **plain))
    assert (done.steps, done.status, done.finished) == (10, 0, True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_each_signal_saves_and_tells_what_it_means(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, status in ((signal.SIGTERM, 75), (signal.SIGUSR1, 75), (signal.SIGINT, 130)):
        out = tmp_path / str(number)
        stopped = run_and_stop(toy.settings(dataset, out), monkeypatch, 3, number)
        assert (stopped.status, stopped.steps) == (status, 3)
        assert checkpoint.load(out / "last").progress.step == 3
        assert "the same command continues" in (out / "log.txt").read_text()


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(Path(toy.__file__)), "run", *arguments]


def test_kill_9_between_two_saves_loses_only_the_steps_since(dataset: Path, tmp_path: Path) -> None:
    trainer.run(toy.settings(dataset, tmp_path / "whole", run__steps=30))
    file = tmp_path / "run.yaml"
    file.write_text(to_yaml(toy.settings(dataset, tmp_path / "parts", run__steps=30, run__save_steps=4)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command("--config", str(file)), env=environment, stdout=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 120
        rows = tmp_path / "parts" / "metrics.jsonl"
        while not rows.is_file() or rows.read_text().count("\n") < 9:  # past the second save
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.005)
        process.kill()
    kept = checkpoint.find(tmp_path / "parts" / "last")
    assert kept is not None
    assert checkpoint.load(kept).progress.step in range(8, 30, 4)
    done = trainer.run(toy.settings(dataset, tmp_path / "parts", run__steps=30))
    assert done.finished
    assert_same(tmp_path / "whole", tmp_path / "parts")
    steps = [json.loads(row)["step"] for row in rows.read_text().splitlines() if '"train"' in row]
    assert steps == list(range(1, 31)), "rows of the undone past are gone"


def test_a_finished_run_says_so_and_can_be_prolonged(dataset: Path, tmp_path: Path) -> None:
    config = toy.settings(dataset, tmp_path / "run", run__steps=2)
    trainer.run(config)
    again = trainer.run(config)
    assert (again.steps, again.finished) == (2, True)
    assert "is finished" in (tmp_path / "run" / "log.txt").read_text()
    longer = trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=3))
    assert longer.steps == 3


def test_without_out_an_unfinished_run_is_continued_and_a_finished_one_left_alone(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = toy.settings(dataset, tmp_path, run__out=None, run__steps=3)
    stopped = run_and_stop(config, monkeypatch, 2, signal.SIGTERM)
    assert stopped.folder == Path("runs/kitchen-head-adapter")
    assert trainer.run(config).folder == stopped.folder
    assert trainer.run(config).folder == Path("runs/kitchen-head-adapter-2")


def test_other_settings_are_refused_with_both_values(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_and_stop(toy.settings(dataset, tmp_path / "run"), monkeypatch, 2, signal.SIGTERM)
    with pytest.raises(UserError, match=r"optim\.lr: was 0\.001, now 0\.01[\s\S]*--resume never"):
        trainer.run(toy.settings(dataset, tmp_path / "run", optim__lr=0.01))
    with pytest.raises(UserError, match="holds a run"):
        trainer.run(toy.settings(dataset, tmp_path / "run", run__resume="never"))
    with pytest.raises(UserError, match="neither a checkpoint nor a run folder"):
        trainer.run(toy.settings(dataset, tmp_path / "other", run__resume=str(tmp_path / "nothing")))


def test_a_named_checkpoint_can_go_on_elsewhere(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer.run(toy.settings(dataset, tmp_path / "whole"))
    run_and_stop(toy.settings(dataset, tmp_path / "first"), monkeypatch, 4, signal.SIGTERM)
    trainer.run(toy.settings(dataset, tmp_path / "second", run__resume=str(tmp_path / "first" / "last")))
    assert_same(tmp_path / "whole", tmp_path / "second")


def test_a_signal_in_an_evaluation_ends_the_run_at_once_and_it_is_made_up_for(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = {"run__steps": 6, "run__eval_every": 1}
    evaluate, calls = RunEvaluation.evaluate, 0

    def interrupted(self: RunEvaluation, *rest: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return evaluate(self, *rest, **named)

    monkeypatch.setattr(RunEvaluation, "evaluate", interrupted)
    stopped = trainer.run(toy.settings(dataset, tmp_path / "run", **plain))
    assert (stopped.status, stopped.steps, stopped.finished) == (75, 4, False)
    done = trainer.run(toy.settings(dataset, tmp_path / "run", **plain))
    assert done.finished
    rows = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["split"] == "val"] == [4, 6]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_signal_to_the_whole_group_spares_the_loaders_and_is_heard_once(
    dataset: Path, tmp_path: Path, number: int, status: int
) -> None:
    """As Ctrl-C in a terminal, or a scheduler's signal to all processes of a job, reaches them."""
    file = tmp_path / "run.yaml"
    plain = {"run__steps": 2000, "data__workers": 2}
    file.write_text(to_yaml(toy.settings(dataset, tmp_path / "run", **plain)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command("--config", str(file)),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        rows = tmp_path / "run" / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not rows.is_file() or rows.read_text().count("\n") < 3:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, number)
        os.kill(process.pid, number)  # the launcher passes it on as well
        _, said = process.communicate(timeout=60)
    assert process.returncode == status, said
    assert "Traceback" not in said
    assert checkpoint.load(tmp_path / "run" / "last").progress.step >= 3
