"""What all engines share: they map a function over chunks (lists of jobs) and yield what comes back, in no
promised order.

It holds a bounded number of chunks at a time, so neither a long input nor slow workers fill the memory.
A worker that dies (out of memory, killed) costs at most the one job that kills it: the chunks that were
under way are repeated job by job, and the job that fails alone comes back as a `Casualty`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

Job = TypeVar("Job")
Result = TypeVar("Result")
Handle = TypeVar("Handle")  #: of a chunk that a worker has: what an engine of `Spread`'s kind waits for

#: Chunks under way for each worker: one that it works on and one that waits for it.
CHUNKS_PER_WORKER = 2


@dataclass(frozen=True, slots=True)
class Casualty(Generic[Job]):
    """A job whose process died twice, the second time with no other job beside it."""

    job: Job


class Engine(AbstractContextManager["Engine"]):
    """Works chunk by chunk in this process, unless a kind of it says otherwise. Use it in a ``with`` block:
    leaving the block ends the workers, at once if an exception leaves it."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        pass

    def map(
        self, work: Callable[[list[Job]], Result], chunks: Iterable[list[Job]]
    ) -> Iterator[Result | Casualty[Job]]:
        """`work` of every chunk. Chunks are drawn as they are needed; exceptions of `work` come out here."""
        return map(work, chunks)


class WorkerDied(Exception):
    """The process that worked on a chunk is gone."""


class Spread(Engine, Generic[Handle]):
    """What pool and cluster share: the bound on chunks under way, and what to do when a worker dies."""

    limit: int

    def _start(self, work: Callable[[list[Job]], Result], chunk: list[Job]) -> Handle:
        """Hand a chunk to a worker."""
        raise NotImplementedError

    def _first(self, handles: Iterable[Handle]) -> Handle:
        """Wait until one of them is done."""
        raise NotImplementedError

    def _result(self, handle: Handle) -> object:
        """What `work` made of the chunk.

        Raises:
            WorkerDied: its worker did.
            Exception: what `work` raised.
        """
        raise NotImplementedError

    def _recover(self) -> None:
        """Get ready for new work after a worker died."""

    def map(
        self, work: Callable[[list[Job]], Result], chunks: Iterable[list[Job]]
    ) -> Iterator[Result | Casualty[Job]]:
        waiting = iter(chunks)
        running: dict[Handle, list[Job]] = {}
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
                yield cast(Result, result)

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
                    yield cast(Result, result)
