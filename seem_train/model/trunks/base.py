"""What every trunk offers: an image in, four feature levels out (`res2` … `res5`, strides 4, 8, 16, 32)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class Trunk(nn.Module):
    """What every trunk offers beside ``forward(x: Tensor) -> dict[str, Tensor]``."""

    out_channels: dict[str, int]  #: channels of res2 … res5

    def set_checkpointing(self, enabled: bool) -> None:
        """Recompute activations in the backward pass, block by block, to save memory."""
        raise NotImplementedError

    def to_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The trunk's state dict under the names, and in the shapes, of the released checkpoints."""
        raise NotImplementedError

    def from_official(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The way back."""
        raise NotImplementedError
