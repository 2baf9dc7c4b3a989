"""One model's evaluation with another's beside it, and what fine-tuning made it forget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seem_train.config import EvalTask
from seem_train.data.dataset import SegmentationSet
from seem_train.evaluation.evaluate import EvaluationSettings, evaluate
from seem_train.evaluation.result import EvaluationResult, Plain, gains, read_earlier
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


@dataclass(frozen=True)
class Comparator:
    """The same questions to every model."""

    runtime: Runtime
    tasks: Sequence[EvalTask]
    settings: EvaluationSettings
    #: called with (what, done, all)
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None

    def of(
        self,
        model: OpenModel,
        images: SegmentationSet,
        against: str | None = None,
        base_images: SegmentationSet | None = None,
        predictions: Path | None = None,
        show: int = 0,
    ) -> Findings:
        """Evaluate `model`, and what it is compared with.

        Args:
            against: `BASE`, weights or a run, or an earlier evaluation.json.
            base_images: of a dataset on which to measure what was forgotten.
            predictions, show: see `evaluate`.

        Raises:
            UserError: as `evaluate`, `open_model`, `open_base` and `read_earlier` do.
        """
        result = self._evaluate(model, images, predictions, show, calibrate=model.folder is not None)
        lately = self._evaluate(model, base_images).headline() if base_images is not None else None
        other = before = None
        if against is not None and against.endswith(".json"):
            earlier = read_earlier(Path(against))
            other = Comparison(against, earlier.headline, earlier.differences(result))
        elif against is not None:
            device = self.runtime.device
            opened = open_base(model, device) if against == BASE else open_model(against, device=device)
            other = Comparison(opened.name, self._evaluate(opened, images).headline())
            if base_images is not None:
                before = Comparison(opened.name, self._evaluate(opened, base_images).headline())
        forgetting = None
        if base_images is not None and lately is not None:
            forgetting = Forgetting(str(base_images.folder), lately, before)
        return Findings(model.name, result, other, forgetting)

    def _evaluate(
        self,
        model: OpenModel,
        images: SegmentationSet,
        predictions: Path | None = None,
        show: int = 0,
        calibrate: bool = False,
    ) -> EvaluationResult:
        return evaluate(
            model.model,
            images,
            self.tasks,
            self.settings,
            runtime=self.runtime,
            predictions=predictions,
            show=show,
            calibrate=calibrate,
            progress=lambda done, total: self.progress(f"{model.name} on {images.folder}", done, total),
        )
