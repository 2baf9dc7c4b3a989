"""How numbers and tables look wherever seem-train prints them."""

from __future__ import annotations

from collections.abc import Sequence


def count_text(number: int) -> str:
    """``1,234``, ``2.4 M``, ``341 M``."""
    if number < 10_000:
        return f"{number:,}"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            value = number / size
            return f"{value:.3g} {unit}"
    raise AssertionError


def size_text(number: float) -> str:
    """Bytes as ``10 MB`` or ``1.37 GB``."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} B"


def time_text(seconds: float) -> str:
    """``42s``, ``11m 40s``, ``2h 05m``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"


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
