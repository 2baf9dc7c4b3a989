"""How much faster than the original's way of computing: focal-L, random weights, 512 × 512, batch 1.

Ratios are of processor time on one thread, measured by turns in one process, so that neither other work on
the machine nor threads that wait for each other count.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from seem_train.model.config import FocalConfig, SEEMConfig
from seem_train.model.draws import SeededDraws
from seem_train.model.prompts import ImagePrompts, Marks, ObjectPrompt
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.weights.opening import load_model
from tests.benchmarks.original.model import OriginalSEEM

pytestmark = pytest.mark.bench
SIDE = 512
NAMES = [f"kind {i} of thing" for i in range(133)]
CLICK = ImagePrompts.of([ObjectPrompt(Marks(points=[(200, 300)]))], (SIDE, SIDE))


@pytest.fixture(scope="module")
def model() -> Iterator[SEEM]:
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_model("focal-l").requires_grad_(False)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator)


def seconds(*jobs: Callable[[], object], rounds: int = 2) -> list[float]:
    """Least processor seconds of each job, taken by turns after one unmeasured round."""
    best = [float("inf")] * len(jobs)
    for turn in range(rounds + 1):
        for number, job in enumerate(jobs):
            start = time.process_time()
            job()
            if turn:
                best[number] = min(best[number], time.process_time() - start)
    return best


def test_evaluation_forward(model: SEEM, image: torch.Tensor, capsys: pytest.CaptureFixture[str]) -> None:
    slow = OriginalSEEM(model)
    categories = torch.nn.functional.normalize(torch.randn(134, 512), dim=-1)

    def evaluate(model: SEEM) -> torch.Tensor:
        logits = model.decode(model.encode_image(image), categories=categories).final.objects.logits
        assert logits is not None
        return logits

    with torch.inference_mode():
        assert (evaluate(model) - evaluate(slow)).abs().max() < 2e-3
        ours, theirs = seconds(lambda: evaluate(model), lambda: evaluate(slow))
        batch, _ = model.normalise(image)
        features = model.backbone(batch)
        encoded = slow.encode_image(image)
        (text,) = seconds(lambda: slow.class_embeddings(NAMES), rounds=1)
        parts = seconds(
            lambda: model.backbone(batch),
            lambda: slow.backbone(batch),
            lambda: model.pixel_decoder(features),
            lambda: slow.pixel_decoder(features),
            lambda: slow.decode(encoded, categories=categories),
        )
    with capsys.disabled():
        print(
            f"\nevaluation forward: {(theirs + text) / ours:.2f} × as fast as the slow path, which encodes "
            f"the names in every call; {theirs / ours:.2f} × where both have them ({ours:.2f} CPU-s)"
        )
        print("  trunk {:.2f} (slow {:.2f}), pixel decoder {:.2f} (slow {:.2f}),".format(*parts[:4]), end="")
        print(f" decoder slow {parts[4]:.2f}, text slow {text:.2f} CPU-s")
    assert (theirs + text) / ours >= 1.2
    # Nine tenths of ours are the matrix products and convolutions that both share: without the text encoder
    # little is left to gain.
    assert theirs / ours >= 1.1


def test_training_forward_with_133_names(
    model: SEEM, image: torch.Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sentences differ in every step, so that nothing of the text cache helps."""
    draw = torch.Generator().manual_seed(0)

    def train(model: SEEM) -> None:
        model.language._kept.clear()
        categories = model.class_embeddings(NAMES, train=True, draws=draw)
        model.decode(model.encode_image(image), categories=categories, every_layer=True)

    model.train()
    slow = OriginalSEEM(model)
    try:
        ours, theirs = seconds(lambda: train(model), lambda: train(slow), rounds=1)
    finally:
        model.eval()
    with capsys.disabled():
        print(f"\ntraining forward, 133 names: {theirs / ours:.2f} × as fast as the slow path")
    assert theirs / ours >= 2


def test_one_more_click_or_text(model: SEEM, image: torch.Tensor, capsys: pytest.CaptureFixture[str]) -> None:
    with torch.inference_mode():
        features = model.encode_image(image)
        everything = lambda: model.decode(model.encode_image(image), CLICK, draws=SeededDraws(0))  # noqa: E731
        click, text, both = seconds(
            lambda: model.decode(features, CLICK, draws=SeededDraws(0)),
            lambda: model.decode(features, ImagePrompts(["the red mug on the left"])),
            everything,
        )
        refine = seconds(lambda: model.refine(features, CLICK))[0]
    with capsys.disabled():
        print(f"\nof encoding and decoding, one more click costs 1/{both / click:.0f}", end="")
        print(f" (its mask alone 1/{both / refine:.0f}), one more text 1/{both / text:.0f}")
    assert click <= both / 10
    assert text <= both / 10


def test_peak_memory_of_decoding_at_1024(capsys: pytest.CaptureFixture[str]) -> None:
    """Without prompts, from the pixel decoder's output on; the trunk plays no part and is made small."""
    small = FocalConfig(embed_dim=8, depths=(1, 1, 1, 1))
    model = SEEM(replace(SEEMConfig(), trunk=small)).eval().requires_grad_(False)
    slow, side = OriginalSEEM(model), 1024
    mask_features = torch.randn(1, 512, side // 4, side // 4)
    levels = [torch.randn(1, 512, side // stride, side // stride) for stride in (32, 16, 8)]
    categories = torch.nn.functional.normalize(torch.randn(134, 512), dim=-1)

    def decode(model: SEEM) -> None:
        memory = model.decoder.look(mask_features, levels, keep=False)
        model.decode(ImageFeatures(memory, ((side, side),), (side, side)), categories=categories)

    with torch.inference_mode():
        ours, theirs = peak(lambda: decode(model)), peak(lambda: decode(slow))
    with capsys.disabled():
        print(
            f"\npeak memory of decoding at 1024 × 1024: {theirs / ours:.2f} × less ({ours / 2**20:.0f} MiB)"
        )
    assert ours < theirs / 1.3


def peak(job: Callable[[], object]) -> int:
    """Bytes that a job holds at most beyond what was there before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        job()
    results: Any = recorded.profiler and recorded.profiler.kineto_results
    events = [e for e in results.events() if e.name() == "[memory]"]
    changes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return max(itertools.accumulate(changes))
