"""What every trunk offers: an image in, four feature levels out (`res2` … `res5`, strides 4, 8, 16, 32)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Trunk(nn.Module):
    """What every trunk offers beside ``forward(x: Tensor) -> dict[str, Tensor]``."""

    out_channels: dict[str, int]  #: channels of res2 … res5
    checkpointing = False  #: compute activations again in the backward pass, block by block, to save memory

    def run(self, x: Tensor, *blocks: nn.Module) -> Tensor:
        """`x` through one block after the other; with `checkpointing` only what each is given waits for the
        backward pass."""
        for block in blocks:
            if self.checkpointing and torch.is_grad_enabled():
                x = cast(Tensor, checkpoint(block, x, use_reentrant=False))
            else:
                x = block(x)
        return x

    def to_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The trunk's state dict under the names, and in the shapes, of the released checkpoints.

        Views of the given tensors: what is copied into them is in the trunk.
        """
        return dict(state)
