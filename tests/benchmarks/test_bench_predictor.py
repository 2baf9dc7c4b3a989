"""What embedding a photo once saves: prompts on an embedded photo, beside the first call (focal-L, CPU)."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from seem_train import Predictor
from seem_train.weights.opening import load_model

HEIGHT, WIDTH, SIDE = 480, 640, 512


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


@pytest.mark.bench
def test_a_prompt_on_an_embedded_photo_costs_a_tenth_of_the_first_call() -> None:
    torch.manual_seed(0)
    predictor = Predictor(load_model("focal-l"), ["mug", "plate"], size=SIDE)
    photo = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)

    def first() -> None:
        predictor.set_image(photo)
        predictor.segment(points=[(300, 200)])

    predictor.set_image(photo)  # the first use of each kernel and of the tokenizer is nobody's
    predictor.segment(text="warm", points=[(3, 3)])
    whole = min(_seconds(first) for _ in range(2))
    prompts: dict[str, Callable[[], object]] = {
        "a click": lambda: predictor.segment(points=[(200, 300)]),
        "a further click, with memory": lambda: predictor.refine(points=[(220, 310, 0)]),
        "a new text": lambda: predictor.segment(text=f"the mug of {time.process_time_ns()}"),
        "three objects at once": lambda: predictor.segment(points=[[(9, 9)], [(90, 90)], [(200, 90)]]),
    }
    print(f"\nfocal-L, {WIDTH}×{HEIGHT} seen at {SIDE}, CPU; the first call is 1")
    shares = {}
    for name, call in prompts.items():
        shares[name] = min(_seconds(call) for _ in range(3)) / whole
        print(f"  {name:30} {shares[name]:.3f}  (1/{1 / shares[name]:.0f})")
    assert max(shares.values()) <= 0.1, shares
