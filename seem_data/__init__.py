"""Polygons, colour maps and painted masks in; panoptic, semantic, instance and grounding data out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seem_data.version import __version__

if TYPE_CHECKING:
    from seem_data.building.pipeline import build

__all__ = ["__version__", "build"]


def __getattr__(name: str) -> object:
    """`build` is imported on first use: the command line starts without OpenCV and its like."""
    if name == "build":
        import importlib

        return importlib.import_module("seem_data.building.pipeline").build
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
