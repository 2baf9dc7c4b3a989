"""Which engine does the work on images: this process, a pool of processes, or a Ray cluster."""

from __future__ import annotations

import os

from seem_data.common.wording import did_you_mean
from seem_data.engines.spread import Engine
from seem_data.problems import DataError, Problem

ENGINES = ("auto", "local", "pool", "ray")


def cpu_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_engine(name: str, workers: int | None = None, ray_address: str | None = None) -> None:
    """
    Raises:
        DataError: there is no such engine, or it cannot have so many workers or an address.
    """
    problems = []
    if name not in ENGINES:
        hint = did_you_mean(name, ENGINES) or f"Choose from {', '.join(ENGINES)}."
        problems.append(Problem("bad-option", f"there is no engine {name!r}.", hint, where="--engine"))
    if workers is not None and workers < 1:
        problems.append(Problem("bad-option", f"is {workers}.", "Use 1 or more.", where="--workers"))
    if ray_address is not None and name != "ray":
        message = f"is of no use to --engine {name}."
        problems.append(Problem("bad-option", message, "Add --engine ray.", where="--ray-address"))
    if problems:
        raise DataError(problems)


def open_engine(name: str = "auto", workers: int | None = None, ray_address: str | None = None) -> Engine:
    """The engine of that name; ``auto`` is a pool where there is more than one worker.

    Raises:
        DataError: no such engine, or it is not installed.
    """
    check_engine(name, workers, ray_address)
    if name == "ray":
        from seem_data.engines.ray import RayCluster

        return RayCluster(ray_address, workers)
    workers = workers or cpu_count()
    if name == "local" or (name == "auto" and workers == 1):
        return Engine()
    from seem_data.engines.pool import ProcessPool

    return ProcessPool(workers)
