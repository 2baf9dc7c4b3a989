"""How fast and how well training goes: averages over a window of steps, told honestly."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypedDict

from seem_train.formatting import size_text, time_text
from seem_train.training.session import Session

BAR = 24  #: characters
#: the same in every process, whatever its images happened to have
PARTS = [f"loss_{task}_{kind}" for task in ("mask", "grounding", "spatial") for kind in ("ce", "bce", "dice")]


class Window(TypedDict):
    """Sums over the steps since the last row."""

    steps: int
    sums: list[float]  #: of losses and gradient norms; seconds that were waited, and that passed
    parts: dict[str, float]
    rate: float


class Meter:
    """Counts images and seconds between rows of metrics.csv.

    Images a second are images that were learned from over all seconds that passed, waiting for data included;
    evaluations and saves are left out. (The original divides one batch by the time since its last log line.)
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._restart()

    def _restart(self) -> None:
        self._elapsed = 0.0  # of the window, before `_began`
        self._began = self._mark = time.monotonic()
        self._steps, self._waiting, self._norm, self._loss = 0, 0.0, 0.0, 0.0
        self._parts: dict[str, float] = {}
        self._rate = 0.0

    def go_on(self) -> None:
        """Let the clock run from now; what passed since the last step (an evaluation) does not count."""
        self._elapsed += self._mark - self._began
        self._began = self._mark = time.monotonic()

    def state(self) -> Window:
        """The window so far, for a checkpoint: who goes on writes the rows of one that never stopped."""
        return {
            "steps": self._steps,
            "sums": [self._loss, self._norm, self._waiting, self._elapsed + self._mark - self._began],
            "parts": dict(self._parts),
            "rate": self._rate,
        }

    def restore(self, states: Sequence[Window]) -> None:
        """Take this process's part of what `state` gave in each; all of it where their number has changed."""
        runtime = self.session.runtime
        self._restart()
        if len(states) == runtime.world:
            states = states[runtime.rank : runtime.rank + 1]
        elif not runtime.is_main:
            return
        for state in states:
            self._steps, self._rate = state["steps"], state["rate"]
            loss, self._norm, self._waiting, self._elapsed = state["sums"]
            self._loss += loss
            for name, value in state["parts"].items():
                self._parts[name] = self._parts.get(name, 0.0) + value

    def waited(self) -> None:
        """The batches of a step have arrived."""
        self._waiting += time.monotonic() - self._mark

    def stepped(self, loss: float, parts: dict[str, float], norm: float, rate: float) -> None:
        """A step is done; its loss has been read, so the device is done with it too."""
        self._steps += 1
        self._loss += loss
        self._norm += norm
        self._rate = rate
        for name, value in parts.items():
            self._parts[name] = self._parts.get(name, 0.0) + value
        self._mark = time.monotonic()
        step = self.session.progress.step
        due = step % self.session.config.run.log_every == 0 or step == 1
        self.session.log.progress(self.line(), plain=due)
        if due:
            self.flush()

    @property
    def seconds(self) -> float:
        """That the window's steps took."""
        return max(self._elapsed + self._mark - self._began, 1e-9)

    def line(self) -> str:
        """``epoch 3/20 ━━━╸── 41 %  loss 21.4  18.3 img/s  9.6 GB  lr 9.4e-05  eta 6m 12s``

        The bar shows what the words before it count: epochs, or the allotted time where that ends first.
        """
        session = self.session
        done, total, allotted = session.progress.step, session.total_steps, session.config.run.max_time
        by_steps, by_time = done / total, session.time_share()
        seconds = self.seconds / max(self._steps, 1) * (total - done)
        if allotted and by_time > by_steps:
            share, whole = by_time, session.seconds / by_time
            seconds = min(seconds, whole - session.seconds)
            place = f"{time_text(session.seconds)}/{time_text(whole)}"
        else:
            epochs = total / session.steps_per_epoch
            share, place = by_steps, f"epoch {done / session.steps_per_epoch:.1f}/{epochs:.3g}"
        filled = round(BAR * min(share, 1.0))
        speed = self._steps * session.config.run.global_batch / self.seconds
        return (
            f"{place} {'━' * filled}{'─' * (BAR - filled)} {share:4.0%}  "
            f"loss {self._loss / max(self._steps, 1):.2f}  {speed:.3g} img/s  "
            f"{size_text(session.runtime.peak_memory())}  lr {self._rate:.2g}  eta {time_text(seconds)}"
        )

    def flush(self) -> None:
        """Write the window as a row and begin the next one."""
        session, steps = self.session, self._steps
        if not steps:
            return
        # Each process knows the loss of its own images; its divisors are the whole step's over their number.
        world = session.runtime.world
        totals = session.runtime.sum([self._loss, *(self._parts.get(name, 0.0) for name in PARTS)])
        averages = [total / (steps * world) for total in totals]
        session.log.row(
            {
                "split": "train",
                "step": session.progress.step,
                "epoch": round(session.progress.step / session.steps_per_epoch, 4),
                "loss": averages[0],
                **dict(zip(PARTS, averages[1:], strict=True)),
                "lr": self._rate,
                "grad_norm": self._norm / steps,
                "img_s": steps * session.config.run.global_batch / self.seconds,
                "waiting": self._waiting / self.seconds,
                "memory_gb": session.runtime.peak_memory() / 1e9,
                "seconds": session.seconds,
            }
        )
        self._restart()
