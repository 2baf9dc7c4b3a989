"""Fine-tuning strategies as values: what each does to the parts of the model. Known without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from seem_data.common.wording import did_you_mean
from seem_train.errors import UserError

Treatment = Literal["frozen", "adapters", "lora", "trained"]

#: the parts of the model: name for users ─▶ attribute of `SEEM`
PARTS = {
    "backbone": "backbone",
    "pixel-decoder": "pixel_decoder",
    "language": "language",
    "decoder": "decoder",
}


@dataclass(frozen=True)
class Strategy:
    """What happens to each part. Text encoder and pixel decoder are frozen unless said otherwise."""

    name: str
    about: str
    decoder: Treatment
    backbone: Treatment = "frozen"
    pixel_decoder: Treatment = "frozen"
    language: Treatment = "frozen"

    def treatment(self, part: str) -> Treatment:
        return getattr(self, PARTS[part])

    @property
    def rank(self) -> int:
        """The usual rank of its adapters."""
        return 16 if "lora" in (self.decoder, self.backbone) else 64


STRATEGIES = {
    strategy.name: strategy
    for strategy in (
        Strategy(
            "head-adapter",
            "adapters in the decoder and in the pixel decoder's pyramid; smallest and fastest",
            decoder="adapters",
            pixel_decoder="adapters",
        ),
        Strategy(
            "backbone-adapter+head-adapter",
            "adapters in both decoders and in the late stages of the backbone (alias: adapter)",
            decoder="adapters",
            pixel_decoder="adapters",
            backbone="adapters",
        ),
        Strategy("head", "the whole decoder, as the original fine-tunes", decoder="trained"),
        Strategy(
            "backbone-adapter+head",
            "the whole decoder, and adapters in the late stages of the backbone",
            decoder="trained",
            backbone="adapters",
        ),
        Strategy(
            "lora",
            "low-rank updates of the decoder's weights; can be merged into plain weights",
            decoder="lora",
        ),
        Strategy(
            "backbone-lora+lora",
            "low-rank updates of the decoder's and the late backbone stages' weights",
            decoder="lora",
            backbone="lora",
        ),
        Strategy(
            "full",
            "every weight but the text encoder's; for large data or training from nothing",
            decoder="trained",
            backbone="trained",
            pixel_decoder="trained",
        ),
    )
}
ALIASES = {"adapter": "backbone-adapter+head-adapter", "adapter-head": "backbone-adapter+head"}


def find(name: str, freeze: Collection[str] = (), unfreeze: Collection[str] = ()) -> Strategy:
    """The strategy of that name, with parts frozen or trained against it.

    Raises:
        UserError: unknown name, or a part frozen and trained at once.
    """
    strategy = STRATEGIES.get(ALIASES.get(name, name))
    if strategy is None:
        known = [*STRATEGIES, *ALIASES]
        hint = did_you_mean(name, known) or f"There are {', '.join(known)}."
        raise UserError(f"unknown strategy {name!r}. {hint}")
    changes = {PARTS[part]: "frozen" for part in freeze} | {PARTS[part]: "trained" for part in unfreeze}
    strategy = dataclasses.replace(strategy, **changes)
    if all(strategy.treatment(part) == "frozen" for part in PARTS):
        raise UserError(f"--strategy {name} with --freeze {','.join(freeze)} leaves nothing to train")
    return strategy
