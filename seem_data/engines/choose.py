"""How the work on images is spread: in this process, over a pool of processes, or over a Ray cluster
(`ray_cluster`).

An engine maps a function over chunks (lists of jobs) and yields what comes back, in no promised order.
It holds a bounded number of chunks at a time, so neither a long input nor slow workers fill the memory.
A worker that dies (out of memory, killed) costs at most the one job that kills it: the chunks that were
under way are repeated job by job, and the job that fails alone comes back as a `Casualty`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from seem_data.problems import DataError, Problem, did_you_mean

Job = TypeVar("Job")
Result = TypeVar("Result")

ENGINES = ("auto", "local", "pool", "ray")
#: Chunks under way for each worker: one that it works on and one that waits for it.
CHUNKS_PER_WORKER = 2


@dataclass(frozen=True, slots=True)
class Casualty(Generic[Job]):
    """A job whose process died twice, the second time with no other job beside it."""

    job: Job


class Engine(Protocol):
    """Use it in a ``with`` block: leaving the block ends the workers, at once if an exception leaves it."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None: ...

    def map(
        self, work: Callable[[list[Job]], Result], chunks: Iterable[list[Job]]
    ) -> Iterator[Result | Casualty[Job]]:
        """`work` of every chunk. Chunks are drawn as they are needed; exceptions of `work` come out here."""
        ...


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
    return ProcessPool(workers) if name == "pool" or (name == "auto" and workers > 1) else InProcess()


class InProcess:
    """Chunk by chunk, here."""

    def __enter__(self) -> InProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        pass

    def map(
        self, work: Callable[[list[Job]], Result], chunks: Iterable[list[Job]]
    ) -> Iterator[Result | Casualty[Job]]:
        return map(work, chunks)


class WorkerDied(Exception):
    """The process that worked on a chunk is gone."""


class Spread:
    """What pool and cluster share: the bound on chunks under way, and what to do when a worker dies."""

    limit: int

    def _start(self, work: Callable[[Any], Any], chunk: list[Any]) -> Any:
        """Hand a chunk to a worker."""
        raise NotImplementedError

    def _first(self, handles: Iterable[Any]) -> Any:
        """Wait until one of them is done."""
        raise NotImplementedError

    def _result(self, handle: Any) -> Any:
        """Raises: WorkerDied, or what `work` raised."""
        raise NotImplementedError

    def _recover(self) -> None:
        """Get ready for new work after a worker died."""

    def map(
        self, work: Callable[[list[Job]], Result], chunks: Iterable[list[Job]]
    ) -> Iterator[Result | Casualty[Job]]:
        waiting = iter(chunks)
        running: dict[Any, list[Job]] = {}
        while True:
            while len(running) < self.limit and (chunk := next(waiting, None)) is not None:
                running[self._start(work, chunk)] = chunk
            if not running:
                return
            handle = self._first(running)
            chunk = running.pop(handle)
            try:
                result = self._result(handle)
            except WorkerDied:
                # Which of the chunks under way killed it cannot be told, and a pool loses them all.
                suspects = [chunk, *running.values()]
                running.clear()
                yield from self._one_by_one(work, suspects)
            else:
                yield result

    def _one_by_one(
        self, work: Callable[[list[Job]], Result], chunks: list[list[Job]]
    ) -> Iterator[Result | Casualty[Job]]:
        self._recover()
        for chunk in chunks:
            for job in chunk:
                try:
                    result = self._result(self._start(work, [job]))
                except WorkerDied:
                    self._recover()
                    yield Casualty(job)
                else:
                    yield result


class ProcessPool(Spread):
    """Processes of this machine."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.limit = workers * CHUNKS_PER_WORKER
        # A fork of a process with threads (a progress bar, torch) may hang; a fork server has none.
        methods = multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:
            self._context.set_forkserver_preload(["seem_data.building.one_image"])
        self._executor = self._new_executor()

    def _new_executor(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.workers, mp_context=self._context, initializer=_begin_worker)

    def __enter__(self) -> ProcessPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stop_workers()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _stop_workers(self) -> None:
        # `terminate_workers` is new in Python 3.14.
        processes = getattr(self._executor, "_processes", None) or {}
        for process in list(processes.values()):
            process.terminate()

    def _start(self, work: Callable[[Any], Any], chunk: list[Any]) -> Future[Any]:
        with _main_left_alone(), _interrupts_held():
            try:
                return self._executor.submit(work, chunk)
            except BrokenProcessPool:  # since the last look; what was under way tells so itself
                self._executor = self._new_executor()
                return self._executor.submit(work, chunk)

    def _first(self, handles: Iterable[Future[Any]]) -> Future[Any]:
        return next(iter(wait(handles, return_when=FIRST_COMPLETED).done))

    def _result(self, handle: Future[Any]) -> Any:
        try:
            return handle.result()
        except BrokenProcessPool:
            raise WorkerDied from None

    def _recover(self) -> None:
        self._stop_workers()
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._executor = self._new_executor()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends: a worker half started would be left behind.

    Processes started inside hold it back for good. The fork server would otherwise die with a traceback while
    it imports what it preloads, and workers before they come to ignore it.
    """
    if not hasattr(signal, "pthread_sigmask") or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    # The mask is what processes inherit; here another thread, of a library, may still be the one it reaches.
    handler = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if came:
            signal.raise_signal(signal.SIGINT)


def _begin_worker() -> None:
    """Ctrl-C is the parent's to handle; and a parent killed outright must not leave its workers behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave_with_parent, daemon=True).start()


@contextmanager
def _main_left_alone() -> Iterator[None]:
    """Keep new workers from importing the caller's main script.

    They need `seem_data` only, and a script that calls ``build(…)`` without an ``if __name__ == "__main__"``
    around it would run again in every worker.
    """
    main = sys.modules["__main__"].__dict__
    hidden = {name: main[name] for name in ("__file__", "__spec__") if name in main}
    main.pop("__file__", None)
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(hidden)
