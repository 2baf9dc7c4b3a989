"""Engines give every job back once, hold few chunks at a time, and outlive workers that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seem_data.engines.choose import check_engine, cpu_count, open_engine
from seem_data.engines.pool import ProcessPool
from seem_data.engines.spread import CHUNKS_PER_WORKER, Casualty, Engine
from seem_data.problems import DataError, Problem


def double(chunk: list[int]) -> list[int]:
    return [2 * number for number in chunk]


def die_of_seven(chunk: list[int]) -> list[int]:
    if 7 in chunk:
        os.kill(os.getpid(), signal.SIGKILL)
    return double(chunk)


def die_once(chunk: list[str]) -> list[str]:
    """Dies in the first process that meets the marker file's absence."""
    marker = Path(chunk[0])
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk


def fail(chunk: list[int]) -> list[int]:
    raise DataError(Problem("bad", str(chunk)))


def sleep(chunk: list[float]) -> list[float]:
    time.sleep(chunk[0])
    return chunk


def holds_ctrl_c(_: list[int]) -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def chunks_of_three(count: int) -> Iterator[list[int]]:
    for start in range(0, count, 3):
        yield list(range(start, min(start + 3, count)))


@pytest.mark.parametrize("engine", ["local", "pool"])
def test_every_job_comes_back_once(engine: str) -> None:
    with open_engine(engine, workers=2) as spread:
        results = [number for result in spread.map(double, chunks_of_three(20)) for number in result]
    assert sorted(results) == [2 * number for number in range(20)]


def test_ctrl_c_reaches_the_parent_alone() -> None:
    with ProcessPool(2) as pool:
        assert list(pool.map(holds_ctrl_c, chunks_of_three(6))) == [True, True]
    assert not holds_ctrl_c([])


def test_a_pool_draws_chunks_as_it_needs_them() -> None:
    drawn = 0

    def chunks() -> Iterator[list[int]]:
        nonlocal drawn
        for chunk in chunks_of_three(300):
            drawn += 1
            yield chunk

    with ProcessPool(2) as pool:
        for done, _ in enumerate(pool.map(double, chunks()), start=1):
            assert drawn - done <= 2 * CHUNKS_PER_WORKER
    assert drawn == 100


def test_a_job_that_kills_its_worker_is_told_and_the_others_come_back() -> None:
    with ProcessPool(2) as pool:
        results = list(pool.map(die_of_seven, chunks_of_three(30)))
    dead = [result.job for result in results if isinstance(result, Casualty)]
    alive = [number for result in results if not isinstance(result, Casualty) for number in result]
    assert dead == [7]
    assert sorted(alive) == [2 * number for number in range(30) if number != 7]


def test_work_interrupted_by_a_killed_worker_is_repeated(tmp_path: Path) -> None:
    jobs = [[str(tmp_path / "marker")] for _ in range(5)]
    with ProcessPool(2) as pool:
        assert list(pool.map(die_once, jobs)) == jobs


@pytest.mark.parametrize("engine", ["local", "pool"])
def test_exceptions_of_the_work_come_out(engine: str) -> None:
    with pytest.raises(DataError), open_engine(engine, workers=1) as spread:
        list(spread.map(fail, chunks_of_three(9)))


def test_leaving_with_an_exception_does_not_wait_for_the_workers() -> None:
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), ProcessPool(1) as pool:
        for _ in pool.map(sleep, [[0.0], [60.0]]):
            raise KeyboardInterrupt
    assert time.monotonic() - begin < 30


def test_a_script_without_a_main_guard_may_use_a_pool(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            from seem_data.engines.pool import ProcessPool
            print("once")
            with ProcessPool(2) as pool:
                print(sorted(pool.map(len, [[1], [1, 2]])))
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "once\n[1, 2]\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes by signal")
def test_workers_leave_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
            import os
            from seem_data.engines.pool import ProcessPool
            from test_engines import process_id
            with ProcessPool(1) as pool:
                print(*pool.map(process_id, [[1]]), flush=True)
                os.kill(os.getpid(), 9)
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False)
    worker = int(done.stdout)
    deadline = time.monotonic() + 20
    while _is_running(worker):
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.05)


def process_id(chunk: list[int]) -> int:
    return os.getpid() + 0 * len(chunk)


def _is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_auto_is_a_pool_where_there_are_several_workers() -> None:
    assert type(open_engine("auto", workers=1)) is Engine
    with open_engine("auto", workers=2) as engine:
        assert isinstance(engine, ProcessPool)
    assert cpu_count() >= 1


@pytest.mark.parametrize(("name", "workers", "hint"), [("rai", None, "'ray'"), ("local", 0, "1 or more")])
def test_engines_that_cannot_be_are_refused(name: str, workers: int | None, hint: str) -> None:
    with pytest.raises(DataError, match=hint):
        open_engine(name, workers)


def test_an_address_of_a_cluster_goes_with_the_engine_ray() -> None:
    with pytest.raises(DataError, match=r"--ray-address.*--engine ray"):
        check_engine("auto", None, "auto")
    check_engine("ray", None, "auto")
