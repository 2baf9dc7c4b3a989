"""The sessions of a server: how many, how old, and what goes when one goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from seem_train.demo.limits import Limits
from seem_train.demo.session import DemoSession

_FRESH = 60.0  #: seconds for which a session is not given up for a new one


class AllTakenError(Exception):
    """There are as many sessions as may be, and all are in use."""


@dataclass(eq=False)
class Seat:
    """A session and how it is doing; `lock` is held by whoever changes it."""

    session: DemoSession
    used: float
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    embed_ms: float | None = None  #: how long the model looked; None: not yet
    error: str | None = None

    @property
    def id(self) -> str:
        return self.session.key


class Seats:
    """
    Args:
        on_leave: told of each session that ends.
        clock: seconds.
    """

    def __init__(
        self, limits: Limits, on_leave: Callable[[Seat], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits, self._on_leave, self._clock = limits, on_leave, clock
        self._seats: dict[str, Seat] = {}

    def check_room(self) -> None:
        """Make room for one more: the longest unused goes, if nobody used it for a while.

        Raises:
            AllTakenError: all are in use.
        """
        self.drop_old()
        if len(self._seats) < self._limits.sessions:
            return
        oldest = min(self._seats.values(), key=lambda seat: seat.used)
        if self._clock() - oldest.used < _FRESH or oldest.lock.locked():
            raise AllTakenError
        self.leave(oldest.id)

    def take(self, session: DemoSession) -> Seat:
        """Raises AllTakenError: all are in use."""
        self.check_room()
        seat = Seat(session, self._clock())
        self._seats[seat.id] = seat
        return seat

    def get(self, id_: str) -> Seat | None:
        """A session, which counts as used now."""
        self.drop_old()
        seat = self._seats.get(id_)
        if seat is not None:
            seat.used = self._clock()
        return seat

    def leave(self, id_: str) -> None:
        if (seat := self._seats.pop(id_, None)) is not None:
            self._on_leave(seat)

    def drop_old(self) -> None:
        last = self._clock() - self._limits.idle_minutes * 60
        for seat in [seat for seat in self._seats.values() if seat.used < last]:
            self.leave(seat.id)
