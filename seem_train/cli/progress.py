"""What a command says while it works: at once what it begins with, then a bar, in pipes a line now and then.

All of it goes to standard error, so that standard output holds nothing but the result.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TypeAlias

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from seem_data.common.console import PlainConsole
from seem_data.common.terminal import tell

LINE_SECONDS = 30.0  #: between lines where no bar can be drawn
#: called with (what, how many are done, how many there are)
Show: TypeAlias = Callable[[str, int, int], None]


def say(text: str, quiet: bool = False) -> None:
    """One line before something that takes a while; `quiet` and child processes say nothing."""
    if not quiet and "RANK" not in os.environ:
        tell(text, err=True)


@contextlib.contextmanager
def progress(quiet: bool = False) -> Iterator[Show]:
    """A bar for each kind of work on a terminal; elsewhere a line every `LINE_SECONDS`."""
    console = PlainConsole(stderr=True)
    if quiet or not console.is_terminal:
        yield _nothing if quiet else _Lines()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield show


def _nothing(_what: str, _done: int, _total: int) -> None: ...


class _Lines:
    def __init__(self) -> None:
        self._said = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._said >= LINE_SECONDS and done < total:
            self._said = now
            say(f"{what}: {done:,} of {total:,}")
