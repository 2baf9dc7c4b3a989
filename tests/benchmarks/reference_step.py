"""A training step the way the original takes it, and ours beside it.

Same model, same trained tensors, same losses; but, as in UX-Decoder v1.0 (sections of SEEM.md):

* the text encoder reads every category, then the phrases of image after image, at every step, each padded to
  77 tokens; its norms are written out (sections 2 and 11);
* attention keeps a boolean mask for every head, and every probability for the backward pass (section 2);
* tokens of strokes, which every layer takes anew, go through attention and feed-forward like all others
  (section 2);
* a refinement round asks all queries, with all prompts and heads, though only the masks of the spatial ones
  are used; the next click is found by one convolution a ring (sections 2 and 11: a round costs as much as
  another forward pass of the decoder);
* for the matching every query and every target reads its own copy of the image's points; costs are matched
  image by image and layer by layer, each with its own copy to the host, those of spatial prompts too; the
  pairwise BCE takes two matrix products (section 3);
* self-attention, feed-forward layers and mask losses keep all for the backward pass (nothing is computed
  twice);
* AdamW has one group for each tensor, and every loss term is read with ``item()`` (section 6);
* the frozen backbone is in train mode (section 8).

What is left as ours makes the reference faster than the original: the trunk stays channels-last, the pixel
decoder's attention returns no weights, masks are resized once as features, strokes' pixels are read before
they are projected, targets are boolean id-map masks, data comes ready.
"""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seem_train.data import clicks
from seem_train.data.batch import Batch
from seem_train.formatting import size_text, table
from seem_train.losses import criterion as criterion_module
from seem_train.losses import masks as masks_module
from seem_train.losses import matcher
from seem_train.losses.criterion import Criterion, touch
from seem_train.losses.matcher import MatchCosts, Pairs, pair_dice
from seem_train.losses.points import PointSource, Task, sample_maps
from seem_train.losses.targets import LossCounts
from seem_train.model import decoder as decoder_module
from seem_train.model import layers as layers_module
from seem_train.model.attention import Attention
from seem_train.model.draws import SeededDraws
from seem_train.model.language import BACKGROUND, TextEmbeddings, tokenize, training_prompts, unit
from seem_train.model.layers import CrossAttentionLayer, SelfAttentionLayer
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.runtime import Runtime
from seem_train.training import bench
from seem_train.training.optim import parameter_groups
from seem_train.training.step import StepDraws, TrainingStep

CONTEXT = 77  #: tokens of every text
SMOOTHING = 0.35  #: of kornia's distance transform
FORBIDDEN = 1e9  #: cost of a query that belongs to another prompt


class ReferenceStep(TrainingStep):
    """Drop-in for `TrainingStep`; logs as the original does, so that its waits are counted."""

    def forward(self, batch: Batch, counts: LossCounts, draws: StepDraws) -> tuple[Tensor, dict[str, Tensor]]:
        torch.manual_seed(draws.model())
        self.model.backbone.train()
        names = training_prompts((*self.names, BACKGROUND), lambda n: int(torch.randint(n, ())))
        with self.autocast():
            self._names = unit(encode_padded(self.model, names).vectors)
            phrases = [encode_padded(self.model, [p.text for p in e.phrases]) for e in batch.examples]
        vectors = torch.cat([texts.vectors for texts in phrases]).float()
        targets = batch.targets(self.tasks)
        with as_the_original(), self.autocast():
            features = self.model.encode_image(batch.images)
            prompts = [
                ImagePrompts(texts.of(batch.said(image)), batch.strokes(image))
                for image, texts in enumerate(phrases)
            ]
            model_draws = SeededDraws(draws.model())
            for _ in range(draws.rounds(self.refine_rounds)):
                assert targets.spatial is not None
                prompts = self._refined(features, prompts, targets.spatial, model_draws)
            predictions = self.model.decode(
                features, prompts, self._names, draws=model_draws, every_layer=True
            )
        with as_the_original():
            terms = self.criterion(predictions, targets, self.model.language.logit_scale, vectors, counts)
        parts = {name: values[0].detach() for name, values in terms.raw.items()}
        for value in terms.stacked():
            value.item()
        return terms.total + (touch(self.sometimes) if self.sometimes else 0.0), parts

    def _answers(self, features: ImageFeatures, prompts: list[ImagePrompts], draws: SeededDraws) -> Tensor:
        predictions = self.model.decode(features, prompts, self._names, draws=draws, every_layer=True)
        answers = predictions.final.spatial
        assert answers is not None
        places = answers.positive.shape[1]
        fit = (answers.mask_vectors.unflatten(1, (places, -1)) * answers.positive[:, :, None]).sum(-1)
        best = fit.argmax(-1)[..., None, None, None].expand(-1, -1, 1, *answers.masks.shape[-2:])
        return answers.masks.unflatten(1, (places, -1)).gather(2, best).squeeze(2)


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


