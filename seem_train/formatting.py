"""How numbers look wherever seem-train prints them."""

from __future__ import annotations


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
