"""Fine-tune, evaluate and use SEEM on the dataset layout that ``seem_data`` writes.

The public names are imported when first used, so that `import seem_train` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from seem_data.version import __version__

if TYPE_CHECKING:
    from seem_train.evaluation.api import evaluate
    from seem_train.exporting.api import export
    from seem_train.prediction.predictor import Predictor
    from seem_train.training.trainer import Run, finetune
    from seem_train.weights.opening import load_model

__all__ = ["Predictor", "Run", "__version__", "evaluate", "export", "finetune", "load_model"]

_HOME = {  # public name → the module that defines it
    "Predictor": "seem_train.prediction.predictor",
    "Run": "seem_train.training.trainer",
    "evaluate": "seem_train.evaluation.api",
    "export": "seem_train.exporting.api",
    "finetune": "seem_train.training.trainer",
    "load_model": "seem_train.weights.opening",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
