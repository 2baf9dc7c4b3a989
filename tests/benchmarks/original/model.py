"""The original's model: same weights, same numbers, computed otherwise (sections of SEEM.md).

The trunk works on tokens with linear layers; every text is tokenised alone and encoded at 77 tokens, each
time it is met, with norms written out (sections 2 and 11); masks are made at full resolution after every
layer and resized for the next one's attention, which keeps a boolean mask for every head and returns its
weights, in the pixel decoder too; tokens of strokes, which every layer takes anew, go through attention and
feed-forward like all others; all is kept for the backward pass (section 2).

What is left as ours makes it faster than the original: strokes' pixels are read before they are projected.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seem_train.model.attention import CROSS_ATTENDING, QUERIES, Attention, Group, Kind, may_attend
from seem_train.model.config import FocalConfig
from seem_train.model.decoder import Level, Memory, QueryVectors, SEEMDecoder
from seem_train.model.language import (
    BACKGROUND,
    LanguageEncoder,
    TextEmbeddings,
    spoken_names,
    tokenize,
    training_prompts,
    unit,
)
from seem_train.model.layers import CrossAttentionLayer, FeedForwardLayer, SelfAttentionLayer
from seem_train.model.pixel_decoders.fpn import EncoderLayer, FPNPixelDecoder
from seem_train.model.predictions import (
    GroundingPredictions,
    LayerPredictions,
    ObjectPredictions,
    RegionVectors,
    SpatialPredictions,
)
from seem_train.model.prepare import PreparedPrompts
from seem_train.model.prompts import RegionTokens
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.model.trunks.focal import FocalTrunk

CONTEXT = 77  #: tokens of every text


class Modulation(nn.Module):
    def __init__(self, dim: int, levels: int, window: int) -> None:
        super().__init__()
        self.dim, self.levels = dim, levels
        self.f = nn.Linear(dim, 2 * dim + levels + 1)
        self.h = nn.Conv2d(dim, dim, 1)
        self.proj = nn.Linear(dim, dim)
        self.focal_layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(dim, dim, window + 2 * i, groups=dim, padding=window // 2 + i, bias=False),
                nn.GELU(),
            )
            for i in range(levels)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.f(x).permute(0, 3, 1, 2).contiguous()
        query, context, gates = x.split((self.dim, self.dim, self.levels + 1), dim=1)
        total = torch.zeros_like(query)
        for level, layer in enumerate(self.focal_layers):
            context = layer(context)
            total = total + context * gates[:, level : level + 1]
        everywhere = F.gelu(context.mean((2, 3), keepdim=True))
        total = (total + everywhere * gates[:, self.levels :]) / (self.levels + 1)
        out = (query * self.h(total)).permute(0, 2, 3, 1).contiguous()
        return self.proj(out)


class Block(nn.Module):
    def __init__(self, dim: int, levels: int, window: int, mlp_ratio: float) -> None:
        super().__init__()
        self.modulation = Modulation(dim, levels, window)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.gamma_1, self.gamma_2 = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.ones(dim))
        hidden = int(dim * mlp_ratio)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, hidden), "fc2": nn.Linear(hidden, dim)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.gamma_1 * self.norm1(self.modulation(x))
        return x + self.gamma_2 * self.norm2(self.mlp["fc2"](F.gelu(self.mlp["fc1"](x))))


class Downsample(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.stride = stride
        self.proj = nn.Conv2d(channels_in, channels_out, kernel, stride, padding)
        self.norm = nn.LayerNorm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to tokens [B, H/stride, W/stride, C]."""
        x = F.pad(x, (0, -x.shape[-1] % self.stride, 0, -x.shape[-2] % self.stride))
        return self.norm(self.proj(x).permute(0, 2, 3, 1).contiguous())


