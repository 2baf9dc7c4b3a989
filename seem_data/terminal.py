"""What the command line shows: progress, problems in groups, tables. Colours and bars on a terminal only.

Progress and problems go to standard error, results to standard output, so that ``--json`` can be piped.

Names of files and categories may come from anybody: all that is shown goes through this module, and nothing
but text reaches the terminal.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from seem_data.problems import Problem

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

#: How many problems are shown; the others are counted.
SHOWN = 20
_STEPS = {
    "scan": "Looking for images",
    "images": "Building",
    "assemble": "Putting in place",
    "check": "Checking",
    "export": "Exporting",
}
#: What steers terminals, turns the direction of writing, or cannot be encoded; tabs and ends of lines do not.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PLAIN_WIDTH = 200
_SECONDS_BETWEEN_LINES = 5.0
_COLORS = {"error": "red", "warning": "yellow", "note": "dim"}


def plain(text: str) -> str:
    """The text with everything in it that would steer a terminal made visible, as ``\\u001b``."""
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def say(text: str, *, err: bool = False) -> None:
    """Print a line."""
    print(plain(text), file=sys.stderr if err else sys.stdout, flush=err)


def _console(stderr: bool = False, width: int | None = None, soft_wrap: bool = False) -> Console:
    """A console that shows text as it is, without markup, and nothing that steers it but its own colours."""
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

    class PlainConsole(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                yield segment if segment.control else segment._replace(text=plain(segment.text))

    return PlainConsole(
        stderr=stderr, width=width, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False
    )


def show(*renderables: RenderableType) -> None:
    """Print results: tables and text. Where no terminal is, tables are plain lines as wide as they need."""
    from rich.table import Table

    bare = not sys.stdout.isatty()
    console = _console(width=_PLAIN_WIDTH if bare else None)
    for renderable in renderables:
        if bare and isinstance(renderable, Table):
            renderable.box, renderable.show_lines = None, False
        console.print(renderable)


def show_json(value: object) -> None:
    """Print the value as JSON; escapes are JSON's own, so that a program reads what is in the files."""
    say(json.dumps(value, indent=2, ensure_ascii=False))


def show_problems(problems: Sequence[Problem], rest: str = "") -> None:
    """Print problems grouped by code, errors first; at most `SHOWN` of them.

    Args:
        rest: where those not shown can be read.
    """
    if not problems:
        return
    from rich.text import Text

    console = _console(stderr=True, soft_wrap=True)
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in sorted(problems, key=lambda problem: list(_COLORS).index(problem.severity)):
        groups.setdefault((problem.severity, problem.code), []).append(problem)
    for ((severity, code), group), count in zip(groups.items(), _fair_shares(groups.values()), strict=True):
        heading = f"{severity}: {code}" + (f" ({len(group)})" if len(group) > 1 else "")
        console.print(Text(heading, style=f"bold {_COLORS[severity]}"))
        for problem in group[:count]:
            console.print(Text(f"  {_in_a_line(problem)}"))
        if count and len(group) > count:
            console.print(Text(f"  … and {len(group) - count} more like this", style="dim"))
    if len(problems) > SHOWN and rest:
        console.print(Text(f"All {len(problems)} are in {rest}", style="dim"))


def _in_a_line(problem: Problem) -> str:
    """A file's name may hold ends of lines, and would then look like several problems."""
    return str(problem).replace("\n", "\\n")


def _fair_shares(groups: Iterable[Sequence[Problem]]) -> list[int]:
    """How many of each group to show: one of each, then more of each in turn, `SHOWN` in all."""
    sizes = [len(group) for group in groups]
    shares = [0] * len(sizes)
    left = min(SHOWN, sum(sizes))
    while left:
        for index, size in enumerate(sizes):
            if left and shares[index] < size:
                shares[index] += 1
                left -= 1
    return shares


class ProgressBar:
    """Shows how far the work is: a bar on a terminal, a line every few seconds elsewhere. Callable as
    `pipeline.Progress`."""

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._step = ""
        self._last_line = 0.0

    def __enter__(self) -> ProgressBar:
        if not self._quiet and sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=_console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, step: str, done: int, total: int) -> None:
        if self._quiet or step not in _STEPS:
            return
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=_STEPS[step], completed=done, total=total or None)
            return
        now = time.monotonic()
        if step != self._step or now - self._last_line >= _SECONDS_BETWEEN_LINES or done == total:
            count = f" {done} of {total}" if total else ""
            say(f"{_STEPS[step]}{count}", err=True)
            self._last_line, self._step = now, step
