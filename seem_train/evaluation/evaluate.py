"""A model and a split of a dataset ─▶ all metrics.

Streams: one image at a time is read (two ahead, in threads), encoded once for each size that the tasks ask
for, and forgotten. The same weights and settings give the same digits, on one process or many: every image
is seen by exactly one process, alone in its batch, and its random draws depend on its id only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from seem_train.config import EvalTask
from seem_train.data.dataset import SegmentationSet
from seem_train.data.image_scale import Scale
from seem_train.data.read_ahead import read_ahead
from seem_train.errors import UserError
from seem_train.evaluation.result import EvaluationResult, ImageScore, ReportImage
from seem_train.evaluation.scorers import GroundingScorer, InteractiveScorer, ObjectScorer, ScoredPhoto
from seem_train.evaluation.tasks import TASKS, scale_of
from seem_train.metrics.grounding import GroundingScores
from seem_train.metrics.instance import InstanceAP
from seem_train.metrics.interactive import InteractiveScores
from seem_train.metrics.panoptic import PanopticQuality
from seem_train.metrics.semantic import SemanticScores
from seem_train.metrics.thresholds import ThresholdSearch
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.output.panoptic_files import PanopticFiles, PanopticRows
from seem_train.runtime import Runtime

SEARCHED: dict[str, EvalTask] = {"things": "instance", "phrases": "grounding"}


@dataclass(frozen=True)
class EvaluationSettings:
    """How to evaluate. Thresholds and clicks of None are those the model was published with."""

    #: shorter side of the photos in pixels, for all tasks (each image is encoded once); None: the original's
    #: sizes, 800 for objects and clicks, 512 for phrases
    size: int | None = None
    object_threshold: float | None = None
    overlap_threshold: float | None = None
    max_clicks: int | None = None
    all_sentences: bool = False  #: ask every sentence of a segment, not the first only
    limit: int | None = None  #: the first images of the split only
    seed: int = 0

    def completed(self, model: SEEM) -> EvaluationSettings:
        """With the model's own numbers in place of None."""
        own = asdict(model.config.postprocess)
        missing = [name for name, value in asdict(self).items() if value is None and name in own]
        return replace(self, **{name: own[name] for name in missing})


def evaluate(
    model: SEEM,
    images: SegmentationSet,
    tasks: Sequence[EvalTask] = TASKS,
    settings: EvaluationSettings | None = None,
    *,
    runtime: Runtime | None = None,
    predictions: Path | None = None,
    show: int = 0,
    calibrate: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationResult:
    """Score a model on a split; every process gets the whole result.

    Args:
        tasks: of `TASKS`.
        runtime: device, precision and place among the processes; default: this process alone, in fp32.
        predictions: folder to write a COCO panoptic result into (``panoptic.json`` and ``panoptic/``).
        show: keep so many of the worst and of the best images for the report (needs the panoptic task).
        calibrate: also find from which score on instances and what texts mean are worth showing
            (`thresholds` of the result), which asks for what is not there, too.
        progress: called with (done, all) images of this process.

    Raises:
        UserError: files of the dataset cannot be used (all are listed), or a task is unknown.
    """
    settings = (settings or EvaluationSettings()).completed(model)
    runtime = runtime or Runtime(model.device)
    check_tasks(tasks)
    total = min(len(images), settings.limit or len(images))
    tally = _Tally.of(images, tasks, settings, calibrate)
    files = PanopticFiles(predictions, images.categories) if predictions is not None else None
    shard = range(runtime.rank, total, runtime.world)
    with evaluating(model):
        score = _Scoring(model, runtime, images, settings, tally)
        read = read_ahead(shard, lambda index: ScoredPhoto(images.images[index], images.load(index)))
        for done, (index, photo) in enumerate(read, start=1):
            if isinstance(photo, UserError):
                tally.faults.append(str(photo))
            elif not tally.faults:  # after a fault images are only read, to tell of all faults at once
                score(index, photo, show, files)
            if progress is not None:
                progress(done, len(shard))
    for number, other in enumerate(runtime.gather(tally)):
        if number != runtime.rank:
            tally.merge(other, show)
    if tally.faults:
        raise UserError("\n".join(sorted(tally.faults)))
    if files is not None and runtime.is_main:
        files.finish(tally.rows)
    return tally.result(images, [task for task in TASKS if task in tasks], settings, total)


def check_tasks(tasks: Sequence[str]) -> None:
    """Raises UserError: one is unknown, or there is none."""
    if unknown := [task for task in tasks if task not in TASKS] or ([] if tasks else ["none"]):
        raise UserError(f"tasks: {', '.join(unknown)} asked for; there are {', '.join(TASKS)}")


@dataclass
class _Tally:
    """What one process counted; those of all processes add up to the whole."""

    panoptic: PanopticQuality | None
    semantic: SemanticScores | None
    instance: InstanceAP | None
    grounding: GroundingScores | None
    interactive: InteractiveScores | None
    searches: dict[str, ThresholdSearch]  #: of "things" and "phrases"
    per_image: dict[int, ImageScore] = field(default_factory=dict)
    shown: list[ReportImage] = field(default_factory=list)
    rows: list[PanopticRows] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, images: SegmentationSet, tasks: Sequence[EvalTask], settings: EvaluationSettings, calibrate: bool
    ) -> _Tally:
        categories = images.categories.as_coco()
        things = [category for category in categories if category["isthing"]]
        assert settings.max_clicks is not None
        return cls(
            PanopticQuality(categories) if "panoptic" in tasks else None,
            SemanticScores(len(categories)) if "semantic" in tasks else None,
            InstanceAP(things) if "instance" in tasks else None,
            GroundingScores() if "grounding" in tasks else None,
            InteractiveScores(settings.max_clicks) if "interactive" in tasks else None,
            {kind: ThresholdSearch() for kind, task in SEARCHED.items() if calibrate and task in tasks},
        )

    def merge(self, other: _Tally, show: int) -> None:
        for name in TASKS:
            if (mine := getattr(self, name)) is not None:
                mine.merge(getattr(other, name))
        for kind, search in self.searches.items():
            search.merge(other.searches[kind])
        self.per_image |= other.per_image
        self.shown = _extremes(self.shown + other.shown, show)
        self.rows += other.rows
        self.faults += other.faults

    def result(
        self, images: SegmentationSet, tasks: Sequence[EvalTask], settings: EvaluationSettings, total: int
    ) -> EvaluationResult:
        scores = {name: getattr(self, name) for name in TASKS}
        return EvaluationResult(
            dataset=str(images.folder),
            split=images.split.name,
            images=total,
            settings={"tasks": list(tasks), **asdict(settings), "max_pixels": images.max_pixels},
            categories=images.categories.as_coco(),
            **{name: score.result() for name, score in scores.items() if score is not None},
            per_image=[score for _, score in sorted(self.per_image.items())],
            confusion=None if self.semantic is None else self.semantic.confusion,
            shown=self.shown,
            thresholds={k: best for k, search in self.searches.items() if (best := search.best())},
        )


