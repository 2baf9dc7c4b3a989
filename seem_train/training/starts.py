"""Settings that a run takes where nothing was learned yet, and the user has not said otherwise.

The defaults of `config` are for tuning what the original has learned: small rates, a text encoder that stays.
"""

from __future__ import annotations

from collections.abc import Mapping

from seem_train.config import Config
from seem_train.weights.choice import choose_weights

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


def beneath(config: Config) -> Mapping[str, object]:
    """`FROM_NOTHING`, where `choose_weights` finds no weights that know anything.

    Raises:
        UserError: as `choose_weights`.
    """
    model = config.model
    whole = choose_weights(model.preset, model.weights, model.trunk).whole
    return FROM_NOTHING if whole else {}


def said() -> str:
    """One line for the reader of a plan."""
    listed = (
        f"{key.partition('.')[2]} {','.join(value) if isinstance(value, tuple) else value}"
        for key, value in FROM_NOTHING.items()
    )
    return f"defaults of a start from nothing: {', '.join(listed)}"
