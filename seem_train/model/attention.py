"""Attention with the parameter names of ``nn.MultiheadAttention``, and who may attend to whom.

Tokens of the decoder come in typed groups (`Group`). Two tables, one for each mode of the decoder, say
which kind of token may attend to which; `may_attend` turns a list of groups into one boolean mask.

v1 — every prompt has queries of its own; object queries see no prompt (rows attend to columns)::

                        objects  grounding  spatial  text   stroke  memories
    object queries      all      ·          ·        ·      ·       ·
    grounding queries   ·        all        ·        all    ·       ·
    spatial queries     ·        ·          own      ·      own     own
    text tokens         ·        all        ·        all    ·       ·
    stroke tokens       ·        ·          ·        ·      own     ·
    memories            ·        ·          ·        ·      ·       own

demo — the object queries see all prompts and answer them (reference tokens: strokes on another image)::

                        objects  text   stroke  reference
    object queries      all      all    all     all
    text tokens         all      all    ·       ·
    stroke tokens       ·        ·      all     ·
    reference tokens    ·        ·      ·       all

"own" means: of the same interactive object. Padding (`Group.real` false) neither attends nor is attended to
under "all"; padded stroke tokens belong to object −1, which no query has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Kind(Enum):
    """What a group of tokens is; the value is the original's name for it."""

    OBJECT = "queries_object"
    GROUNDING = "queries_grounding"
    SPATIAL = "queries_spatial"
    TEXT = "tokens_grounding"
    STROKE = "tokens_spatial"
    REFERENCE = "tokens_visual"
    MEMORY = "memories_spatial"


@dataclass(frozen=True)
class Group:
    """N tokens of one kind for each of B images."""

    kind: Kind
    content: Tensor  #: [B, N, D]
    position: Tensor  #: [B, N, D] added to queries and keys
    owner: Tensor | None = None  #: [B, N] index of the interactive object, −1 for padding
    real: Tensor | None = None  #: [B, N] false for padding; None: all are real


Mode = Literal["v1", "demo"]
TABLES: dict[Mode, dict[Kind, tuple[Kind, ...]]] = {
    "v1": {
        Kind.OBJECT: (Kind.OBJECT,),
        Kind.GROUNDING: (Kind.GROUNDING, Kind.TEXT),
        Kind.SPATIAL: (Kind.SPATIAL, Kind.STROKE, Kind.MEMORY),
        Kind.TEXT: (Kind.GROUNDING, Kind.TEXT),
        Kind.STROKE: (Kind.STROKE,),
        Kind.MEMORY: (Kind.MEMORY,),
    },
    "demo": {
        Kind.OBJECT: (Kind.OBJECT, Kind.TEXT, Kind.STROKE, Kind.REFERENCE),
        Kind.TEXT: (Kind.OBJECT, Kind.TEXT),
        Kind.STROKE: (Kind.STROKE,),
        Kind.REFERENCE: (Kind.REFERENCE,),
    },
}
OWN = (Kind.SPATIAL, Kind.STROKE, Kind.MEMORY)  #: rows of v1 that attend to their own object's alone
QUERIES = (Kind.OBJECT, Kind.GROUNDING, Kind.SPATIAL)  #: kinds that answer
CROSS_ATTENDING = (*QUERIES, Kind.MEMORY)  #: kinds that look at the image


def may_attend(groups: Sequence[Group], mode: Mode) -> Tensor:
    """[B, N, N] boolean over the concatenation of the groups: row attends to column."""
    first, spans = 0, {}
    for group in groups:
        spans[group.kind] = group, slice(first, first + group.content.shape[1])
        first += group.content.shape[1]
    content = groups[0].content
    allowed = torch.zeros(content.shape[0], first, first, dtype=torch.bool, device=content.device)
    for kind, (query, rows) in spans.items():
        for key, columns in (spans[seen] for seen in TABLES[mode][kind] if seen in spans):
            allowed[:, rows, columns] = _block(query, key, mode == "v1" and kind in OWN)
    return allowed


def _block(query: Group, key: Group, own: bool) -> Tensor | bool:
    """Whether rows attend to columns, in a shape that expands to [B, rows, columns]."""
    if own:
        assert query.owner is not None and key.owner is not None, "spatial groups name their objects"
        return query.owner[:, :, None] == key.owner[:, None, :]
    if query.real is None:
        return True if key.real is None else key.real[:, None, :]
    return query.real[:, :, None] if key.real is None else query.real[:, :, None] & key.real[:, None, :]


class Attention(nn.Module):
    """Multi-head attention through ``scaled_dot_product_attention``; one mask serves all heads."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def _project(self, x: Tensor, part: int) -> Tensor:
        weight = self.in_proj_weight.chunk(3)[part]
        projected = F.linear(x, weight, self.in_proj_bias.chunk(3)[part])
        return projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S, D] each to [B, heads, S, D/heads] each; may be kept for several calls of `attend`."""
        return self._project(keys, 1), self._project(values, 2)

    def attend(
        self, queries: Tensor, keys_values: tuple[Tensor, Tensor], allowed: Tensor | None = None
    ) -> Tensor:
        """Queries [B, N, D], `allowed` [B, N, S] boolean; a row that may attend to nothing mixes to zero."""
        keys, values = keys_values
        nothing = None
        if allowed is not None:
            # Opened before the softmax and zeroed after it, since a softmax over nothing is not a number.
            nothing = ~allowed.any(-1, keepdim=True)
            allowed = (allowed | nothing)[:, None]
        mixed = F.scaled_dot_product_attention(self._project(queries, 0), keys, values, attn_mask=allowed)
        mixed = mixed.transpose(1, 2).flatten(2)
        if nothing is not None:
            mixed = mixed.masked_fill(nothing, 0.0)
        return self.out_proj(mixed)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor | None = None) -> Tensor:
        return self.attend(queries, self.keys_values(keys, values), allowed)
