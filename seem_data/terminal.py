"""What the command line shows: progress, problems in groups, tables. Colours and bars on a terminal only.

Progress and problems go to standard error, results to standard output, so that ``--json`` can be piped.
Rich is loaded for terminals alone, where a build has a table or problems to show: loading it takes as long
as building five images.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from seem_data.common.terminal import tell
from seem_data.common.wording import table as columns
from seem_data.problems import Problem

if TYPE_CHECKING:
    from rich.console import RenderableType
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
_PLAIN_WIDTH = 200
_SECONDS_BETWEEN_LINES = 5.0
_COLORS = {"error": "red", "warning": "yellow", "note": "dim"}


def show(*renderables: RenderableType) -> None:
    """Print results: tables and text. Where no terminal is, tables are plain lines as wide as they need."""
    from rich.table import Table

    from seem_data.common.console import PlainConsole

    bare = not sys.stdout.isatty()
    console = PlainConsole(width=_PLAIN_WIDTH if bare else None)
    for renderable in renderables:
        if bare and isinstance(renderable, Table):
            renderable.box, renderable.show_lines = None, False
        console.print(renderable)


def show_numbers(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of names, in the first column, and numbers."""
    if not sys.stdout.isatty():
        tell(columns([headings, *rows], indent=" "))
        return
    from rich.table import Table

    table = Table()
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="right" if column else "left")
    for row in rows:
        table.add_row(*row)
    show(table)


def show_json(value: object) -> None:
    """Print the value as JSON; escapes are JSON's own, so that a program reads what is in the files."""
    tell(json.dumps(value, indent=2, ensure_ascii=False))


def show_problems(problems: Sequence[Problem], rest: str = "") -> None:
    """Print problems grouped by code, errors first; at most `SHOWN` of them.

    Args:
        rest: where those not shown can be read.
    """
    if not problems:
        return
    if not sys.stderr.isatty():
        for line, _ in _problem_lines(problems, rest):
            tell(line, err=True)
        return
    from rich.text import Text

    from seem_data.common.console import PlainConsole

    console = PlainConsole(stderr=True, soft_wrap=True)
    for line, style in _problem_lines(problems, rest):
        console.print(Text(line, style=style))


def _problem_lines(problems: Sequence[Problem], rest: str) -> Iterator[tuple[str, str]]:
    """Lines, and rich's names of their styles."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in sorted(problems, key=lambda problem: list(_COLORS).index(problem.severity)):
        groups.setdefault((problem.severity, problem.code), []).append(problem)
    for ((severity, code), group), count in zip(groups.items(), _fair_shares(groups.values()), strict=True):
        heading = f"{severity}: {code}" + (f" ({len(group)})" if len(group) > 1 else "")
        yield heading, f"bold {_COLORS[severity]}"
        for problem in group[:count]:
            yield f"  {_in_a_line(problem)}", ""
        if count and len(group) > count:
            yield f"  … and {len(group) - count} more like this", "dim"
    if len(problems) > SHOWN and rest:
        yield f"All {len(problems)} are in {rest}", "dim"


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

            from seem_data.common.console import PlainConsole

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=PlainConsole(stderr=True),
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
            tell(f"{_STEPS[step]}{count}", err=True)
            self._last_line, self._step = now, step
