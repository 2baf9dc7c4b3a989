"""Settings that a run takes where it starts from little, and the user has not said otherwise.

The defaults of `config` are for tuning what the original has learned from hundreds of thousands of photos:
small rates, a text encoder that stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seem_train.config import Config
from seem_train.weights.choice import SHIPPED, choose_weights

#: Rates, trained text encoder and average are those of examples/tabletop/train.yaml, where they were found.
FROM_NOTHING: Mapping[str, object] = {
    "data.size": 256,  # the small model sees as much, for a quarter of the time
    "optim.lr": 1e-3,
    "optim.backbone_lr": 0.3,
    "optim.language_lr": 1.0,
    "optim.warmup_steps": 30,
    "optim.ema": True,
    "optim.ema_decay": 0.99,
    "strategy.unfreeze": ("language",),
}


#: For ``seem-tiny``, which saw pictures of this size; the rate is that of `make compare`.
FROM_SMALL: Mapping[str, object] = {"data.size": 256, "optim.lr": 1e-3}


def beneath(config: Config) -> Mapping[str, object]:
    """`FROM_NOTHING`, where `choose_weights` finds no weights that know anything; `FROM_SMALL`, where it
    takes those that came with the package.

    Raises:
        UserError: as `choose_weights`.
    """
    model = config.model
    choice = choose_weights(model.preset, model.weights, model.trunk)
    if choice.whole:
        return FROM_NOTHING
    return FROM_SMALL if choice.weights in SHIPPED else {}


def said(whole: bool, weights: str) -> str | None:
    """One line for the reader of a plan; None where the defaults are those of `config`.

    Args:
        whole: every weight is trained, since nothing was learned yet.
        weights: the file or folder that the run starts from.
    """
    if whole:
        return f"defaults of a start from nothing: {_listed(FROM_NOTHING)}"
    if Path(weights) in SHIPPED.values():
        return f"defaults of a start from {Path(weights).stem}: {_listed(FROM_SMALL)}"
    return None


def _listed(defaults: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key.partition('.')[2]} {','.join(value) if isinstance(value, tuple) else value}"
        for key, value in defaults.items()
    )
