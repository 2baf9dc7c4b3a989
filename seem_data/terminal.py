"""What the command line shows: progress, problems in groups, tables. Colours and bars on a terminal only.

Progress and problems go to standard error, results to standard output, so that ``--json`` can be piped.
Rich is loaded for terminals alone, where a build has a table or problems to show: loading it takes as long
as building five images.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seem_data.common.terminal import tell
from seem_data.common.wording import table as columns
from seem_data.problems import Problem

if TYPE_CHECKING:
    from rich.console import RenderableType

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
    from rich.table import Column, Table

    table = Table(headings[0], *(Column(heading, justify="right") for heading in headings[1:]))
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
            # A file's name may hold ends of lines, and would then look like several problems.
            yield f"  {problem}".replace("\n", "\\n"), ""
        if count and len(group) > count:
            yield f"  … and {len(group) - count} more like this", "dim"
    if len(problems) > SHOWN and rest:
        yield f"All {len(problems)} are in {rest}", "dim"


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


@contextmanager
def progress(quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Shows how far the work is, when called as `building.report.Progress`: a bar on a terminal, a line every
    few seconds elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield (lambda *_: None) if quiet else _lines()
        return
    from seem_data.common.console import progress_bar

    with progress_bar() as bar:
        task = bar.add_task("", total=None)

        def show(step: str, done: int, total: int) -> None:
            if step in _STEPS:
                bar.update(task, description=_STEPS[step], completed=done, total=total or None)

        yield show


def _lines() -> Callable[[str, int, int], None]:
    last_step, last_line = "", 0.0

    def show(step: str, done: int, total: int) -> None:
        nonlocal last_step, last_line
        now = time.monotonic()
        due = step != last_step or now - last_line >= _SECONDS_BETWEEN_LINES or done == total
        if step in _STEPS and due:
            tell(f"{_STEPS[step]}{f' {done} of {total}' if total else ''}", err=True)
            last_step, last_line = step, now

    return show
