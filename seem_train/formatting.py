"""How numbers look wherever seem-train prints them."""

from __future__ import annotations


def count_text(number: int) -> str:
    """``1,234``, ``2.4 M``, ``341 M``."""
    return f"{number:,}" if number < 10_000 else _rounded(number, ("G", "M", "k"))


def size_text(number: float) -> str:
    """Bytes as ``10 MB`` or ``1.37 GB``."""
    return f"{number:.0f} B" if number < 1e3 else _rounded(number, ("GB", "MB", "kB"))


def _rounded(number: float, units: tuple[str, str, str]) -> str:
    """Three digits, and the unit: of billions, millions or thousands."""
    size, unit = next(pair for pair in zip((1e9, 1e6, 1e3), units, strict=True) if number >= pair[0])
    return f"{number / size:.3g} {unit}"


def time_text(seconds: float) -> str:
    """``42s``, ``11m 40s``, ``2h 05m``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m {seconds % 60:02d}s"
    return f"{seconds // 3600}h {seconds % 3600 // 60:02d}m"
