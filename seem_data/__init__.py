"""Polygons, colour maps and painted masks in; panoptic, semantic, instance and grounding data out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from seem_data.version import __version__

if TYPE_CHECKING:
    from seem_data.api import init, report, stats
    from seem_data.building.pipeline import build
    from seem_data.checking.validate import validate
    from seem_data.exporting.export import export
    from seem_data.layout import Dataset

__all__ = ["Dataset", "__version__", "build", "export", "init", "report", "stats", "validate"]

#: Imported on first use: the command line starts without OpenCV and its like.
_HOMES = {
    "build": "seem_data.building.pipeline",
    "validate": "seem_data.checking.validate",
    "export": "seem_data.exporting.export",
    "Dataset": "seem_data.layout",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "seem_data.api")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