class _Scoring:
    """Encodes each image at the sizes its tasks need, and lets the scorers count."""

    def __init__(
        self,
        model: SEEM,
        runtime: Runtime,
        images: SegmentationSet,
        settings: EvaluationSettings,
        tally: _Tally,
    ) -> None:
        self._model, self._runtime, self._tally = model, runtime, tally
        size, search = settings.size, tally.searches.get
        assert settings.object_threshold is not None
        assert settings.overlap_threshold is not None
        thresholds = settings.object_threshold, settings.overlap_threshold
        objects = tally.panoptic, tally.semantic, tally.instance
        self._scale, self._objects = scale_of("panoptic", size), None
        if any(objects):
            self._objects = ObjectScorer(model, runtime, images, thresholds, *objects, search("things"))
        self._prompted: list[tuple[Scale, GroundingScorer | InteractiveScorer]] = []
        if tally.grounding:
            every = settings.all_sentences
            asked = GroundingScorer(model, runtime, images, every, tally.grounding, search("phrases"))
            self._prompted.append((scale_of("grounding", size), asked))
        if tally.interactive:
            user = InteractiveScorer(model, runtime, images, settings.seed, tally.interactive)
            self._prompted.append((scale_of("interactive", size), user))

    def __call__(self, index: int, photo: ScoredPhoto, show: int, files: PanopticFiles | None) -> None:
        encoded: dict[Scale, ImageFeatures] = {}

        def seen_at(scale: Scale) -> ImageFeatures:
            if scale not in encoded:
                with self._runtime.autocast():
                    encoded[scale] = self._model.encode_image(scale.apply(photo.sample.pixels))
            return encoded[scale]

        prompted = [scorer.score(photo, seen_at(scale), show > 0) for scale, scorer in self._prompted]
        answer = None if self._objects is None else self._objects.score(photo, seen_at(self._scale))
        if answer is None:
            return
        name, tally = photo.record.file_name, self._tally
        tally.per_image[index] = ImageScore(name, answer.quality)
        if show:
            examples = [each for each in prompted if each is not None]
            shown = ReportImage(index, name, answer.quality, answer.id_map, answer.segments, examples)
            tally.shown = _extremes([*tally.shown, shown], show)
        if files is not None:
            tally.rows.append(files.write(photo.record, answer.id_map, answer.segments))


@contextlib.contextmanager
def evaluating(model: SEEM) -> Iterator[None]:
    """No gradients, every module in evaluation mode; afterwards each as it was."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


def _extremes(shown: list[ReportImage], count: int) -> list[ReportImage]:
    """The worst `count` and the best `count` images, worst first."""
    ranked = sorted(shown, key=lambda image: (image.pq, image.index))
    return ranked if len(ranked) <= 2 * count else ranked[:count] + ranked[len(ranked) - count :]
