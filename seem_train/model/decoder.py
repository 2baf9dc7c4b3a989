"""The SEEM decoder: queries ask the image and the prompts, layer after layer, and say classes and masks.

Each layer: queries look at one level of the image, each only where its last mask was (masked
cross-attention); all tokens talk within their groups (`attention.TABLES`); a feed-forward network. After each
layer, and before the first, heads read a class vector and a mask from every query.

    learned queries ─┬▶ object queries ─────────────▶ everything in the image
                     ├▶ grounding queries ◀─ texts ──▶ what the texts name          (v1)
                     └▶ spatial queries ◀─ strokes ──▶ what the strokes are on      (v1)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seem_train.model.attention import CROSS_ATTENDING, QUERIES, Group, Kind, may_attend
from seem_train.model.config import DecoderConfig
from seem_train.model.layers import (
    CrossAttentionLayer,
    FeedForwardLayer,
    MaskEmbedding,
    SelfAttentionLayer,
    sine_position,
)
from seem_train.model.prepare import PreparedPrompts, SampledPixels
from seem_train.model.prompts import RegionTokens

#: Taken anew from every level: heard by others, but nobody would read what they hear.
RENEWED = (Kind.STROKE, Kind.REFERENCE)


@dataclass(frozen=True)
class Level:
    """One level of the image as the decoder looks at it."""

    content: Tensor  #: [B, h·w, D]
    placed: Tensor  #: [B, h·w, D] the content with its position, of which keys are made
    size: tuple[int, int]  #: (h, w)
    mask_features: Tensor  #: [B, D, h·w] mask features resized to this level, without gradient


@dataclass(frozen=True)
class Memory:
    """All that the decoder looks at in a batch of images."""

    mask_features: Tensor  #: [B, D, H/4, W/4]
    levels: tuple[Level, ...]  #: coarse to fine
    keys_values: tuple[tuple[Tensor, Tensor], ...] | None = None  #: of each layer, when kept for many prompts

    def masks(self, vectors: Tensor) -> Tensor:
        """[B, N, H/4, W/4] logits of mask vectors [B, N, D]."""
        return torch.einsum("bqd,bdhw->bqhw", vectors, self.mask_features)


@dataclass(frozen=True)
class QueryVectors:
    """What the heads read from N queries."""

    classes: Tensor  #: [B, N, D] compared with embeddings of texts
    masks: Tensor  #: [B, N, D] dotted with mask features


class SEEMDecoder(nn.Module):
    """Attribute names are those of the released checkpoints (``mask_sptial_embed`` is spelled so there)."""

    def __init__(self, config: DecoderConfig, conv_dim: int, mask_dim: int, projection: int) -> None:
        super().__init__()
        dim = config.dim
        self.config = config
        layers = range(config.layers)
        self.transformer_cross_attention_layers = nn.ModuleList(
            CrossAttentionLayer(dim, config.heads) for _ in layers
        )
        self.transformer_self_attention_layers = nn.ModuleList(
            SelfAttentionLayer(dim, config.heads) for _ in layers
        )
        self.transformer_ffn_layers = nn.ModuleList(FeedForwardLayer(dim, config.ffn_dim) for _ in layers)
        self.decoder_norm = nn.LayerNorm(dim)
        self.query_feat = nn.Embedding(config.queries, dim)
        self.query_embed = nn.Embedding(config.queries, dim)
        self.level_embed = nn.Embedding(config.levels, dim)
        self.input_proj = nn.ModuleList(
            nn.Identity() if conv_dim == dim else nn.Conv2d(conv_dim, dim, 1) for _ in range(config.levels)
        )
        self.class_embed = nn.Parameter(torch.empty(dim, projection))
        self.mask_embed = MaskEmbedding(dim, mask_dim)
        self.mask_sptial_embed = nn.ParameterList(
            nn.Parameter(torch.empty(dim, dim)) for _ in range(config.levels)
        )
        self.spatial_embed = nn.Embedding(config.memories, dim)
        self.spatial_featured = nn.Embedding(config.memories, dim)
        self.pn_indicator = nn.Embedding(2, dim)
        for weight in (self.class_embed, *self.mask_sptial_embed):
            nn.init.trunc_normal_(weight, std=0.02)

    # ── what is known before the layers ────────────────────────────────────────────────────────────

    def look(self, mask_features: Tensor, levels: Sequence[Tensor], keep: bool) -> Memory:
        """Levels [B, C, h, w], coarse to fine, made ready; `keep` also keeps all layers' keys and values."""
        ready = []
        for number, level in enumerate(levels):
            x = self.input_proj[number](level).flatten(2).transpose(1, 2)
            size = (level.shape[-2], level.shape[-1])
            position = sine_position(*size, x.shape[-1], x.device).flatten(1).T[None].to(x.dtype)
            with torch.no_grad():
                small = F.interpolate(mask_features.detach(), size=size, mode="bilinear", align_corners=False)
            content = x + self.level_embed.weight[number]
            ready.append(Level(content, content + position, size, small.flatten(2)))
        memory = Memory(mask_features, tuple(ready))
        if not keep:
            return memory
        return replace(
            memory, keys_values=tuple(self._keys_values(memory, i) for i in range(self.config.layers))
        )

    def _keys_values(self, memory: Memory, layer: int) -> tuple[Tensor, Tensor]:
        if memory.keys_values is not None:
            return memory.keys_values[layer]
        level = memory.levels[layer % len(memory.levels)]
        looking = cast(CrossAttentionLayer, self.transformer_cross_attention_layers[layer])
        return looking.multihead_attn.keys_values(level.placed, level.content)

    def region_tokens(self, memory: Memory, pixels: Sequence[SampledPixels], objects: int) -> RegionTokens:
        """What the image shows at marked pixels: tokens at each level, and a mean for each object."""
        tokens = []
        for level, drawn, projection in zip(memory.levels, pixels[1:], self.mask_sptial_embed, strict=True):
            sign = torch.where(
                drawn.positive[..., None], self.pn_indicator.weight[0], self.pn_indicator.weight[1]
            )
            tokens.append(_sample(level.content, level.size, drawn.points) @ projection + sign)
        for_mean = pixels[0]
        none = -1.0 if self.config.mode == "v1" else 0.0
        height, width = memory.mask_features.shape[-2:]
        pixels_first = memory.mask_features.flatten(2).transpose(1, 2)
        vectors = _sample(pixels_first, (height, width), for_mean.points)
        return RegionTokens(
            levels=tuple(tokens),
            owners=tuple(drawn.owners for drawn in pixels[1:]),
            positive=_mean_by_owner(vectors, for_mean.owners.where(for_mean.positive, -1), objects, none),
            negative=_mean_by_owner(vectors, for_mean.owners.where(~for_mean.positive, -1), objects, none),
        )

    # ── the layers ─────────────────────────────────────────────────────────────────────────────────

    def forward(
        self,
        memory: Memory,
        prompts: PreparedPrompts,
        regions: RegionTokens | None = None,
        kinds: Collection[Kind] = QUERIES,
    ) -> list[dict[Kind, QueryVectors]]:
        """What the heads read before the first layer and after each; `regions` are the strokes' tokens.

        Only the `kinds` of queries that are asked for take part. In v1 no kind attends to another, so that
        leaving one out changes nothing for the others.
        """
        groups = self._start(memory, prompts, regions, kinds)
        answers = [self._read(groups)]
        for number in range(self.config.layers):
            level = memory.levels[number % len(memory.levels)]
            groups = self._renew(groups, prompts, regions, number)

            looking = [g for g in groups if g.kind in CROSS_ATTENDING]
            allowed = torch.cat([_visible(g, answers[-1], level, prompts.previous) for g in looking], dim=1)
            x, position = _concatenate(looking)
            keys_values = self._keys_values(memory, number)
            x = self.transformer_cross_attention_layers[number](x, position, keys_values, allowed)
            groups = _with_content(groups, looking, x)

            x, position = _concatenate(groups)
            allowed = may_attend(groups, self.config.mode)
            lasting = [g for g in groups if g.kind not in RENEWED]
            asking = _places(groups, lasting)
            x = self.transformer_self_attention_layers[number](x, position, allowed, asking=asking)
            x = self.transformer_ffn_layers[number](x)
            groups = _with_content(groups, lasting, x)
            answers.append(self._read(groups))
        return answers

    def _start(
        self,
        memory: Memory,
        prompts: PreparedPrompts,
        regions: RegionTokens | None,
        kinds: Collection[Kind],
    ) -> list[Group]:
        """All groups before the first layer, in the original's order."""
        batch = memory.mask_features.shape[0]
        content, position = self.query_feat.weight, self.query_embed.weight

        def group(kind: Kind, content: Tensor, position: Tensor, owner: Tensor | None = None) -> Group:
            owner = None if owner is None else owner.expand(batch, -1)
            return Group(kind, content.expand(batch, -1, -1), position.expand(batch, -1, -1), owner)

        v1 = self.config.mode == "v1"
        with_texts = prompts.texts is not None and (Kind.GROUNDING in kinds or not v1)
        groups = []
        if Kind.OBJECT in kinds:
            groups.append(group(Kind.OBJECT, content, position))
        if v1 and with_texts:
            groups.append(group(Kind.GROUNDING, content, position))
        if prompts.queries is not None and Kind.SPATIAL in kinds:
            owner = torch.arange(prompts.objects, device=content.device)
            owner = owner.repeat_interleave(self.config.queries_per_prompt)
            groups.append(group(Kind.SPATIAL, content[prompts.queries], position[prompts.queries], owner))
        if with_texts and prompts.texts is not None:
            tokens = prompts.texts
            groups.append(Group(Kind.TEXT, tokens, tokens.detach(), real=prompts.texts_real))
        if not v1 or Kind.SPATIAL in kinds:
            # Without tokens yet: they are taken anew from each layer's level (`_renew`).
            nothing = content.new_zeros(batch, 0, content.shape[1])
            if regions is not None or (v1 and prompts.reference is not None):
                groups.append(Group(Kind.STROKE, nothing, nothing))
            if not v1 and prompts.reference is not None:
                groups.append(Group(Kind.REFERENCE, nothing, nothing))
            if prompts.memories is not None:
                groups.append(group(Kind.MEMORY, self.spatial_featured.weight, self.spatial_embed.weight))
        return groups

    def _renew(
        self, groups: Sequence[Group], prompts: PreparedPrompts, regions: RegionTokens | None, layer: int
    ) -> list[Group]:
        """Stroke and reference tokens of this layer's level, and the objects its memories carry."""
        renewed = []
        level = layer % self.config.levels
        for group in groups:
            if group.kind is Kind.MEMORY and prompts.memories is not None:
                group = replace(group, owner=prompts.memories[layer].expand(len(group.content), -1))
            elif group.kind in RENEWED:
                sources = [regions] if group.kind is Kind.STROKE else []
                if group.kind is Kind.REFERENCE or self.config.mode == "v1":
                    sources.append(prompts.reference)
                content = torch.cat([s.levels[level] for s in sources if s is not None], dim=1)
                owner = torch.cat([s.owners[level] for s in sources if s is not None], dim=1)
                group = Group(group.kind, content, content.detach(), owner, real=owner >= 0)
            renewed.append(group)
        return renewed

    def _read(self, groups: Sequence[Group]) -> dict[Kind, QueryVectors]:
        queries = [g for g in groups if g.kind in QUERIES]
        if not queries:
            return {}
        counts = [g.content.shape[1] for g in queries]
        normed = self.decoder_norm(torch.cat([g.content for g in queries], dim=1))
        classes = (normed @ self.class_embed).split(counts, dim=1)
        masks = self.mask_embed(normed).split(counts, dim=1)
        return {g.kind: QueryVectors(c, m) for g, c, m in zip(queries, classes, masks, strict=True)}