class Stage(nn.Module):
    def __init__(self, config: FocalConfig, number: int) -> None:
        super().__init__()
        dim = config.embed_dim * 2**number
        levels, window = config.focal_levels[number], config.focal_windows[number]
        self.blocks = nn.ModuleList(
            Block(dim, levels, window, config.mlp_ratio) for _ in range(config.depths[number])
        )
        last = number == len(config.depths) - 1
        self.downsample = None if last else Downsample(dim, 2 * dim, 3, 2, 1)


class TokenFocalNet(nn.Module):
    """The trunk with the official names and shapes."""

    def __init__(self, config: FocalConfig) -> None:
        super().__init__()
        self.patch_embed = Downsample(3, config.embed_dim, 7, 4, 2)
        self.layers = nn.ModuleList(Stage(config, i) for i in range(len(config.depths)))
        for i in range(len(config.depths)):
            self.add_module(f"norm{i}", nn.LayerNorm(config.embed_dim * 2**i))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = {}
        tokens = self.patch_embed(x)
        for i, stage in enumerate(self.layers):
            assert isinstance(stage, Stage)
            for block in stage.blocks:
                tokens = block(tokens)
            features[f"res{i + 2}"] = getattr(self, f"norm{i}")(tokens).permute(0, 3, 1, 2).contiguous()
            if stage.downsample is not None:
                tokens = stage.downsample(tokens.permute(0, 3, 1, 2).contiguous())
        return features


def token_trunk(trunk: FocalTrunk, config: FocalConfig) -> TokenFocalNet:
    """The same trunk, computed on tokens."""
    net = TokenFocalNet(config)
    net.load_state_dict(trunk.to_official(trunk.state_dict()))
    net.requires_grad_(any(p.requires_grad for p in trunk.parameters()))
    return net.to(next(trunk.parameters()).device).eval()


class AttentionWithWeights(nn.Module):
    """Takes the place of an `Attention` in a layer of the pixel decoder."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        own = self.attention
        mixed, _ = F.multi_head_attention_forward(
            queries.transpose(0, 1),
            keys.transpose(0, 1),
            values.transpose(0, 1),
            queries.shape[-1],
            own.heads,
            own.in_proj_weight,
            own.in_proj_bias,
            None,
            None,
            False,
            0.0,
            own.out_proj.weight,
            own.out_proj.bias,
            need_weights=True,
        )
        return mixed.transpose(0, 1)


def pixel_decoder_with_weights(decoder: nn.Module) -> nn.Module:
    """The same pixel decoder, its attention returning the weights."""
    decoder = copy.deepcopy(decoder)
    if isinstance(decoder, FPNPixelDecoder):
        for layer in decoder.transformer.encoder.layers:
            layer = cast(EncoderLayer, layer)
            layer.add_module("self_attn", AttentionWithWeights(layer.self_attn))
    return decoder


class WrittenNorm(nn.LayerNorm):
    """A layer norm in four lines of Python."""

    def forward(self, input: Tensor) -> Tensor:
        middle = input.mean(-1, keepdim=True)
        spread = (input - middle).pow(2).mean(-1, keepdim=True)
        return self.weight * ((input - middle) / torch.sqrt(spread + self.eps)) + self.bias


def language_with_written_norms(language: LanguageEncoder) -> LanguageEncoder:
    """The same text encoder, its norms written out."""
    language = copy.deepcopy(language)
    for parent in list(language.lang_encoder.modules()):
        for name, norm in list(parent.named_children()):
            if isinstance(norm, nn.LayerNorm):
                written = WrittenNorm(list(norm.normalized_shape), norm.eps).to(norm.weight.device)
                written.load_state_dict(norm.state_dict())
                setattr(parent, name, written.requires_grad_(norm.weight.requires_grad))
    return language


@dataclass(frozen=True)
class FullQueryVectors(QueryVectors):
    """With the masks of the queries, which the next layer's attention looks at."""

    full: Tensor  #: [B, N, H/4, W/4]


