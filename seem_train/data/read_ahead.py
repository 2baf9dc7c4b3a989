"""Photos read in threads before they are needed, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from seem_train.errors import UserError

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2  #: items read before they are needed


def read_ahead(items: Iterable[T], read: Callable[[T], R]) -> Iterator[tuple[T, R | UserError]]:
    """Each item with what `read` makes of it, or with the `UserError` that it raised."""

    def attempt(item: T) -> R | UserError:
        try:
            return read(item)
        except UserError as error:
            return error

    waiting: deque[tuple[T, Future[R | UserError]]] = deque()
    with ThreadPoolExecutor(_AHEAD) as pool:
        for item in items:
            waiting.append((item, pool.submit(attempt, item)))
            if len(waiting) > _AHEAD:
                ready, found = waiting.popleft()
                yield ready, found.result()
        while waiting:
            ready, found = waiting.popleft()
            yield ready, found.result()
