"""A training step the way the original takes it: what `seem-train bench` measures ours against.

Same model, same trained tensors, same losses; but, as in UX-Decoder v1.0 (SEEM.md sections 0, 2, 3 and 6):

* the text encoder reads every category and phrase at every step, each padded to 77 tokens;
* attention keeps a boolean mask for every head, and every probability for the backward pass;
* tokens of strokes, which every layer takes anew, go through attention and feed-forward like all others;
* costs are matched image by image and layer by layer, each with its own copy to the host, and the pairwise
  BCE takes two matrix products;
* AdamW has one group for each tensor, and every loss term is read with ``item()``;
* the frozen backbone is in train mode.

What is left as ours makes the reference faster than the original: masks are resized once as features, targets
are boolean id-map masks, data comes ready.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seem_train.data.batch import Batch
from seem_train.losses import criterion as criterion_module
from seem_train.losses import matcher
from seem_train.losses.criterion import touch
from seem_train.losses.matcher import Pairs
from seem_train.losses.targets import Counts
from seem_train.model import decoder as decoder_module
from seem_train.model.attention import Attention
from seem_train.model.draws import SeededDraws
from seem_train.model.language import BACKGROUND, TextEmbeddings, tokenize, training_prompts, unit
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM
from seem_train.optim import parameter_groups
from seem_train.training.step import StepDraws, TrainingStep

CONTEXT = 77  #: tokens of every text


class ReferenceStep(TrainingStep):
    """Drop-in for `TrainingStep`; logs as the original does, so that its waits are counted."""

    def forward(self, batch: Batch, counts: Counts, draws: StepDraws) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(draws.model())
        self.model.backbone.train()
        names = training_prompts((*self.names, BACKGROUND), lambda n: int(torch.randint(n, ())))
        categories = unit(encode_padded(self.model, names).vectors)
        texts = encode_padded(self.model, batch.texts)
        targets = batch.targets(texts.vectors)
        with as_the_original():
            features = self.model.encode_image(batch.images)
            prompts = [
                ImagePrompts(encode_padded(self.model, batch.said(image)), batch.strokes(image))
                for image in range(len(batch))
            ]
            model_draws = SeededDraws(draws.model())
            for _ in range(draws.rounds(self.refine_rounds)):
                assert targets.spatial is not None
                prompts = self._refined(features, prompts, targets.spatial, model_draws)
            predictions = self.model.decode(
                features, prompts, categories, draws=model_draws, every_layer=True
            )
            terms = self.criterion(predictions, targets, self.model.language.logit_scale, counts)
        parts = {name: values[0].detach() for name, values in terms.raw.items()}
        for value in terms.stacked():
            value.item()
        return terms.total + (touch(self.sometimes) if self.sometimes else 0.0), parts


def encode_padded(model: SEEM, texts: Sequence[str]) -> TextEmbeddings:
    """Every text anew, tokenised one at a time, padded to the full context."""
    rows, lengths = [], []
    for text in texts:
        ids, (length,) = tokenize([text], CONTEXT)
        rows.append(F.pad(ids[0], (0, CONTEXT - length), value=int(ids[0, -1])))
        lengths.append(length)
    tokens = model.language.encode_ids(torch.stack(rows).to(model.device))
    vectors = tokens[torch.arange(len(rows)), torch.tensor(lengths) - 1]
    return TextEmbeddings(tuple(texts), vectors, tokens, tuple(lengths))


def optimizer_of(model: SEEM, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """One group for each tensor."""
    groups = parameter_groups(model, lr, weight_decay, {"backbone": 0.1, "language": 0.1}, "original")
    single = [
        {"params": [p], "lr": g["lr"], "weight_decay": g["weight_decay"]} for g in groups for p in g["params"]
    ]
    return torch.optim.AdamW(single, fused=False)


def slow_attention(model: nn.Module) -> None:
    """Replace the attention of the decoder by one that keeps masks and probabilities of every head."""
    for module in model.get_submodule("decoder").modules():
        if isinstance(module, Attention):
            module.attend = types.MethodType(_attend, module)  # type: ignore[method-assign]


def _attend(
    self: Attention, queries: Tensor, keys_values: tuple[Tensor, Tensor], allowed: Tensor | None = None
) -> Tensor:
    keys, values = (x.flatten(0, 1) for x in keys_values)
    asked = self._project(queries, 0)
    batch, heads, count, width = asked.shape
    scores = (asked.flatten(0, 1) * width**-0.5) @ keys.transpose(1, 2)
    if allowed is not None:
        hidden = ~allowed[:, None].repeat(1, heads, 1, 1).flatten(0, 1)
        scores = scores.masked_fill(hidden, float("-inf"))
    shares = scores.softmax(-1).nan_to_num()
    mixed = (shares @ values).unflatten(0, (batch, heads)).transpose(1, 2).reshape(batch, count, -1)
    shares.unflatten(0, (batch, heads)).mean(1)  # need_weights: averaged over heads, used by nobody
    return self.out_proj(mixed)


@contextmanager
def as_the_original() -> Iterator[None]:
    """Slow parts in place of ours, while a reference step computes."""
    with (
        mock.patch.object(criterion_module, "assign", _assign_one_by_one),
        mock.patch.object(matcher, "pair_bce", _pair_bce),
        mock.patch.object(decoder_module, "RENEWED", ()),
    ):
        yield


def _assign_one_by_one(tasks: Sequence[tuple[Tensor, Sequence[int]]]) -> list[Pairs]:
    """A copy to the host for every task, layer and image, and one back."""
    found = []
    for costs, counts in tasks:
        queries, layers = costs.shape[2], []
        for layer in costs:
            parts, start = [], 0
            for image, count in enumerate(counts):
                alone = layer[image, :, :count].cpu()
                (pairs,) = matcher.assign([(alone[None, None], (count,))])
                parts.append((pairs.query[0] + image * queries, pairs.target[0] + start))
                start += count
            query = torch.cat([q for q, _ in parts]).to(costs.device)
            layers.append((query, torch.cat([t for _, t in parts]).to(costs.device)))
        found.append(Pairs(torch.stack([q for q, _ in layers]), torch.stack([t for _, t in layers])))
    return found


def _pair_bce(logits: Tensor, truth: Tensor) -> Tensor:
    positive = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="none")
    negative = F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits), reduction="none")
    return (positive @ truth.mT + negative @ (1 - truth).mT) / logits.shape[-1]