def best_fitting(candidates: Tensor, positive: Tensor) -> Tensor:
    """[B, K, D] of the mask vectors [B, K, n, D] of each object that which fits what was marked [B, K, D]."""
    fit = (candidates * positive[:, :, None]).sum(-1)
    best = fit.argmax(-1)[..., None, None].expand(-1, -1, 1, candidates.shape[-1])
    return candidates.gather(2, best).squeeze(2)


def _visible(
    group: Group, answers: dict[Kind, QueryVectors], level: Level, previous: Tensor | None
) -> Tensor:
    """[B, N, h·w] where each query of a group may look: inside its last mask; everywhere if that is empty."""
    with torch.no_grad():
        if group.kind is Kind.MEMORY:
            assert previous is not None and group.owner is not None
            resized = F.interpolate(previous, size=level.size, mode="bilinear", align_corners=False)
            resized = resized.flatten(2)
            masks = resized.gather(1, group.owner[..., None].expand(-1, -1, resized.shape[-1]))
        else:
            # Resizing the features once gives what resizing every query's mask would give.
            masks = answers[group.kind].masks @ level.mask_features
        inside = masks.sigmoid() >= 0.5
        return inside | ~inside.any(-1, keepdim=True)


def _places(groups: Sequence[Group], chosen: Sequence[Group]) -> Tensor | None:
    """Where the tokens of the chosen groups lie in the concatenation of all; None: everywhere."""
    if len(chosen) == len(groups):
        return None
    counts = [g.content.shape[1] for g in groups]
    spans = zip(groups, accumulate(counts, initial=0), counts, strict=False)
    kinds = [g.kind for g in chosen]
    parts = [torch.arange(first, first + count) for g, first, count in spans if g.kind in kinds]
    return torch.cat(parts).to(groups[0].content.device, non_blocking=True)


