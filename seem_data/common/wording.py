"""Words in a line, a guess at the word that was meant, columns of words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def closest(word: str, known: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The known words nearest to one that is not known, letter case aside, the nearest first."""
    forms = {k.casefold(): k for k in known}
    return [forms[form] for form in difflib.get_close_matches(word.casefold(), forms, most, cutoff)]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"Did you mean 'cat'?"`` for the closest of the known words, or "" when none is close."""
    return f"Did you mean '{close[0]}'?" if (close := closest(word, known)) else ""


def a_few(words: Sequence[str], most: int = 10) -> str:
    """``"cat, dog and 3 more"``: words in a line that stays readable however many there are."""
    told = ", ".join(words[:most])
    return f"{told} and {len(words) - most:,} more" if len(words) > most else told


def table(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,), indent: str = "") -> str:
    """Columns of text; those named in `left` start at the left, the others end at the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)
