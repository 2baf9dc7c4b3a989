"""Numbers that a user gives, on the command line or from Python, checked before anything is opened."""

from __future__ import annotations

from collections.abc import Mapping

from seem_train.errors import UserError


def check_ranges(shares: Mapping[str, float | None], counts: Mapping[str, int | None]) -> None:
    """Shares must lie between 0 and 1, counts above 0; None is not given.

    Raises:
        UserError: all that do not, at once.
    """
    wrong = [
        f"{n} {v}: must lie between 0 and 1" for n, v in shares.items() if v is not None and not 0 <= v <= 1
    ]
    wrong += [f"{n} {v}: must be above 0" for n, v in counts.items() if v is not None and v <= 0]
    if wrong:
        raise UserError("\n".join(wrong))
