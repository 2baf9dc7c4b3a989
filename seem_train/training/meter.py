"""How fast and how well training goes: averages over a window of steps, told honestly."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from seem_train.formatting import size_text, time_text

if TYPE_CHECKING:
    from seem_train.training.session import Session

BAR = 24  #: characters
#: the same in every process, whatever its images happened to have
PARTS = [f"loss_{task}_{kind}" for task in ("mask", "grounding", "spatial") for kind in ("ce", "bce", "dice")]


class Meter:
    """Counts images and seconds between rows of metrics.csv.

    Images a second are images that were learned from over all seconds that passed, waiting for data included;
    evaluations and saves are left out. (The original divides one batch by the time since its last log line.)
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.restart()

    def restart(self) -> None:
        """Begin a window now; what passed before does not count."""
        self._began = self._mark = time.monotonic()
        self._steps, self._waiting, self._norm, self._loss = 0, 0.0, 0.0, 0.0
        self._parts: dict[str, float] = {}
        self._rate = 0.0

    def waited(self) -> None:
        """The batches of a step have arrived."""
        now = time.monotonic()
        self._waiting += now - self._mark

    def stepped(self, loss: float, parts: dict[str, float], norm: float, rate: float) -> None:
        """A step is done; its loss has been read, so the device is done with it too."""
        self._steps += 1
        self._loss += loss
        self._norm += norm
        self._rate = rate
        for name, value in parts.items():
            self._parts[name] = self._parts.get(name, 0.0) + value
        self._mark = time.monotonic()
        progress, every = self.session.progress, self.session.config.run.log_every
        due = progress.step % every == 0 or progress.step == 1
        self.session.log.progress(self.line(), plain=due)
        if due:
            self.flush()

    @property
    def images_a_second(self) -> float:
        images = self._steps * self.session.config.run.global_batch
        return images / max(self._mark - self._began, 1e-9)

    def line(self) -> str:
        """``epoch 3/20 ━━━╸── 41 %  loss 21.4  18.3 img/s  9.6 GB  lr 9.4e-05  eta 6m 12s``"""
        session, done = self.session, self.session.progress.step
        share = max(done / session.total_steps, session.time_share())
        filled = round(BAR * min(share, 1.0))
        left = session.total_steps - done
        seconds = (self._mark - self._began) / max(self._steps, 1) * left
        allotted = session.config.run.max_time
        if allotted and share > 0:
            seconds = min(seconds, session.seconds * (1 - share) / share)
        epoch, epochs = done / session.steps_per_epoch, session.total_steps / session.steps_per_epoch
        return (
            f"epoch {epoch:.1f}/{epochs:.3g} {'━' * filled}{'─' * (BAR - filled)} {share:4.0%}  "
            f"loss {self._loss / max(self._steps, 1):.2f}  {self.images_a_second:.3g} img/s  "
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
        elapsed = max(self._mark - self._began, 1e-9)
        session.log.row(
            {
                "split": "train",
                "step": session.progress.step,
                "epoch": round(session.progress.step / session.steps_per_epoch, 4),
                "loss": averages[0],
                **dict(zip(PARTS, averages[1:], strict=True)),
                "lr": self._rate,
                "grad_norm": self._norm / steps,
                "img_s": self.images_a_second,
                "waiting": self._waiting / elapsed,
                "memory_gb": session.runtime.peak_memory() / 1e9,
                "seconds": session.seconds,
            }
        )
        self.restart()
