"""The reference of the benchmark does the original's work slowly, and gets the same answers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import toy
from typer.testing import CliRunner

from seem_train.adapters import freezing, strategies
from seem_train.cli.app import app
from seem_train.data.clicks import deepest_pixel, next_click
from seem_train.losses.criterion import Criterion
from seem_train.model.draws import SeededDraws
from seem_train.model.prompts import ImagePrompts
from seem_train.training import bench
from seem_train.training.bench import Setting, synthetic_batch
from seem_train.training.step import TrainingStep
from tests.benchmarks.original.losses import OriginalCriterion
from tests.benchmarks.original.losses import deepest_pixel as slow_deepest_pixel
from tests.benchmarks.original.losses import next_click as slow_next_click
from tests.benchmarks.original.model import OriginalSEEM
from tests.benchmarks.original.step import OriginalStep, optimizer_of
from tests.benchmarks.side_by_side import compare
from tests.parity.fixed import GridPoints

TASKS = ("panoptic", "grounding", "interactive")


@pytest.mark.parametrize("number", [7, 8])  # with a round of corrections, and without
def test_the_original_way_gives_our_loss_and_gradients(number: int) -> None:
    batch = synthetic_batch(Setting(size=64, categories=3), 0)
    losses = []
    for slow in (False, True):
        model = toy.micro()
        strategy = strategies.find("head")
        freezing.apply(model, strategy, freezing.placement(strategy))
        points = GridPoints(12, 16)
        step = TrainingStep(model, Criterion(points=points), toy.NAMES, TASKS, 1, _nothing)
        if slow:
            model = OriginalSEEM(model)
            step = OriginalStep(model, OriginalCriterion(points=points), toy.NAMES, TASKS, 1, _nothing)
        loss, _ = step(batch, step.count(batch), bench.StepDraws(0, number))
        loss.backward()
        losses.append((loss.item(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}))
    (ours, gradients), (reference, theirs) = losses
    assert ours == pytest.approx(reference, rel=1e-4)
    assert set(gradients) == set(theirs)
    scale = max(float(g.abs().max()) for g in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=2e-3, atol=1e-5 * scale, msg=name)


def test_a_step_that_trains_the_text_encoder_reads_every_text_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each reading costs a gradient as large as the token table."""
    batch = synthetic_batch(Setting(size=64, categories=3), 0)
    model = toy.micro().train().requires_grad_()
    criterion = Criterion(points=GridPoints(12, 16))
    step = TrainingStep(model, criterion, toy.NAMES, ("panoptic", "grounding"), 0, _nothing)
    read: list[int] = []
    embed = model.language.lang_encoder.token_embedding.forward
    table = model.language.lang_encoder.token_embedding
    monkeypatch.setattr(table, "forward", lambda ids: (read.append(len(ids)), embed(ids))[1])
    loss, _ = step(batch, step.count(batch), bench.StepDraws(0, 3))
    loss.backward()
    assert read == [len(toy.NAMES) + 1, len(set(batch.texts))]


def _nothing() -> torch.autograd.profiler.record_function:
    return torch.autograd.profiler.record_function("step")


def test_the_reference_asks_everything_in_a_round_and_gets_our_masks() -> None:
    """So the slow click and the slow choice of a mask are those that our step makes quickly."""
    batch = synthetic_batch(Setting(size=64, categories=3), 1)
    model = toy.micro()
    answers = []
    for kind, own in ((TrainingStep, model), (OriginalStep, OriginalSEEM(model))):
        step = kind(own, Criterion(points=GridPoints(12, 16)), toy.NAMES, TASKS, 1, _nothing)
        with torch.no_grad():
            features = own.encode_image(batch.images)
            prompts = [ImagePrompts(batch.said(i), batch.strokes(i)) for i in range(len(batch))]
            answers.append(step._answers(features, prompts, SeededDraws(7)))
    torch.testing.assert_close(*answers, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [TrainingStep, OriginalStep])
def test_both_paths_compute_in_the_precision_asked_for(kind: type[TrainingStep]) -> None:
    batch, seen = synthetic_batch(Setting(size=64, categories=3), 0), set[torch.dtype]()
    model = toy.micro() if kind is TrainingStep else OriginalSEEM(toy.micro())
    criterion = Criterion() if kind is TrainingStep else OriginalCriterion()
    step = kind(model, criterion, toy.NAMES, TASKS, 1, lambda: torch.autocast("cpu", torch.bfloat16))
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and "language" not in name:
            module.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    loss, _ = step(batch, step.count(batch), bench.StepDraws(0, 1))
    assert seen == {torch.bfloat16} and loss.dtype == torch.float32


def test_the_reference_finds_the_deepest_pixel_ring_by_ring() -> None:
    rng = np.random.default_rng(0)
    for region in (rng.random((40, 56)) < 0.97, np.pad(np.ones((9, 14), bool), 6), np.zeros((8, 8), bool)):
        assert slow_deepest_pixel(torch.from_numpy(region)) == deepest_pixel(region)


def test_the_reference_clicks_where_we_click() -> None:
    generator = torch.Generator().manual_seed(0)
    for smooth in (3, 9):
        noise = torch.randn(2, 5, 40, 56, generator=generator)
        answers, truth = torch.nn.functional.avg_pool2d(noise, smooth, 1, smooth // 2)
        marks = torch.rand(2, 5, 40, 56, generator=generator) < 0.02
        for ours, slow in zip(
            next_click(answers, truth > 0, *marks), slow_next_click(answers, truth > 0, *marks), strict=True
        ):
            assert torch.equal(ours, slow)


def test_padded_texts_have_the_vectors_of_trimmed_ones() -> None:
    model = toy.micro()
    texts = ["a red mug.", "the plate that stands behind the second bottle"]
    padded, ours = OriginalSEEM(model).encode_text(texts), model.encode_text(texts)
    torch.testing.assert_close(padded.vectors, ours.vectors)
    assert padded.tokens.shape[1] == 77


def test_the_reference_optimizer_has_a_group_for_each_tensor() -> None:
    model = toy.micro()
    model.decoder.requires_grad_(True)
    count = sum(p.requires_grad for p in model.parameters())
    assert len(optimizer_of(model, 1e-4, 0.05).param_groups) == count


def test_both_paths_are_measured_each_in_its_own_process() -> None:
    found = compare(Setting(model="tiny", size=64, steps=1, categories=5, device="cpu"))
    assert found["ours"]["host_syncs"] < found["reference"]["host_syncs"]
    assert found["reference"]["parts"]["text encoder"] > 0 and "text encoder" not in found["ours"]["parts"]
    assert found["speedup"] > 0 and found["memory"] > 0


def test_bench_tells_this_machines_own_figures() -> None:
    arguments = ["bench", "--model", "tiny", "--size", "64", "--steps", "1", "--categories", "5"]
    done = CliRunner().invoke(app, [*arguments, "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["img_s"] > 0 and found["peak_bytes"] >= found["built_bytes"] > 0
    assert found["setting"]["size"] == 64 and found["parts"]["backbone"] > 0
