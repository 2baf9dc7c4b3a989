"""One model's evaluation with another's beside it, and what fine-tuning made it forget."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from seem_train.config import EvalTask
from seem_train.data.dataset import SegmentationSet
from seem_train.errors import UserError
from seem_train.evaluation.evaluate import EvaluationSettings, evaluate
from seem_train.evaluation.result import EvaluationResult, Headline, Plain, fewer_is_better, gains
from seem_train.runtime import Runtime
from seem_train.weights.opening import OpenModel, open_base, open_model

BASE = "base"  #: what a run started from


@dataclass(frozen=True)
class Comparison:
    """Numbers of another model on the same split."""

    name: str
    headline: Mapping[str, float | None]
    differences: list[str] = field(default_factory=list)  #: settings it was measured with, where others


@dataclass(frozen=True)
class Forgetting:
    """Numbers on a dataset that was not trained on."""

    dataset: str
    headline: Mapping[str, float | None]
    before: Comparison | None


@dataclass(frozen=True)
class Findings:
    model: str
    result: EvaluationResult
    against: Comparison | None = None
    forgetting: Forgetting | None = None

    def as_dict(self) -> Plain:
        """What evaluation.json holds."""
        document = {"model": self.model} | self.result.as_dict()
        if (other := self.against) is not None:
            gained = gains(self.result.headline(), other.headline)
            document["against"] = {"name": other.name, "headline": dict(other.headline), "gains": gained}
        if (lost := self.forgetting) is not None:
            document["base_dataset"] = {"dataset": lost.dataset, "headline": dict(lost.headline)}
            if lost.before is not None:
                document["base_dataset"]["before"] = dict(lost.before.headline)
        return document


def compare(
    model: OpenModel,
    images: SegmentationSet,
    tasks: Sequence[EvalTask],
    settings: EvaluationSettings,
    runtime: Runtime,
    *,
    progress: Callable[[str, int, int], None],
    against: str | None = None,
    base_images: SegmentationSet | None = None,
    predictions: Path | None = None,
    show: int = 0,
) -> Findings:
    """Evaluate `model`, and what it is compared with: the same questions to every model.

    Args:
        progress: called with (what, done, all).
        against: `BASE`, weights or a run, or an earlier evaluation.json.
        base_images: of a dataset on which to measure what was forgotten.
        predictions, show: see `evaluate`.

    Raises:
        UserError: as `evaluate`, `open_model`, `open_base` and `read_earlier` do.
    """
    ask = partial(evaluate, tasks=tasks, settings=settings, runtime=runtime)

    def headline(opened: OpenModel, images: SegmentationSet) -> Headline:
        told = partial(progress, f"{opened.name} on {images.folder}")
        return ask(opened.model, images, progress=told).headline()

    result = ask(
        model.model,
        images,
        predictions=predictions,
        show=show,
        calibrate=model.folder is not None,
        progress=partial(progress, f"{model.name} on {images.folder}"),
    )
    lately = headline(model, base_images) if base_images is not None else None
    other = before = forgetting = None
    if against is not None and against.endswith(".json"):
        other = read_earlier(against, result)
    elif against is not None:
        device = runtime.device
        opened = open_base(model, device) if against == BASE else open_model(against, device=device)
        other = Comparison(opened.name, headline(opened, images))
        if base_images is not None:
            before = Comparison(opened.name, headline(opened, base_images))
    if base_images is not None and lately is not None:
        forgetting = Forgetting(str(base_images.folder), lately, before)
    return Findings(model.name, result, other, forgetting)


def read_earlier(named: str, result: EvaluationResult) -> Comparison:
    """An earlier evaluation.json beside a result of now, with settings that make both hard to compare.

    Raises:
        UserError: the file cannot be read, or is no evaluation.json.
    """
    file = Path(named)
    now = {"dataset": result.dataset, "split": result.split, "images": result.images} | result.settings
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        headline = {str(name): _known(str(name), value) for name, value in data["headline"].items()}
        then = {key: data[key] for key in ("dataset", "split", "images")} | data["settings"]
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{file} is no evaluation.json as seem-train evaluate writes it.") from None
    # said by the scores, and by the number of images; or without influence on them
    skipped = ("tasks", "limit", "max_pixels")
    differ = [name for name in now if name in then and then[name] != now[name] and name not in skipped]
    return Comparison(named, headline, [f"{name} {then[name]} there, {now[name]} here" for name in differ])


def _known(name: str, value: float | None) -> float | None:
    """None also for what was written of nothing before: −1, and no clicks at all."""
    if value is None or value < 0 or (fewer_is_better(name) and value == 0):
        return None
    return float(value)