def slow_layers(model: nn.Module) -> None:
    """Give the decoder's attention and the text encoder's norms the original's way to compute."""
    for module in model.get_submodule("decoder").modules():
        if isinstance(module, CrossAttentionLayer):
            module.multihead_attn.attend = types.MethodType(_look, module.multihead_attn)
        elif isinstance(module, SelfAttentionLayer):
            module.self_attn.attend = types.MethodType(_talk, module.self_attn)
    for module in model.get_submodule("language.lang_encoder").modules():
        if isinstance(module, nn.LayerNorm):
            module.forward = types.MethodType(_norm, module)


def _look(self: Attention, queries: Tensor, keys_values: tuple[Tensor, Tensor], allowed: Tensor) -> Tensor:
    """Cross-attention, as ``nn.MultiheadAttention`` computes it when it is to return its weights."""
    hidden = ~allowed[:, None].repeat(1, self.heads, 1, 1).flatten(0, 1)
    blocked = torch.zeros_like(hidden, dtype=queries.dtype).masked_fill_(hidden, float("-inf"))
    keys, values = (x.flatten(0, 1) for x in keys_values)
    asked = self._project(queries, 0)
    scores = torch.baddbmm(blocked, asked.flatten(0, 1) * asked.shape[-1] ** -0.5, keys.transpose(1, 2))
    return _mixed(self, scores.softmax(-1), values)


def _talk(self: Attention, queries: Tensor, keys_values: tuple[Tensor, Tensor], allowed: Tensor) -> Tensor:
    """Self-attention, which the original has written by itself: who may attend to nothing, mixes to zero."""
    hidden = ~allowed.repeat_interleave(self.heads, dim=0)
    keys, values = (x.flatten(0, 1) for x in keys_values)
    asked = self._project(queries, 0)
    scores = (asked.flatten(0, 1) * asked.shape[-1] ** -0.5) @ keys.transpose(1, 2)
    return _mixed(self, scores.masked_fill_(hidden, float("-inf")).softmax(-1).nan_to_num(), values)


def _mixed(self: Attention, shares: Tensor, values: Tensor) -> Tensor:
    mixed = (shares @ values).unflatten(0, (-1, self.heads)).transpose(1, 2).flatten(2)
    shares.unflatten(0, (-1, self.heads)).mean(1)  # need_weights: averaged over heads, used by nobody
    return self.out_proj(mixed)


def _norm(self: nn.LayerNorm, x: Tensor) -> Tensor:
    middle = x.mean(-1, keepdim=True)
    spread = (x - middle).pow(2).mean(-1, keepdim=True)
    return self.weight * ((x - middle) / torch.sqrt(spread + self.eps)) + self.bias


@contextmanager
def as_the_original() -> Iterator[None]:
    """Slow parts in place of ours, while a reference step computes."""
    with (
        mock.patch.object(criterion_module, "assign", _assign_one_by_one),
        mock.patch.object(criterion_module, "mask_costs", _mask_costs),
        mock.patch.object(criterion_module, "choose_own", _choose_own),
        mock.patch.object(clicks, "deepest_pixel", _deepest_pixel),
        mock.patch.object(decoder_module, "RENEWED", ()),
        mock.patch.object(masks_module, "checkpoint", _once),
        mock.patch.object(layers_module, "checkpoint", _once),
    ):
        yield


def _once(function: Callable[..., Any], *inputs: Any, **_how: object) -> Any:
    """A part computed once, all of it kept for the backward pass."""
    return function(*inputs)


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


def _mask_costs(
    task: Task,
    layers: Sequence[Tensor],
    targets: Tensor,
    counts: Sequence[int],
    costs: MatchCosts,
    source: PointSource,
) -> Tensor:
    """`matcher.mask_costs`, every query and target with its own copy of the points."""
    points = source.for_matching(task, len(layers), len(counts), targets.device)
    result = points.new_zeros(len(layers), len(counts), layers[0].shape[1], max(counts, default=0))
    for layer, masks in enumerate(layers):
        for image, truth in enumerate(targets.split(list(counts))):
            if len(truth) == 0:
                continue
            at = points[layer, image : image + 1]
            logits = sample_maps(masks[image][:, None].float(), at.repeat(masks.shape[1], 1, 1))[:, 0]
            truth = sample_maps(truth[:, None].float(), at.repeat(len(truth), 1, 1))[:, 0]
            found = costs.mask * _pair_bce(logits, truth) + costs.dice * pair_dice(logits, truth)
            result[layer, image, :, : len(truth)] = found
    return result


def _pair_bce(logits: Tensor, truth: Tensor) -> Tensor:
    positive = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits), reduction="none")
    negative = F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits), reduction="none")
    return (positive @ truth.mT + negative @ (1 - truth).mT) / logits.shape[-1]


