"""Runs, evaluation and prompts on a GPU: a real one where there is one, else a pretended one, which tells of
tensors on the wrong side and of waits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
import toy

from seem_train.settings import to_yaml

HERE = Path(__file__).parent
REAL = torch.cuda.is_available()


def on_gpu(*arguments: object) -> tuple[str, Counter[str]]:
    """What ``seem-train`` says with these arguments, and for what a pretended GPU waited in which file."""
    script = "toy.py" if REAL else "pretended_gpu.py"
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    waits: Counter[str] = Counter()
    if REAL:
        return done.stdout, waits
    *said, noted = done.stdout.splitlines()
    for what, count in json.loads(noted).items():
        waits[what.rpartition(":")[0]] += count
    return "\n".join(said), waits


def test_the_pretended_gpu_refuses_what_a_gpu_refuses() -> None:
    code = """
import torch, pretended_gpu
with pretended_gpu.pretend():
    layer = torch.nn.Linear(3, 2).to("cuda:0")
    x = torch.ones(4, 3, device="cuda:0")
    with torch.autocast("cuda", torch.bfloat16):
        y = layer(x)
        assert y.dtype == torch.bfloat16 and torch.softmax(y, 1).dtype == torch.float32
    y.float().sum().backward()
    assert layer.weight.grad.is_cuda and layer.bias.grad.tolist() == [4.0, 4.0]
    for wrong in (lambda: x + torch.ones(4, 3), lambda: torch.ones(5)[x.long()], x.numpy):
        try:
            wrong()
        except (RuntimeError, TypeError):
            continue
        raise AssertionError(wrong)
"""
    subprocess.run([sys.executable, "-c", code], cwd=HERE, check=True)


def test_mask_losses_are_the_same_however_many_layers_go_through_together() -> None:
    code = """
import sys, torch, pretended_gpu
sys.path.append('../..')
from seem_train.losses import masks
from seem_train.losses.matcher import Pairs
from tests.parity.fixed import GridPoints
layers = [torch.randn(2, 5, 16, 16) for _ in range(5)]
truth, query, target = torch.rand(3, 64, 64) > 0.5, torch.randint(10, (5, 3)), torch.arange(3).repeat(5, 1)
def losses(device):
    inputs = [x.to(device) for x in layers], Pairs(query.to(device), target.to(device)), truth.to(device)
    return [x.tolist() for x in masks.mask_losses('objects', *inputs, GridPoints(8, 8))]
expected = torch.tensor(losses('cpu'))
with pretended_gpu.pretend():
    for masks.MASKS_AT_ONCE in (1, 7, 1000):  # one, two, all of the five layers at once
        found = losses('cuda:0')
        torch.testing.assert_close(torch.tensor(found), expected)
"""
    subprocess.run([sys.executable, "-c", code], cwd=HERE, check=True)


@pytest.mark.skipif(REAL, reason="a real GPU does not tell for what it waits")
def test_a_step_waits_for_its_matching_and_for_its_numbers(dataset: Path, tmp_path: Path) -> None:
    """And once for each text that it meets for the first time, and to see what a simulated user sees."""
    changes = {"run__steps": 3, "run__device": "cuda", "data__refine_rounds": 0}
    (tmp_path / "run.yaml").write_text(to_yaml(toy.settings(dataset, tmp_path / "run", **changes)))
    said, waits = on_gpu("run", "--config", tmp_path / "run.yaml", "--precision", "bf16")
    assert "a pretended GPU · bf16" in said and "Done in" in said
    step = {"training/update.py", "training/step.py", "losses", "model/decoder.py", "model/prepare.py"}
    found = {what: count for what, count in waits.items() if any(f" {place}" in what for place in step)}
    assert found == {"to host losses/matcher.py": 3, "tolist training/update.py": 3}


@pytest.fixture(scope="module")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Adapters in backbone and head, every task and picture, 16 bit."""
    out = tmp_path_factory.mktemp("runs") / "kitchen"
    changes: dict[str, object] = {
        "run__steps": 3,
        "run__save_steps": 1,
        "run__device": "cuda",
        "run__precision": "bf16",
        "run__previews": 1,
        "run__zero_shot": True,
        "run__eval_tasks": "panoptic,grounding,interactive",
        "optim__ema": True,
        "strategy__name": "adapter",
    }
    (out.parent / "run.yaml").write_text(to_yaml(toy.settings(dataset, out, **changes)))
    said, waits = on_gpu("run", "--config", out.parent / "run.yaml")
    assert "zero-shot" in said and "Done in" in said
    assert REAL or waits["to host data/clicks.py"] > 0, "no prompt was corrected"
    return out


def test_a_run_is_evaluated(run: Path, dataset: Path) -> None:
    said, _ = on_gpu("evaluate", run / "best", dataset, "--device", "cuda", "--limit", 1)
    assert "PQ" in said and "cIoU" in said and "NoC@0.9" in said and "AP50" in said


def test_a_run_answers_every_prompt(run: Path, dataset: Path, tmp_path: Path) -> None:
    photo = next((dataset / "val" / "images").iterdir())
    prompts = ["--text", "the mug", "--point", "30,30", "--box", "5,5,40,40", "--stroke", "8,8 20,20"]
    tasks = ["--panoptic", "--semantic", "--instances", "--min-score", "0"]
    said, _ = on_gpu("predict", run / "best", photo, "--out", tmp_path, "--device", "cuda", *prompts, *tasks)
    assert "the mug" in said and "panoptic" in said and "semantic" in said


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["head", "backbone-adapter+head", "lora", "full"])
def test_every_strategy_trains_in_half_precision_and_goes_on(
    dataset: Path, tmp_path: Path, strategy: str
) -> None:
    settings = toy.settings(dataset, tmp_path / "run", run__device="cuda", strategy__name=strategy)
    (tmp_path / "run.yaml").write_text(to_yaml(settings))
    for steps in ("1", "2"):
        command = ["run", "--config", tmp_path / "run.yaml", "--precision", "fp16", "--checkpointing"]
        said, _ = on_gpu(*command, "--steps", steps)
        assert "Done in" in said
    assert "Resumed  step 1 of 2" in said
