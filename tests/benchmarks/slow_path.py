"""SEEM computed the way the original computes it: the baseline of the benchmarks, and nothing else.

Same weights, same numbers; what differs is how: the trunk on tokens with linear layers, every text of a step
encoded at 77 tokens, masks at full resolution after every layer, one boolean mask for each head, attention
that returns its weights.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seem_train.model.attention import Attention
from seem_train.model.config import FocalConfig
from seem_train.model.language import BACKGROUND, tokenize, training_prompts, unit
from seem_train.model.layers import CrossAttentionLayer, SelfAttentionLayer
from seem_train.model.pixel_decoders.fpn import EncoderLayer, FPNPixelDecoder
from seem_train.model.seem import SEEM
from seem_train.model.trunks.focal import FocalTrunk

EOT = 49407


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
    return net.eval()


def attend(
    attention: Attention, queries: Tensor, keys: Tensor, values: Tensor, blocked: Tensor | None = None
) -> Tensor:
    """Attention with its weights returned and one mask for each head [B·heads, N, S]."""
    mixed, _ = F.multi_head_attention_forward(
        queries.transpose(0, 1),
        keys.transpose(0, 1),
        values.transpose(0, 1),
        queries.shape[-1],
        attention.heads,
        attention.in_proj_weight,
        attention.in_proj_bias,
        None,
        None,
        False,
        0.0,
        attention.out_proj.weight,
        attention.out_proj.bias,
        need_weights=True,
        attn_mask=blocked,
    )
    return mixed.transpose(0, 1)


class AttentionWithWeights(nn.Module):
    """Takes the place of an `Attention` in a layer of the pixel decoder."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return attend(self.attention, queries, keys, values)


def pixel_decoder_with_weights(decoder: nn.Module) -> FPNPixelDecoder:
    """The same pixel decoder, its attention returning the weights."""
    assert isinstance(decoder, FPNPixelDecoder)
    decoder = copy.deepcopy(decoder)
    for layer in decoder.transformer.encoder.layers:
        layer = cast(EncoderLayer, layer)
        layer.add_module("self_attn", AttentionWithWeights(layer.self_attn))
    return decoder


class SlowPath:
    """A forward pass of the whole model without prompts, as evaluation and as a training step make it."""

    def __init__(self, model: SEEM) -> None:
        assert isinstance(model.backbone, FocalTrunk) and isinstance(model.config.trunk, FocalConfig)
        self.model = model
        self.trunk = token_trunk(model.backbone, model.config.trunk)
        self.pixel_decoder = pixel_decoder_with_weights(model.pixel_decoder)

    def evaluate(self, images: Tensor, categories: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits and masks of the object queries."""
        batch, _ = self.model.normalise(images)
        mask_features, levels = self.pixel_decoder(self.trunk(batch))
        return self.decode(mask_features, levels, categories)

    def train_step(self, images: Tensor, names: list[str], draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """As `evaluate`, the names of the categories encoded first."""
        return self.evaluate(images, self.categories(names, draw))

    def categories(self, names: list[str], draw: torch.Generator) -> Tensor:
        """One template each, at the full context length."""
        language = self.model.language
        prompts = training_prompts(
            (*names, BACKGROUND), lambda n: int(torch.randint(n, (1,), generator=draw))
        )
        ids, lengths = tokenize(prompts)
        ids = F.pad(ids, (0, language.config.context_length - ids.shape[1]), value=EOT).to(self.model.device)
        tokens = language.encode_ids(ids)
        return unit(tokens[torch.arange(len(tokens)), torch.tensor(lengths) - 1])

    def decode(
        self, mask_features: Tensor, levels: list[Tensor], categories: Tensor
    ) -> tuple[Tensor, Tensor]:
        decoder, model = self.model.decoder, self.model
        memory = decoder.look(mask_features, levels, keep=False)
        batch = len(mask_features)
        x = decoder.query_feat.weight.expand(batch, -1, -1)
        position = decoder.query_embed.weight.expand(batch, -1, -1)
        heads = decoder.config.heads
        free = torch.zeros(batch * heads, x.shape[1], x.shape[1], dtype=torch.bool, device=x.device)

        def read(x: Tensor) -> tuple[Tensor, Tensor]:
            normed = decoder.decoder_norm(x)
            logits = model.language.class_logits(normed @ decoder.class_embed, categories)
            return logits, torch.einsum("bqd,bdhw->bqhw", decoder.mask_embed(normed), mask_features)

        logits, masks = read(x)
        for number in range(decoder.config.layers):
            level = memory.levels[number % len(memory.levels)]
            small = F.interpolate(masks, size=level.size, mode="bilinear", align_corners=False)
            blocked = (
                small.sigmoid().flatten(2)[:, None].repeat(1, heads, 1, 1).flatten(0, 1) < 0.5
            ).detach()
            blocked[torch.where(blocked.sum(-1) == blocked.shape[-1])] = False
            looking = cast(CrossAttentionLayer, decoder.transformer_cross_attention_layers[number])
            keys = level.content + level.position
            x = looking.norm(x + attend(looking.multihead_attn, x + position, keys, level.content, blocked))
            talking = cast(SelfAttentionLayer, decoder.transformer_self_attention_layers[number])
            x = talking.norm(x + attend(talking.self_attn, x + position, x + position, x, free))
            x = decoder.transformer_ffn_layers[number](x)
            logits, masks = read(x)
        return logits, masks