def _concatenate(groups: Sequence[Group]) -> tuple[Tensor, Tensor]:
    return torch.cat([g.content for g in groups], dim=1), torch.cat([g.position for g in groups], dim=1)


def _with_content(groups: Sequence[Group], changed: Sequence[Group], content: Tensor) -> list[Group]:
    """The groups, the `changed` ones with new content [B, sum of their N, D]."""
    parts = content.split([g.content.shape[1] for g in changed], dim=1)
    new = {g.kind: part for g, part in zip(changed, parts, strict=True)}
    return [replace(g, content=new.get(g.kind, g.content)) for g in groups]


def _sample(features: Tensor, size: tuple[int, int], points: Tensor) -> Tensor:
    """Features [B, h·w, D] at points [B, S, 2], between the four nearest pixels: [B, S, D].

    Points are (x, y) from 0, the centre of the first pixel, to 1, that of the last. (Not ``grid_sample``,
    which would take its points in the features' precision and read the whole map.)
    """
    height, width = size
    x, y = points[..., 0] * (width - 1), points[..., 1] * (height - 1)
    left, top = x.long().clamp(max=max(width - 2, 0)), y.long().clamp(max=max(height - 2, 0))
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    x, y = (x - left)[..., None].to(features.dtype), (y - top)[..., None].to(features.dtype)

    def at(row: Tensor, column: Tensor) -> Tensor:
        return features.gather(1, (row * width + column)[..., None].expand(-1, -1, features.shape[-1]))

    upper = torch.lerp(at(top, left), at(top, right), x)
    return torch.lerp(upper, torch.lerp(at(bottom, left), at(bottom, right), x), y)


def _mean_by_owner(vectors: Tensor, owners: Tensor, objects: int, none: float) -> Tensor:
    """Vectors [B, S, D] of owners [B, S] to the mean of each object [B, K, D]; `none` where it has none."""
    mine = owners[:, None] == torch.arange(objects, device=owners.device)[:, None]
    count = mine.sum(-1, keepdim=True)
    mean = mine.to(vectors.dtype) @ vectors / count.clamp(min=1)
    return mean.masked_fill(count == 0, none)
