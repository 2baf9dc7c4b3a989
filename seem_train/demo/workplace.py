"""What a running demo is made of, and the life of a session in it: made, looked at, asked, gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

from seem_train.demo import wire
from seem_train.demo.album import Album
from seem_train.demo.keeping import KeptFolder
from seem_train.demo.limits import Limits
from seem_train.demo.models import DemoModel
from seem_train.demo.seats import Seat, Seats
from seem_train.demo.session import DemoSession
from seem_train.demo.work_queue import GoneError, Lane, QueueFullError, WorkQueue

Result = TypeVar("Result")
_DECODED_AT_ONCE = 2  #: photos: a large one needs some hundred megabytes for a moment
_CALM = 2.0  #: seconds without a request, after which the photos of the folder are looked at
_SWEEP = 20.0  #: seconds between looks for sessions that nobody uses


@dataclass(frozen=True)
class Offer:
    """What is served: the models, and what else the command line named."""

    model: DemoModel
    base: DemoModel | None = None
    album: Album = field(default_factory=lambda: Album([], lambda _: False))
    kept: KeptFolder | None = None
    limits: Limits = field(default_factory=Limits)


class Workplace:
    """Lives in one event loop, between `open` and `close`."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.queue = WorkQueue(offer.limits.queue)
        self.seats = Seats(offer.limits, self._left)
        self._looks: list[float] = []
        self._decoding = asyncio.Semaphore(_DECODED_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._start(self._sweep())
        self._start(self._judge_album())

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await self.queue.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def seat(self, content: bytes, name: str) -> Seat:
        """A session about a photo, which the model looks at when it has time.

        Raises:
            UserError: the photo cannot be read.
            AllTakenError, QueueFullError: there is no room.
        """
        self.seats.check_room()
        offer = self.offer
        async with self._decoding:
            session = await run_in_threadpool(
                DemoSession, offer.model, content, name, offer.base, offer.limits
            )
        seat = self.seats.take(session)
        self._start(self._look(seat))
        return seat

    async def apart(self, work: Callable[[], Result]) -> Result:
        """Decode or encode pictures beside the event loop and the model."""
        async with self._decoding:
            return await run_in_threadpool(work)

    def status(self, seat: Seat) -> wire.Status:
        height, width = seat.session.size
        state = "ready" if seat.embed_ms is not None else "failed" if seat.error else "waiting"
        if state == "waiting" and self.queue.works_for(seat.id):
            state = "looking"
        return wire.Status(
            id=seat.id,
            state=state,
            name=seat.session.name,
            width=width,
            height=height,
            position=self.queue.position(seat.id) or 0,
            expected_ms=sum(self._looks) / len(self._looks) if self._looks else None,
            embed_ms=seat.embed_ms,
            error=seat.error,
            kept=seat.session.kept_as is not None,
        )

    async def _look(self, seat: Seat) -> None:
        try:
            done = await self.queue.run(seat.session.look, seat.id, Lane.SLOW)
        except GoneError:
            return
        except QueueFullError:
            seat.error = "too many photos wait for the model; try again in a minute"
            return
        except Exception as error:  # it is told to whoever asks for the session
            seat.error = f"the model cannot look at this photo ({str(error) or type(error).__name__})"
            return
        seat.embed_ms = done.result.ms
        self._looks = [*self._looks, done.result.ms][-5:]

    async def _judge_album(self) -> None:
        album, predictor = self.offer.album, self.offer.model.predictor
        for number in album.unseen():
            while (calm := self.queue.calm_for) < _CALM:  # whoever clicks would wait for a whole photo
                await asyncio.sleep(_CALM - calm)
            await self.queue.run(partial(album.judge, number, predictor), "album", Lane.IDLE)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP)
            self.seats.drop_old()

    def _left(self, seat: Seat) -> None:
        """Nothing of a session that ended stays with the models."""
        self.queue.forget(seat.id)
        self._start(self._forget(seat.id))

    async def _forget(self, key: str) -> None:
        def forget() -> None:
            for model in (self.offer.model, self.offer.base):
                if model is not None:
                    model.forget(key)

        await self.queue.run(forget, "", Lane.IDLE)

    def _start(self, work: Coroutine[object, None, None]) -> None:
        task = asyncio.create_task(_until_gone(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _until_gone(work: Coroutine[object, None, None]) -> None:
    try:
        await work
    except GoneError:  # the server closes
        return
