"""Polygons, colour maps and painted masks in; panoptic, semantic, instance and grounding data out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seem_data.building.pipeline import build

__version__ = "0.1.0"
__all__ = ["__version__", "build"]


def __getattr__(name: str) -> Any:
    """`build` is imported on first use: the command line starts without OpenCV and its like."""
    if name == "build":
        import importlib

        return importlib.import_module("seem_data.building.pipeline").build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
