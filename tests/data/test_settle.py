"""The process that a build runs in: no threads that wait, no memory fetched anew for every image."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not Path("/proc/self/task").is_dir(), reason="Linux with glibc"
)


def said(script: str) -> int:
    """The number that a process prints."""
    environment = {"PATH": ""}  # not what the tests themselves were started with
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    return int(done.stdout)


def test_numpy_and_opencv_start_no_threads() -> None:
    script = (
        "from seem_data.engines.settle import settle; settle()\n"
        "import numpy, cv2, os; print(len(os.listdir('/proc/self/task')))"
    )
    assert said(script) == 1


def test_arrays_get_the_memory_of_those_before_them() -> None:
    script = (
        "from seem_data.engines.settle import settle; settle()\n"
        "import numpy, resource\n"
        "def work(): return len([numpy.ones(1 << 18) for _ in range(12)])\n"
        "def fetched(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "work(); before = fetched()\n"
        "for _ in range(20): work()\n"
        "print(fetched() - before)"
    )
    pages = said(script)
    assert pages < 100
    assert said(script.replace("settle()\n", "None\n", 1)) > 20 * pages + 2_000
