"""What all tests share: how hypothesis runs, and the folders of real and golden data that lie beside."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline for an example: the first one pays for imports and tables, and machines are shared.
settings.register_profile("seem-tools", deadline=None)
settings.load_profile("seem-tools")

os.environ["SEEM_TEXTS"] = tempfile.mkdtemp(prefix="seem-texts-")  # nothing into the home of who tests

SHARED = Path(os.environ.get("SEEM_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{name}/ is not there: it lies in ../shared beside the repository (or in $SEEM_SHARED)")
    return folder


@pytest.fixture(scope="session")
def shared_parity() -> Path:
    """Golden outputs of the original SEEM (tiny random weights)."""
    return _shared("parity")


@pytest.fixture(scope="session")
def shared_real() -> Path:
    """Real photographs with annotations made by other people's tools."""
    return _shared("real")
