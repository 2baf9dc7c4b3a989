"""Photos read in threads before they are needed, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
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

    with ThreadPoolExecutor(_AHEAD) as pool:
        begun = ((item, pool.submit(attempt, item)) for item in items)
        waiting = deque(islice(begun, _AHEAD))
        while waiting:
            waiting.extend(islice(begun, 1))
            item, found = waiting.popleft()
            yield item, found.result()
