"""What a user did or has that stops the work: one clear sentence, never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from seem_data.layout import DataError


class UserError(Exception):
    """A fault the user can mend. The message names the file or option, what is wrong, and the remedy.

    The command line prints it as ``error: …`` and exits with code 2.
    """


@contextmanager
def told_by_data() -> Iterator[None]:
    """What `seem_data` finds wrong with files, in its words, as a `UserError`."""
    try:
        yield
    except DataError as error:
        raise UserError(str(error)) from None
