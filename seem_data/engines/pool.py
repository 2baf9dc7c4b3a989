"""The engine that spreads the work over processes of this machine."""

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

from seem_data.engines.settle import settle
from seem_data.engines.spread import CHUNKS_PER_WORKER, Job, Result, Spread, WorkerDied


class ProcessPool(Spread["Future[object]"]):
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stop_workers()
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _stop_workers(self) -> None:
        # `terminate_workers` is new in Python 3.14.
        processes = getattr(self._executor, "_processes", None) or {}
        for process in list(processes.values()):
            process.terminate()

    def _start(self, work: Callable[[list[Job]], Result], chunk: list[Job]) -> Future[object]:
        with _main_left_alone(), _interrupts_held():
            try:
                return self._executor.submit(work, chunk)
            except BrokenProcessPool:  # since the last look; what was under way tells so itself
                self._executor = self._new_executor()
                return self._executor.submit(work, chunk)

    def _first(self, handles: Iterable[Future[object]]) -> Future[object]:
        return next(iter(wait(handles, return_when=FIRST_COMPLETED).done))

    def _result(self, handle: Future[object]) -> object:
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
    settle()
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
