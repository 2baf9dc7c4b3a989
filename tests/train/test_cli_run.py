"""The commands run, init and strategies, as a user types them."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
import yaml
from typer.testing import CliRunner

from seem_train.adapters.strategies import STRATEGIES
from seem_train.cli.app import app
from seem_train.config import fields
from seem_train.settings import to_yaml
from seem_train.training.step import TrainingStep

cli = CliRunner()


pytestmark = pytest.mark.usefixtures("micro")


def arguments(dataset: Path, tmp_path: Path, **changes: object) -> list[str]:
    file = tmp_path / "run.yaml"
    file.write_text(to_yaml(toy.settings(dataset, tmp_path / "run", run__steps=2, **changes)))
    return ["run", "--config", str(file)]


def test_every_setting_with_a_flag_is_an_option() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "seem_train", "run", "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", "TERM": "dumb"},
    ).stdout
    flags = [item.metadata["flag"] for _, item, _ in fields() if item.metadata["flag"]]
    assert len(flags) > 40
    assert [flag for flag in flags if flag not in said] == []


def test_help_does_not_wait_for_torch() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "seem_train", "run", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "seem_train.cli.app" in done.stderr
    assert "torch._C" not in done.stderr


def test_run_takes_flags_over_the_file(dataset: Path, tmp_path: Path) -> None:
    extra = ["--strategy", "head", "--lr", "1e-2", "--set", "optim.clip=1", "--no-zero-shot", "--steps", "1"]
    done = cli.invoke(app, [*arguments(dataset, tmp_path), *extra])
    assert done.exit_code == 0, done.output
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (kept["strategy"]["name"], kept["optim"]["lr"], kept["optim"]["clip"]) == ("head", 1e-2, 1.0)
    assert re.search(r"next:  \S*seem-train predict", done.output)


def test_json_has_rows_on_standard_output_and_words_beside_it(dataset: Path, tmp_path: Path) -> None:
    done = cli.invoke(app, [*arguments(dataset, tmp_path), "--json"])
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["split"] for row in rows} == {"train", "val"}
    assert "Strategy head-adapter" in done.stderr


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--strategy", "head-adaptor"], "Did you mean 'head-adapter'?"),
        (["--set", "optim.lrate=3"], "unknown setting 'optim.lrate'"),
        (["--steps", "5", "--epochs", "3"], "--epochs and --steps"),
        (["--backbone-stages", "5", "--strategy", "adapter"], "stages of this backbone are 1 to 4"),
        (["--model", "focal-xl"], "focal-xl"),
        (["--weights", "missing.pt"], "missing.pt does not exist"),
        (["--freeze", "decoder,pixel-decoder"], "leaves nothing to train"),
    ],
)
def test_mistakes_end_in_one_sentence_and_status_2(
    dataset: Path, tmp_path: Path, extra: list[str], message: str
) -> None:
    done = cli.invoke(app, [*arguments(dataset, tmp_path), *extra])
    assert done.exit_code == 2
    assert "error: " in done.stderr and message in done.stderr
    assert "Traceback" not in done.output


def test_no_dataset_and_an_unknown_split_say_what_to_do(dataset: Path, tmp_path: Path) -> None:
    done = cli.invoke(app, [*arguments(dataset, tmp_path), str(tmp_path / "nowhere")])
    assert done.exit_code == 2 and "seem-data build" in done.stderr
    done = cli.invoke(app, [*arguments(dataset, tmp_path), "--set", "data.val_split=test"])
    assert done.exit_code == 2 and "there are: train, val" in done.stderr


def test_a_full_memory_says_what_takes_less_and_the_same_command_goes_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*arguments(dataset, tmp_path, run__save_steps=1), "--batch", "2", "--precision", "fp32"]
    forward = TrainingStep.forward

    def greedy(self: TrainingStep, *inputs: Any) -> Any:
        if inputs[2].step == 1:
            torch.empty(1 << 50)  # a petabyte
        return forward(self, *inputs)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingStep, "forward", greedy)
        full = cli.invoke(app, command)
    assert full.exit_code == 2
    assert "out of memory at --batch 2 (can't allocate memory: you tried to allocate" in full.stderr
    assert all(option in full.stderr for option in ("--batch 1", "--size", "--precision bf16"))
    command[command.index("--batch") + 1] = "1"
    assert "Resumed  step 1 of 2" in cli.invoke(app, command).output


def test_a_part_without_a_deterministic_form_is_named(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set 'torch…"

    def refused(*_: object) -> None:
        raise RuntimeError(said)  # as torch says it on a GPU

    monkeypatch.setattr(TrainingStep, "forward", refused)
    failed = cli.invoke(app, arguments(dataset, tmp_path))
    assert failed.exit_code == 2 and "--deterministic: on a GPU this model needs grid_s" in failed.stderr


def test_init_writes_a_file_that_run_reads_and_spares_an_existing_one(dataset: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    assert cli.invoke(app, ["init", str(file)]).exit_code == 0
    flags = ["--model", "micro", "--weights", "random", "--size", "64", "--dry-run", "--device", "cpu"]
    done = cli.invoke(app, ["run", str(dataset), "--config", str(file), *flags])
    assert done.exit_code == 0, done.output
    again = cli.invoke(app, ["init", str(file)])
    assert again.exit_code == 2 and "--force" in again.stderr
    assert cli.invoke(app, ["init", str(file), "--force"]).exit_code == 0


def test_strategies_counts_what_each_trains() -> None:
    done = cli.invoke(app, ["strategies", "--model", "focal-l", "--json"])
    rows = {row["strategy"]: row for row in json.loads(done.stdout)}
    assert rows["head-adapter"]["share"] < 0.01 and rows["backbone-adapter+head-adapter"]["share"] < 0.02
    assert rows["head"]["trainable"] == 39_812_608
    text = cli.invoke(app, ["strategies", "--model", "tiny"]).stdout
    assert "backbone-adapter+head-adapter" in text and "frozen" in text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_settings_from_a_pipe_are_read_once(dataset: Path, tmp_path: Path) -> None:
    """`--config <(…)`: what is read twice is empty the second time."""
    pipe = tmp_path / "settings"
    os.mkfifo(pipe)
    text = to_yaml(toy.settings(dataset, tmp_path / "run", run__steps=7))
    threading.Thread(target=pipe.write_text, args=(text,), daemon=True).start()
    command = [sys.executable, toy.__file__, "run", "--config", str(pipe), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert " 7 steps" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_be_stopped_and_goes_on_by_the_same_command(
    dataset: Path, tmp_path: Path, strategy: str
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, toy.__file__, *arguments(dataset, tmp_path, run__previews=1)]
    command += ["--strategy", strategy, "--steps", "40", "--workers", "1"]
    command += ["--eval-tasks", "panoptic,semantic,grounding,interactive"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        rows = run / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not rows.is_file() or rows.read_text().count("\n") < 3:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.terminate()
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert "the same command continues" in said.splitlines()[-1]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Resumed  step" in done.stdout
    program, _, said_next = done.stdout.splitlines()[-1].partition(" predict ")
    assert re.fullmatch(r"  next:  \S*seem-train", program)
    assert said_next.startswith(f"{run / 'best'} {dataset / 'val' / 'images'}{os.sep}")
    assert " --text 'the " in said_next  # a thing in a sentence, not the name of what is everywhere
    assert (run / "curves.png").is_file()
    assert (run / "previews" / "step_000040.jpg").is_file()
    assert json.loads((run / "summary.json").read_text())["finished"]
    answer = [sys.executable, toy.__file__, "predict", *shlex.split(said_next), "--min-score", "0"]
    answer += ["--out", str(tmp_path / "seen")]
    seen = subprocess.run(answer, env=environment, capture_output=True, text=True)
    assert seen.returncode == 0, seen.stderr
    assert list((tmp_path / "seen" / "overlays").iterdir())


def test_a_signal_while_torch_is_imported_asks_to_be_queued_again(dataset: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "seem_train", "run", str(dataset)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "torch." in line)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 75


def test_devices_starts_the_processes_itself(dataset: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "seem_train",
        "run",
        str(dataset),
        "--model",
        "tiny",
        "--weights",
        "random",
    ]
    command += ["--devices", "2", "--device", "cpu", "--size", "64", "--global-batch", "2", "--steps", "2"]
    command += [
        "--out",
        str(tmp_path / "run"),
        "--no-zero-shot",
        "--previews",
        "0",
        "--set",
        "optim.points=64",
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert "CPU × 2" in done.stdout and done.stdout.count("Strategy") == 1
