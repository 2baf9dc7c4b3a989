"""What a command says while it works: at once what it begins with, then a bar, in pipes a line now and then.

All of it goes to standard error, so that standard output holds nothing but the result.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from seem_data.common.console import progress_bar
from seem_data.common.terminal import tell

if TYPE_CHECKING:
    from rich.progress import TaskID

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
    if quiet:
        yield lambda *_: None
        return
    bar = progress_bar()
    if not bar.console.is_terminal:
        yield _lines()
        return
    with bar:
        tasks: dict[str, TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what)
            bar.update(tasks[what], completed=done, total=total)

        yield show


def _lines() -> Show:
    said = time.monotonic()

    def show(what: str, done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said >= LINE_SECONDS and done < total:
            said = time.monotonic()
            say(f"{what}: {done:,} of {total:,}")

    return show
