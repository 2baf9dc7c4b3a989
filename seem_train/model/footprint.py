"""How large a model is, and how many bytes its work takes: told on the meta device, which has shapes but no
numbers."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from seem_train.model.config import SEEMConfig
from seem_train.model.seem import SEEM

#: part of the model ─▶ where it stands in `SEEM`
PARTS = {
    "backbone": "backbone",
    "pixel decoder": "pixel_decoder",
    "decoder": "decoder",
    "text encoder": "language",
}


def count_parameters(config: SEEMConfig) -> dict[str, int]:
    """Parameters of each part, and of the whole under "total"."""
    with torch.device("meta"):
        model = SEEM(config)
    counts = {
        part: sum(p.numel() for p in getattr(model, place).parameters()) for part, place in PARTS.items()
    }
    return {**counts, "total": sum(p.numel() for p in model.parameters())}


def weight_bytes(model: SEEM) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())


def without_numbers(model: SEEM) -> SEEM:
    """A copy on the meta device; the weights are never held twice."""
    shells: dict[int, object] = {id(b): torch.empty_like(b, device="meta") for b in model.buffers()}
    for parameter in model.parameters():
        shell = torch.empty_like(parameter, device="meta")
        shells[id(parameter)] = nn.Parameter(shell, requires_grad=parameter.requires_grad)
    return copy.deepcopy(model, shells)


def peak_bytes(work: Callable[[], object]) -> int:
    """The most bytes that tensors made by `work` hold at one time; `work` runs without gradients."""
    with torch.no_grad(), _Living() as living:
        work()
    return living.peak


class _Living(TorchDispatchMode):
    """Counts the storages that operations make, until nothing refers to them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:
            return
        self._known.add(key)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