def _choose_own(mask_costs: Tensor, logits: Tensor, category: float, counts: Sequence[int]) -> Pairs:
    """`spatial.choose_own` as an assignment in which the queries of other prompts are forbidden."""
    queries, places = mask_costs.shape[2:]
    own = torch.eye(places, dtype=torch.bool, device=logits.device)
    own = own.repeat_interleave(queries // places, dim=0)
    costs = mask_costs - category * logits.masked_fill(~own, float("-inf")).softmax(2)
    (pairs,) = _assign_one_by_one([(costs.masked_fill(~own, FORBIDDEN), counts)])
    return pairs


def _deepest_pixel(region: np.ndarray) -> tuple[int, int]:
    """`clicks.deepest_pixel` by kornia's distance transform of the whole mask: one convolution a ring, and a
    look at whether it found anything."""
    reached = F.pad(torch.from_numpy(~region)[None, None].float(), (1, 1, 1, 1), value=1.0)
    offsets = torch.tensor([-1.0, 0.0, 1.0])
    kernel = (torch.hypot(offsets[:, None], offsets[None]) / -SMOOTHING).exp()[None, None]
    distance = torch.zeros_like(reached)
    for ring in range(max(reached.shape)):
        step = F.conv2d(F.pad(reached, (1, 1, 1, 1), mode="replicate"), kernel).log() * -SMOOTHING
        new = (step.nan_to_num(posinf=0.0) > 0).float()
        if new.sum() == 0:
            break
        distance += (ring * 3 // 2 + step.nan_to_num(posinf=0.0)) * new
        reached = torch.where(new == 1, torch.ones_like(reached), reached)
    place = int(distance[0, 0, 1:-1, 1:-1].argmax())
    return place // region.shape[1], place % region.shape[1]


# ── both, side by side ─────────────────────────────────────────────────────────────────────────────


PATHS = ("ours", "reference")


def reference(
    model: SEEM, names: Sequence[str], runtime: Runtime
) -> tuple[TrainingStep, torch.optim.Optimizer]:
    tasks = ("panoptic", "grounding", "interactive")
    step = ReferenceStep(model, Criterion(), names, tasks, 1, runtime.autocast)
    slow_layers(model)
    return step, optimizer_of(model, 1e-4, 0.05)


def compare(setting: bench.Setting) -> dict[str, Any]:
    """Measure both paths, step by step in turn, so that other load on the machine meets both alike.

    ``speedup`` is reference time over ours, ``memory`` our peak over that of the reference.
    """
    processes = {path: _start(path, setting) for path in PATHS}
    try:
        for _ in range(setting.steps + 1):  # the first step warms up
            for path in PATHS:
                _ask(processes[path], path)
        found = {path: bench.BenchFigures(**json.loads(_ask(processes[path], path, "end"))) for path in PATHS}
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    ours, reference = found["ours"], found["reference"]
    return {
        "setting": asdict(setting),
        "ours": asdict(ours),
        "reference": asdict(reference),
        "speedup": reference.seconds / ours.seconds,
        "memory": ours.peak_bytes / reference.peak_bytes,
    }


def _start(path: str, setting: bench.Setting) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.benchmarks.reference_step", path, json.dumps(asdict(setting))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(process: subprocess.Popen[str], path: str, what: str = "step") -> str:
    """Have a process take a step, or tell what it measured; its answer, one line."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(f"{what}\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass
    answer = process.stdout.readline()
    if not answer:
        raise RuntimeError(f"the {path} path failed with status {process.wait()}; see above")
    return answer


def text(found: dict[str, Any]) -> str:
    """The comparison for people."""
    ours, theirs = found["ours"], found["reference"]
    rows: list[tuple[str, ...]] = [("", "ours", "reference", "ratio")]
    rows.append(("images/s", f"{ours['img_s']:.3f}", f"{theirs['img_s']:.3f}", f"{found['speedup']:.2f}×"))
    peaks = [size_text(part["peak_bytes"]) for part in (ours, theirs)]
    rows.append(("peak memory", *peaks, f"{found['memory']:.2f}×"))
    rows.append(("waits for the device", str(ours["host_syncs"]), str(theirs["host_syncs"]), ""))
    for name, other in theirs["parts"].items():
        mine = ours["parts"].get(name, 0.0)
        rows.append(
            (f"  {name}", f"{mine:.3f} s", f"{other:.3f} s", f"{other / mine:.1f}×" if mine > 1e-3 else "")
        )
    return f"{bench.heading(bench.Setting(**found['setting']))}\n\n{table(rows)}"


def _answer(path: str, setting: bench.Setting) -> None:
    """One path, in this process: a step for each line "step", the results at "end"."""
    build = bench.ours if path == "ours" else reference
    running = bench.Bench(setting, build, kept=path == "ours")
    for line in sys.stdin:
        if line.strip() == "end":
            print(json.dumps(asdict(running.end())), flush=True)
            return
        print(running.step(), flush=True)


if __name__ == "__main__":
    _answer(sys.argv[1], bench.Setting(**json.loads(sys.argv[2])))
