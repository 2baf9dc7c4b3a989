"""What a user did or has that stops the work: one clear sentence, never a traceback."""

from __future__ import annotations


class UserError(Exception):
    """A fault the user can mend. The message names the file or option, what is wrong, and the remedy.

    The command line prints it as ``error: …`` and exits with code 2.
    """