class OriginalDecoder(SEEMDecoder):
    """Made of the parts of ours, which it shares."""

    def __init__(self, ours: SEEMDecoder) -> None:
        nn.Module.__init__(self)
        self.config = ours.config
        for name, module in ours.named_children():
            self.add_module(name, module)
        for name, parameter in ours.named_parameters(recurse=False):
            self.register_parameter(name, parameter)

    def forward(
        self,
        memory: Memory,
        prompts: PreparedPrompts,
        regions: RegionTokens | None = None,
        kinds: Collection[Kind] = QUERIES,
    ) -> list[dict[Kind, QueryVectors]]:
        groups = self._start(memory, prompts, regions, kinds)
        answers = [self._heads(groups, memory)]
        for number in range(self.config.layers):
            level = memory.levels[number % len(memory.levels)]
            groups = self._renew(groups, prompts, regions, number)

            looking = [g for g in groups if g.kind in CROSS_ATTENDING]
            hidden = torch.cat([_hidden(g, answers[-1], level, prompts.previous) for g in looking], dim=1)
            cross = cast(CrossAttentionLayer, self.transformer_cross_attention_layers[number])
            x, position = _joined(looking)
            keys_values = cross.multihead_attn.keys_values(level.placed, level.content)
            x = cross.norm(x + attend(cross.multihead_attn, x + position, keys_values, hidden))
            groups = _split(groups, looking, x)

            own = cast(SelfAttentionLayer, self.transformer_self_attention_layers[number])
            x, position = _joined(groups)
            keys_values = own.self_attn.keys_values(x + position, x)
            hidden = ~may_attend(groups, self.config.mode)
            x = own.norm(x + attend(own.self_attn, x + position, keys_values, hidden))
            wide = cast(FeedForwardLayer, self.transformer_ffn_layers[number])
            x = wide.norm(x + wide.linear2(F.relu(wide.linear1(x))))
            groups = _split(groups, groups, x)
            answers.append(self._heads(groups, memory))
        return answers

    def _heads(self, groups: Sequence[Group], memory: Memory) -> dict[Kind, QueryVectors]:
        """What is read of every kind of query, and its masks at full resolution."""
        return {
            kind: FullQueryVectors(
                found.classes, found.masks, torch.einsum("bqd,bdhw->bqhw", found.masks, memory.mask_features)
            )
            for kind, found in self._read(groups).items()
        }


def attend(
    attention: Attention, queries: Tensor, keys_values: tuple[Tensor, Tensor], hidden: Tensor
) -> Tensor:
    """As ``nn.MultiheadAttention`` computes it when it is to return its weights: queries [B, N, D] do not see
    what is hidden [B, N, S]; who sees nothing mixes to zero."""
    blocked = hidden[:, None].repeat(1, attention.heads, 1, 1).flatten(0, 1)
    masked = torch.zeros_like(blocked, dtype=queries.dtype).masked_fill_(blocked, float("-inf"))
    keys, values = (x.flatten(0, 1) for x in keys_values)
    asked = attention._project(queries, 0).flatten(0, 1)
    scores = torch.baddbmm(masked, asked * asked.shape[-1] ** -0.5, keys.transpose(1, 2))
    shares = scores.softmax(-1).nan_to_num()
    mixed = (shares @ values).unflatten(0, (-1, attention.heads)).transpose(1, 2).flatten(2)
    shares.unflatten(0, (-1, attention.heads)).mean(1)  # need_weights: averaged over heads, used by nobody
    return attention.out_proj(mixed)


def _hidden(group: Group, answers: dict[Kind, QueryVectors], level: Level, previous: Tensor | None) -> Tensor:
    """[B, N, h·w] where each query may not look: outside its last mask, resized; nowhere if that is empty."""
    if group.kind is Kind.MEMORY:
        assert previous is not None and group.owner is not None
        masks = previous.gather(1, group.owner[..., None, None].expand(-1, -1, *previous.shape[-2:]))
    else:
        masks = cast(FullQueryVectors, answers[group.kind]).full
    small = F.interpolate(masks, size=level.size, mode="bilinear", align_corners=False)
    outside = (small.sigmoid().flatten(2) < 0.5).detach()
    outside[torch.where(outside.sum(-1) == outside.shape[-1])] = False
    return outside


