"""A training step the way the original takes it: with its model and losses, and (sections of SEEM.md)

* the text encoder reads every category, then the phrases of image after image, at every step (section 2);
* a refinement round asks all queries, with all prompts and heads, though only the masks of the spatial ones
  are used (sections 2 and 11: a round costs as much as another forward pass of the decoder);
* AdamW has one group for each tensor, and every loss term is read with ``item()`` (section 6);
* the frozen backbone is in train mode (section 8).

What is left as ours makes it faster than the original: targets are boolean id-map masks, data comes ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from seem_train.data.batch import Batch
from seem_train.losses.criterion import touch
from seem_train.losses.targets import LossCounts, SpatialTargets
from seem_train.model.draws import SeededDraws
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.runtime import Runtime
from seem_train.training.optim import parameter_groups
from seem_train.training.step import StepDraws, TrainingStep
from tests.benchmarks.original.losses import OriginalCriterion, next_click
from tests.benchmarks.original.model import OriginalSEEM


class OriginalStep(TrainingStep):
    """Drop-in for `TrainingStep`; logs as the original does, so that its waits are counted."""

    def forward(self, batch: Batch, counts: LossCounts, draws: StepDraws) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(draws.model())
        model_draws = SeededDraws(draws.model())
        self.model.backbone.train()
        with self.autocast():
            categories = self.model.class_embeddings(self.names, train=True, draws=draws.templates())
            phrases = [self.model.encode_text([p.text for p in e.phrases]) for e in batch.examples]
            features = self.model.encode_image(batch.images)
        targets = batch.targets(self.tasks)
        prompts = [
            ImagePrompts(texts.of(batch.said(image)), batch.strokes(image))
            for image, texts in enumerate(phrases)
        ]
        if targets.spatial is not None:
            for _ in range(draws.rounds(self.refine_rounds)):
                prompts = self._refined(features, prompts, targets.spatial, model_draws)
        with self.autocast():
            predictions = self.model.decode(
                features, prompts, categories, draws=model_draws, every_layer=True
            )
        vectors = torch.cat([texts.vectors for texts in phrases]).float()
        terms = self.criterion(predictions, targets, self.model.language.logit_scale, vectors, counts)
        parts = {name: values[0].detach() for name, values in terms.raw.items()}
        for value in torch.cat([values.detach() for values in terms.raw.values()]):
            value.item()
        return terms.total + (touch(self.sometimes) if self.sometimes else 0.0), parts

    @torch.no_grad()
    def _refined(
        self, features: ImageFeatures, prompts: list[ImagePrompts], truth: SpatialTargets, draws: SeededDraws
    ) -> list[ImagePrompts]:
        refined = []
        masks = truth.masks.split(list(truth.counts))
        for prompt, answer, known in zip(
            prompts, self._answers(features, prompts, draws), masks, strict=True
        ):
            if prompt.positive is None:
                refined.append(prompt)
                continue
            against = torch.zeros_like(prompt.positive) if prompt.negative is None else prompt.negative
            marks = prompt.positive.to(known.device), against.to(known.device)
            positive, negative = next_click(answer[: len(known)], known, *marks)
            refined.append(
                replace(
                    prompt,
                    positive=positive.cpu(),
                    negative=negative.cpu(),
                    previous=answer[: len(known)].float(),
                )
            )
        return refined

    def _answers(self, features: ImageFeatures, prompts: list[ImagePrompts], draws: SeededDraws) -> Tensor:
        categories = features.mask_features.new_zeros(
            len(self.names) + 1, self.model.config.language.projection
        )
        with self.autocast():
            predictions = self.model.decode(features, prompts, categories, draws=draws, every_layer=True)
        answers = predictions.final.spatial
        assert answers is not None
        places = answers.positive.shape[1]
        fit = (answers.mask_vectors.unflatten(1, (places, -1)) * answers.positive[:, :, None]).sum(-1)
        best = fit.argmax(-1)[..., None, None, None].expand(-1, -1, 1, *answers.masks.shape[-2:])
        return answers.masks.unflatten(1, (places, -1)).gather(2, best).squeeze(2)


def optimizer_of(model: SEEM, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """One group for each tensor."""
    groups = parameter_groups(model, lr, weight_decay, {"backbone": 0.1, "language": 0.1}, "original")
    single = [
        {"params": [p], "lr": g["lr"], "weight_decay": g["weight_decay"]} for g in groups for p in g["params"]
    ]
    return torch.optim.AdamW(single, fused=False)


def original(
    model: SEEM, names: Sequence[str], runtime: Runtime
) -> tuple[TrainingStep, torch.optim.Optimizer]:
    """Step and optimizer of the original's model, made of ours."""
    model = OriginalSEEM(model)
    tasks = ("panoptic", "grounding", "interactive")
    step = OriginalStep(model, OriginalCriterion(), names, tasks, 1, runtime.autocast)
    return step, optimizer_of(model, 1e-4, 0.05)
