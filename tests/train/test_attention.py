"""Who attends to whom, and attention with one mask for all heads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seem_train.model.attention import Attention, Group, Kind, may_attend


def group(kind: Kind, count: int, owner: list[int] | None = None, real: list[bool] | None = None) -> Group:
    tokens = torch.zeros(1, count, 4)
    return Group(
        kind,
        tokens,
        tokens,
        owner=None if owner is None else torch.tensor([owner]),
        real=None if real is None else torch.tensor([real]),
    )


def drawn(allowed: Tensor) -> list[str]:
    return ["".join("x" if a else "." for a in row) for row in allowed[0].tolist()]


def test_v1_keeps_every_prompt_with_its_own_queries() -> None:
    groups = [
        group(Kind.OBJECT, 2),
        group(Kind.GROUNDING, 2),
        group(Kind.SPATIAL, 3, owner=[0, 0, 1]),
        group(Kind.TEXT, 3, real=[True, True, False]),
        group(Kind.STROKE, 4, owner=[0, 1, 1, -1]),
        group(Kind.MEMORY, 2, owner=[0, 1]),
    ]
    assert drawn(may_attend(groups, "v1")) == [
        "xx" ".." "..." "..." "...." "..",  # objects see objects
        "xx" ".." "..." "..." "...." "..",
        ".." "xx" "..." "xx." "...." "..",  # grounding queries see texts, not their padding
        ".." "xx" "..." "xx." "...." "..",
        ".." ".." "xx." "..." "x..." "x.",  # a spatial query sees what is of its own object
        ".." ".." "xx." "..." "x..." "x.",
        ".." ".." "..x" "..." ".xx." ".x",
        ".." "xx" "..." "xx." "...." "..",  # texts see grounding queries
        ".." "xx" "..." "xx." "...." "..",
        ".." ".." "..." "..." "...." "..",  # padding sees nothing
        ".." ".." "..." "..." "x..." "..",  # strokes see strokes of the same object
        ".." ".." "..." "..." ".xx." "..",
        ".." ".." "..." "..." ".xx." "..",
        ".." ".." "..." "..." "...x" "..",  # padded strokes: one another, as in the original
        ".." ".." "..." "..." "...." "x.",
        ".." ".." "..." "..." "...." ".x",
    ]  # fmt: skip


def test_demo_lets_object_queries_see_all_prompts() -> None:
    groups = [
        group(Kind.OBJECT, 1),
        group(Kind.TEXT, 1),
        group(Kind.STROKE, 2, owner=[0, -1], real=[True, False]),
        group(Kind.REFERENCE, 1, owner=[0], real=[True]),
    ]
    assert drawn(may_attend(groups, "demo")) == ["xxx.x", "xx...", "..x..", ".....", "....x"]


@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_torchs_with_the_same_weights(masked: bool) -> None:
    torch.manual_seed(0)
    ours, theirs = Attention(8, 2), nn.MultiheadAttention(8, 2, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    queries, keys = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    allowed = torch.rand(2, 3, 5) > 0.5 if masked else None
    if allowed is not None:
        allowed[..., 0] = True
    blocked = None if allowed is None else ~allowed.repeat_interleave(2, dim=0)
    wanted, _ = theirs(queries, keys, keys, attn_mask=blocked)
    torch.testing.assert_close(ours(queries, keys, keys, allowed), wanted)


def test_a_row_that_may_attend_to_nothing_gives_the_output_bias_and_sound_gradients() -> None:
    attention = Attention(8, 2)
    nn.init.normal_(attention.out_proj.bias)
    x = torch.randn(1, 3, 8, requires_grad=True)
    allowed = torch.ones(1, 3, 3, dtype=torch.bool)
    allowed[0, 1] = False
    out = attention(x, x, x, allowed)
    torch.testing.assert_close(out[0, 1], attention.out_proj.bias)
    out.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
