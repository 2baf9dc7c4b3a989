"""Text for a terminal: names of files and categories may come from anybody, and must not steer it.

All that is printed goes through here or through `common.console`, which needs rich.
"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

#: What steers terminals, turns the direction of writing, or cannot be encoded; tabs and ends of lines do not.
_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    """The text with everything in it that would steer a terminal made visible, as ``\\u001b``."""
    return _STEERING.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def tell(text: str = "", *, err: bool = False) -> None:
    """Print a line, on standard output or standard error."""
    print(plain(text), file=sys.stderr if err else sys.stdout, flush=True)


def typed(program: str) -> str:
    """One of our programs as it can be typed here: by its path where the shell would not find it."""
    beside = Path(sys.executable).with_name(program)
    if shutil.which(program) or not beside.is_file():
        return program
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))