def _joined(groups: Sequence[Group]) -> tuple[Tensor, Tensor]:
    return torch.cat([g.content for g in groups], dim=1), torch.cat([g.position for g in groups], dim=1)


def _split(groups: Sequence[Group], changed: Sequence[Group], content: Tensor) -> list[Group]:
    parts = content.split([g.content.shape[1] for g in changed], dim=1)
    new = {g.kind: part for g, part in zip(changed, parts, strict=True)}
    return [replace(g, content=new.get(g.kind, g.content)) for g in groups]


class OriginalSEEM(SEEM):
    """Made of a model of ours, with which it shares the decoder's parameters; the rest is a copy."""

    def __init__(self, ours: SEEM) -> None:
        nn.Module.__init__(self)
        self.config, self.card = ours.config, None
        trunk = ours.backbone
        if isinstance(trunk, FocalTrunk) and isinstance(ours.config.trunk, FocalConfig):
            trunk = token_trunk(trunk, ours.config.trunk)
        self.backbone = trunk
        self.pixel_decoder = pixel_decoder_with_weights(ours.pixel_decoder)
        self.language = language_with_written_norms(ours.language)
        self.decoder = OriginalDecoder(ours.decoder)
        self.register_buffer("pixel_mean", ours.pixel_mean, persistent=False)
        self.register_buffer("pixel_std", ours.pixel_std, persistent=False)
        self.train(ours.training)

    def encode_image(self, images: Tensor | Sequence[Tensor]) -> ImageFeatures:
        batch, sizes = self.normalise(images)
        memory = self.decoder.look(*self.pixel_decoder(self.backbone(batch)), keep=False)
        return ImageFeatures(memory, sizes, (batch.shape[-2], batch.shape[-1]))

    def encode_text(self, texts: Sequence[str]) -> TextEmbeddings:
        """Every text anew, tokenised one at a time, padded to the full context."""
        rows, lengths = [], []
        for text in texts:
            ids, (length,) = tokenize([text], CONTEXT)
            rows.append(F.pad(ids[0], (0, CONTEXT - length), value=int(ids[0, -1])))
            lengths.append(length)
        tokens = self.language.encode_ids(torch.stack(rows).to(self.device))
        vectors = tokens[torch.arange(len(rows)), torch.tensor(lengths) - 1]
        return TextEmbeddings(tuple(texts), vectors, tokens, tuple(lengths))

    def class_embeddings(
        self,
        names: Sequence[str],
        *,
        train: bool = True,  # noqa: ARG002
        draws: torch.Generator | None = None,
    ) -> Tensor:
        """One template each, in evaluation too: the mean over all of them is made once."""
        prompts = training_prompts(
            (*spoken_names(names), BACKGROUND), lambda n: int(torch.randint(n, (1,), generator=draws))
        )
        return unit(self.encode_text(prompts).vectors)

    def _layer(
        self,
        answers: dict[Kind, QueryVectors],
        memory: Memory,  # noqa: ARG002
        vectors: RegionVectors | None,
        known: ObjectPredictions | None,  # noqa: ARG002
        categories: Tensor | None,
    ) -> LayerPredictions:
        found = cast(dict[Kind, FullQueryVectors], answers)
        queries = found[Kind.OBJECT]
        logits = None if categories is None else self.language.class_logits(queries.classes, categories)
        grounding = spatial = None
        if (texts := found.get(Kind.GROUNDING)) is not None:
            grounding = GroundingPredictions(texts.classes, texts.full)
        if (marked := found.get(Kind.SPATIAL)) is not None and vectors is not None:
            spatial = SpatialPredictions(
                marked.classes, marked.masks, marked.full, vectors.positive, vectors.negative
            )
        objects = ObjectPredictions(queries.classes, queries.masks, queries.full, logits)
        return LayerPredictions(objects, grounding, spatial)
