"""All that is printed goes through here: names of files and categories may come from anybody, and must not
steer the terminal that shows them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from seem_data.layout import plain


def tell(text: str = "", *, err: bool = False) -> None:
    """Print a line, on standard output or standard error."""
    print(plain(text), file=sys.stderr if err else sys.stdout, flush=True)


class PlainConsole(Console):
    """Shows text as it is, without markup, and nothing that steers the terminal but its own colours."""

    def __init__(self, *, file: TextIO | None = None, stderr: bool = False, soft_wrap: bool = False) -> None:
        super().__init__(
            file=file, stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))
