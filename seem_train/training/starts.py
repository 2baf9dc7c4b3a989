"""Settings that a run takes where it starts from little, and the user has not said otherwise.

The defaults of `config` are for tuning what the original has learned from hundreds of thousands of photos:
small rates, a text encoder that stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from seem_train.adapters import strategies
from seem_train.config import Config
from seem_train.weights.choice import SHIPPED, choose_weights

#: Rates, trained text encoder and average were found on tabletop scenes.
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

#: For ``seem-tiny``, which saw pictures of this size last: evaluated at 200, as `config` would for runs at
#: 256, tabletop scenes come two points of PQ lower. Small sets and masks of 64 × 64 want less of everything,
#: and the average of the last steps is steadier than any of them.
FROM_SMALL: Mapping[str, object] = {
    "data.size": 256,
    "data.min_scale": 0.8,
    "data.max_scale": 1.4,
    "data.prompts": 4,
    "optim.warmup_steps": 10,
    "optim.milestones": (0.7, 0.9),
    "optim.points": 512,
    "optim.ema": True,
    "optim.ema_decay": 0.97,
    "run.global_batch": 8,
    "run.eval_size": 256,
    "run.eval_limit": 100,
    "run.most_evaluations": 10,
}
STEPS = 150  #: of a start from ``seem-tiny``, where nobody says how many: 26 photos gain little after them
#: Its rates, by what becomes of the decoder. On 26 photos, where it knows little, head-adapter gains 5.1,
#: 6.1, 7.3 points of PQ in 94 steps at 2e-3, 4e-3, 6e-3; on tabletop scenes, where it knows most, 2.8, 2.3
#: in 46 at 4e-3, 6e-3 (three seeds). There after 30 steps, 86.1 before: head 86.0, 85.5 at 5e-4, 1e-3 (three
#: seeds); lora 85.7, 87.9, 86.6 at 1e-3, 2e-3, 4e-3; full 88.2, 89.1, 84.7 at 2.5e-4, 5e-4, 1e-3 (one).
RATES: Mapping[str, Mapping[str, object]] = {
    "adapters": {"optim.lr": 6e-3},
    "lora": {"optim.lr": 2e-3},
    "trained": {"optim.lr": 5e-4, "optim.backbone_lr": 0.3},
}


def _from_small(config: Config) -> Mapping[str, object]:
    length = {"run.steps": STEPS} if config.run.epochs is None else {}
    return {**FROM_SMALL, **length, **RATES[strategies.find(config.strategy.name).decoder]}


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
    return _from_small(config) if choice.weights in SHIPPED else {}


def said(config: Config, whole: bool, weights: str) -> str | None:
    """One line for the reader of a plan: the defaults of its start that a run keeps, if any.

    Args:
        whole: every weight is trained, since nothing was learned yet.
        weights: the file or folder that the run starts from; empty: none.
    """
    if whole:
        return _listed("nothing", FROM_NOTHING, config)
    if not weights and strategies.find(config.strategy.name).decoder != "trained":
        return "adapters on random weights learn little: --strategy full trains them all"
    if Path(weights) in SHIPPED.values():
        return _listed(Path(weights).stem, _from_small(config), config)
    return None


def _listed(start: str, defaults: Mapping[str, object], config: Config) -> str | None:
    kept = [
        f"{name} {','.join(map(str, value)) if isinstance(value, tuple) else value}"
        for section, _, name, value in ((*key.partition("."), value) for key, value in defaults.items())
        if getattr(getattr(config, section), name) == value
    ]
    return f"defaults of a start from {start}: {', '.join(kept)}" if kept else None
