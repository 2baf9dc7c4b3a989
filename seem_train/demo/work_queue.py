"""All work for the model, one piece at a time on one thread; who waits can ask how many are before them.

Answers to prompts, which are quick, go before looks at new photos, but not for ever: after some quick ones a
slow one has its turn. What nobody waits for is done when there is nothing else.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
_QUICK_IN_A_ROW = 8


class Lane(IntEnum):
    QUICK = 0
    SLOW = 1
    IDLE = 2


class QueueFullError(Exception):
    """More work waits than is allowed."""


class GoneError(Exception):
    """Whom the work was for is gone."""


@dataclass(frozen=True)
class WorkResult(Generic[Result]):
    result: Result
    waited: float  #: milliseconds
    worked: float  #: milliseconds


@dataclass(eq=False)
class _Job:
    work: Callable[[], Any]
    owner: str
    future: asyncio.Future[Any]
    since: float


class WorkQueue:
    """
    Args:
        most: pieces of work that may wait, those nobody waits for not counted.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lanes: tuple[deque[_Job], ...] = (deque(), deque(), deque())
        self._quick_in_a_row = 0
        self._running: _Job | None = None
        self._worker: asyncio.Task[None] | None = None
        self._awaited = -math.inf
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def run(
        self, work: Callable[[], Result], owner: str, lane: Lane = Lane.QUICK
    ) -> WorkResult[Result]:
        """Wait for the turn, and for the work to be done.

        Raises:
            QueueFullError: too many wait already.
            GoneError: see `forget`.
        """
        waiting = len(self._lanes[Lane.QUICK]) + len(self._lanes[Lane.SLOW])
        if lane is not Lane.IDLE and waiting >= self._most:
            raise QueueFullError
        job = _Job(work, owner, asyncio.get_running_loop().create_future(), time.perf_counter())
        self._lanes[lane].append(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            return await job.future
        finally:
            if lane is not Lane.IDLE:
                self._awaited = time.perf_counter()

    @property
    def calm_for(self) -> float:
        """Seconds since anybody waited for work."""
        waits = self._lanes[Lane.QUICK] or self._lanes[Lane.SLOW]
        return 0.0 if waits else time.perf_counter() - self._awaited

    def position(self, owner: str) -> int | None:
        """How many pieces of work are done before the owner's first; None if it has none that waits."""
        order = [*self._lanes[Lane.QUICK], *self._lanes[Lane.SLOW], *self._lanes[Lane.IDLE]]
        place = next((number for number, job in enumerate(order) if job.owner == owner), None)
        return None if place is None else place + (self._running is not None)

    def works_for(self, owner: str) -> bool:
        return self._running is not None and self._running.owner == owner

    def forget(self, owner: str | None = None) -> None:
        """Drop what an owner that is gone still waits for; None: what anybody waits for."""
        for lane in self._lanes:
            for job in [job for job in lane if owner in (None, job.owner)]:
                lane.remove(job)
                if not job.future.done():
                    job.future.set_exception(GoneError())

    async def close(self) -> None:
        """Let the running work end; what waits is dropped."""
        self.forget()
        if self._worker is not None:
            await self._worker
        self._thread.shutdown()

    def _next(self) -> _Job | None:
        quick, slow, idle = self._lanes
        if slow and (not quick or self._quick_in_a_row >= _QUICK_IN_A_ROW):
            self._quick_in_a_row = 0
            return slow.popleft()
        if quick:
            self._quick_in_a_row += 1
            return quick.popleft()
        return idle.popleft() if idle else None

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while (job := self._next()) is not None:
            if job.future.done():  # whoever asked is gone
                continue
            self._running, start = job, time.perf_counter()
            try:
                result = await loop.run_in_executor(self._thread, job.work)
            except Exception as error:  # it is raised where the work was asked for
                if not job.future.done():
                    job.future.set_exception(error)
            else:
                end = time.perf_counter()
                if not job.future.done():
                    job.future.set_result(
                        WorkResult(result, (start - job.since) * 1000, (end - start) * 1000)
                    )
            finally:
                self._running = None
