"""The public names: seen by dir(), signed in full, and their examples true."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from run_folders import write_run
from tiny_dataset import write_dataset

import seem_train
from seem_train.errors import UserError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the examples speak of."""
    folder = tmp_path_factory.mktemp("place")
    write_run(folder / "runs" / "kitchen")
    write_dataset(folder / "dataset", images=2)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    return folder


@pytest.mark.parametrize("name", ["evaluate", "export", "load_model", "Predictor"])
def test_examples_say_what_happens(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    shown = getattr(seem_train, name)
    names = {name: shown, "seem_train": seem_train, "torch": torch}
    tests = [test for test in doctest.DocTestFinder().find(shown, name, globs=names) if test.examples]
    assert tests, f"{name} shows no example"
    for test in tests:
        assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("name", ["evaluate", "export", "load_model"])
def test_signatures_are_complete(name: str) -> None:
    assert name in dir(seem_train)
    signature = inspect.signature(getattr(seem_train, name))
    for parameter in signature.parameters.values():
        assert parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        assert parameter.annotation is not parameter.empty
        assert "Any" not in str(parameter.annotation).split("[")
    assert signature.return_annotation is not signature.empty


def test_settings_from_python_are_checked(place: Path) -> None:
    with pytest.raises(UserError, match="size 0: must be above 0"):
        seem_train.evaluate(place / "runs" / "kitchen", place / "dataset", size=0)
    with pytest.raises(UserError, match="give a file"):
        seem_train.export(place / "runs" / "kitchen", place / "tuned.txt")
