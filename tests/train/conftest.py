"""What most tests of training begin with."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy


@pytest.fixture
def micro() -> None:
    """The small model is known by its name."""
    toy.register_micro()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.toy_dataset(tmp_path_factory.mktemp("data") / "kitchen")
