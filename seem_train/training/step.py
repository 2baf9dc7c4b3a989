"""One micro-batch: images, phrases and strokes in, the loss out. The module that DDP wraps."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from seem_train.adapters.freezing import INTERACTIVE_ONLY
from seem_train.config import Task
from seem_train.data.batch import Batch
from seem_train.data.clicks import next_click
from seem_train.losses.criterion import Criterion, touch
from seem_train.losses.targets import LossCounts, SpatialTargets
from seem_train.model.draws import SeededDraws
from seem_train.model.language import TextEmbeddings
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.runtime import stream_seed

_TEMPLATES, _ROUNDS, _MODEL = range(3)  #: purposes of draws


@dataclass(frozen=True)
class StepDraws:
    """All that is random in a step, as a function of where it is in the run.

    Category templates and the number of refinement rounds are the same for every process and micro-batch, so
    no process waits for one that drew more rounds; the rest differs.
    """

    seed: int
    step: int
    place: int = 0  #: of the micro-batch among all of the step, over all processes

    def rounds(self, most: int) -> int:
        return int(np.random.default_rng([self.seed, self.step, _ROUNDS]).integers(most + 1))

    def templates(self) -> torch.Generator:
        return torch.Generator().manual_seed(stream_seed(self.seed, self.step, _TEMPLATES))

    def model(self) -> int:
        return stream_seed(self.seed, self.step, self.place, _MODEL)


class TrainingStep(nn.Module):
    """Batch and divisors to the loss.

    Args:
        names: of all categories, in the order of their indices.
        tasks: of panoptic, grounding, interactive.
        refine_rounds: at most so many rounds of simulated corrections come before the round that is learned
        from.
        autocast: makes the context in which the model (not the loss) computes.
        mean_template: a name is learned as the mean over all its sentences, as evaluation says it, and not as
        one drawn sentence, as in the original. Costs nothing while the text encoder is frozen.
    """

    def __init__(
        self,
        model: SEEM,
        criterion: Criterion,
        names: Collection[str],
        tasks: Collection[Task],
        refine_rounds: int,
        autocast: Callable[[], AbstractContextManager[object]],
        mean_template: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.criterion = criterion
        self.names = tuple(names)
        self.tasks = frozenset(tasks)
        self.refine_rounds = refine_rounds
        self.autocast = autocast
        self.mean_template = mean_template
        # What a step may leave unused: DDP waits for a gradient of every trained parameter.
        self.sometimes = [
            p
            for n, p in model.named_parameters()
            if p.requires_grad and any(i in n for i in INTERACTIVE_ONLY)
        ]

    def count(self, batch: Batch) -> LossCounts:
        """What this batch adds to the divisors of its step."""
        return self.criterion.count(batch.sizes(self.tasks), self.model.config.decoder.queries)

    def forward(self, batch: Batch, counts: LossCounts, draws: StepDraws) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted loss, a scalar, and its unweighted parts [L], final layer first, detached."""
        torch.manual_seed(draws.model())  # stochastic depth and the points that the loss looks at
        model_draws = SeededDraws(draws.model())
        categories = self.model.class_embeddings(
            self.names, train=not self.mean_template, draws=draws.templates()
        )
        texts = self.model.encode_text(batch.texts) if "grounding" in self.tasks else None
        phrases = None if texts is None else texts.vectors
        targets = batch.targets(self.tasks)
        prompts = self._prompts(batch, texts)  # may wait for the device, so before the long work there
        with self.autocast():
            features = self.model.encode_image(batch.images)
        if targets.spatial is not None:
            for _ in range(draws.rounds(self.refine_rounds)):
                prompts = self._refined(features, prompts, targets.spatial, model_draws)
        prepared = self.model.prepare(features, prompts, model_draws)
        with self.autocast():
            predictions = self.model.decode(features, prepared, categories, every_layer=True)
        terms = self.criterion(predictions, targets, self.model.language.logit_scale, phrases, counts)
        parts = {name: values.detach() for name, values in terms.raw.items()}
        return terms.total + (touch(self.sometimes) if self.sometimes else 0.0), parts

    def _prompts(self, batch: Batch, texts: TextEmbeddings | None) -> list[ImagePrompts]:
        interactive = "interactive" in self.tasks
        return [
            ImagePrompts(
                texts=() if texts is None else texts.of(batch.said(image)),
                positive=batch.strokes(image) if interactive else None,
            )
            for image in range(len(batch))
        ]

    @torch.no_grad()
    def _refined(
        self, features: ImageFeatures, prompts: list[ImagePrompts], truth: SpatialTargets, draws: SeededDraws
    ) -> list[ImagePrompts]:
        """One round of a user who looks at the answers and clicks where each is most wrong."""
        answers = self._answers(features, prompts, draws)
        counts = [prompt.objects for prompt in prompts]
        previous = torch.cat([a[:count] for a, count in zip(answers, counts, strict=True)]).float()
        marks = [
            (p.positive, torch.zeros_like(p.positive) if p.negative is None else p.negative)
            for p in prompts
            if p.positive is not None
        ]
        gt = truth.masks.bool()
        # All objects of the batch at once: on a GPU every answer that the host reads waits for the device.
        shown, denied = (torch.cat(of).to(gt.device, non_blocking=True) for of in zip(*marks, strict=True))
        clicked = torch.stack(next_click(previous, gt, shown, denied)).cpu()
        pieces = zip(prompts, *(marks.split(counts) for marks in (*clicked, previous)), strict=True)
        return [
            replace(prompt, positive=positive, negative=negative, previous=logits) if len(logits) else prompt
            for prompt, positive, negative, logits in pieces
        ]

    def _answers(self, features: ImageFeatures, prompts: list[ImagePrompts], draws: SeededDraws) -> Tensor:
        """[B, K, h, w] mask logits of every prompted object; nothing else is asked."""
        with self.autocast():
            return self.model.refine(features, [replace(p, texts=()) for p in prompts], draws)
