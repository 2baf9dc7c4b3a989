# ruff: noqa: SIM905
"""A GPU where there is none: tensors of the host in a shell that says ``cuda:0``.

Torch's machinery above the kernels runs as on a GPU: modules move, autograd records, precision is chosen.
The kernels are the host's. What only a GPU would mind is minded: operations on tensors of both sides raise,
waits for the device are noted. What it cannot tell is speed, memory, and what CUDA's kernels lack.

Needs a process of its own, since `pretend` replaces parts of torch for good::

    python tests/train/pretended_gpu.py run dataset --device cuda …    as seem-train, toy models as well
"""

from __future__ import annotations

import json
import sys
import traceback
from collections import Counter
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import torch
import torch._dynamo  # before `pretend`: it looks at what is replaced
from torch import Tensor
from torch.autograd.graph import _engine_run_backward
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

GPU, HOST = torch.device("cuda", 0), torch.device("cpu")
aten = torch.ops.aten
#: between the devices, by their nature
COPIES = {aten._to_copy.default, aten.copy_.default}
#: tables on a GPU may be read with indices of the host
INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
#: the length of the result is known to the GPU alone
UNKNOWN_LENGTH = {aten.nonzero.default, aten.masked_select.default, aten._unique2.default}
#: autocast's rules for CUDA, https://docs.pytorch.org/docs/stable/amp.html#autocast-op-reference
LOWER = """__matmul__ __rmatmul__ addbmm addmm addmv addr baddbmm bmm conv1d conv2d conv3d conv_transpose2d
    einsum linear matmul mm mv prelu scaled_dot_product_attention""".split()
FULL = """__pow__ __rdiv__ __rpow__ __rtruediv__ binary_cross_entropy_with_logits cdist cosine_similarity
    cross_entropy cumprod cumsum dist exp group_norm kl_div l1_loss layer_norm log log10 log1p log2
    log_softmax mse_loss nll_loss norm normalize pow prod reciprocal rsqrt smooth_l1_loss softmax softplus
    sum""".split()
WIDEST = "addcdiv addcmul bilinear cross dot grid_sample index_put scatter_add tensordot".split()

waits: Counter[str] = Counter()  #: by what waited and where


class OnGpu(Tensor):
    """`held`, a tensor of the host, as a tensor of the GPU.

    For C++ it is a meta tensor with the GPU's dispatch keys. It shares storage with whom `held` shares it,
    since autograd adds in place where it believes a tensor to be alone.
    """

    held: Tensor
    shell: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor, base: OnGpu | None = None) -> OnGpu:
        with _disable_current_modes():
            size = held.untyped_storage().nbytes() // held.itemsize
            own = torch.empty(size, dtype=held.dtype, device="meta") if base is None else base.shell
            shell = torch.empty(0, dtype=held.dtype, device="meta")
            shell.set_(own.untyped_storage(), held.storage_offset(), held.shape, held.stride())
            made = Tensor._make_subclass(cls, shell, False, dispatch_device=True, device_for_backend_keys=GPU)
        made.held, made.shell = held, shell
        return made

    def __init__(self, *_: object) -> None: ...

    @classmethod
    def __torch_dispatch__(cls, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})

    device = property(lambda _: GPU)  # type: ignore[assignment]
    is_cuda = property(lambda _: True)  # type: ignore[assignment]
    is_cpu = is_meta = property(lambda _: False)  # type: ignore[assignment]

    def __repr__(self, **_: object) -> str:
        return f"OnGpu({self.held!r})"

    def __reduce_ex__(self, proto: Any) -> Any:
        return self.held.__reduce_ex__(proto)  # saved as what it is; whoever loads it moves it

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_lists_on_gpu(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_lists_on_gpu(index), value)

    def tolist(self) -> Any:
        note("tolist")
        return self.held.detach().tolist()

    def numpy(self, **_: object) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


def _lists_on_gpu(index: Any) -> Any:
    """Lists of indices as tensors; torch would make them in C++, on a device it does not have."""
    if isinstance(index, tuple):
        return tuple(map(_lists_on_gpu, index))
    return torch.tensor(index).to(GPU) if isinstance(index, list) else index


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation of either device, or between them."""
    if func is torch.ops.prim.device.default:
        return torch.device("meta")  # what C++ takes it for
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    mine = [t for t in tensors if isinstance(t, OnGpu)]
    asked = torch.device(kwargs["device"]) if kwargs.get("device") is not None else None
    to_gpu = bool(mine) if asked is None else asked.type != "cpu"
    if func is aten.copy_.default:
        to_gpu = isinstance(args[0], OnGpu)
    if func not in COPIES:
        refuse_both_sides(func, args, tensors)
    note_waits(func, args, kwargs, bool(mine), to_gpu)
    if asked is not None:
        kwargs = {**kwargs, "device": HOST}
    args, kwargs = tree_map(_inside, args), tree_map(_inside, kwargs)
    result = func(*args, **kwargs)
    if not to_gpu:
        return result
    return tree_map(lambda x: _outside(x, mine) if isinstance(x, Tensor) else x, result)


def _inside(value: Any) -> Any:
    return value.held if isinstance(value, OnGpu) else value


def _outside(result: Tensor, among: list[OnGpu]) -> OnGpu:
    storage = result.untyped_storage()._cdata
    for one in among:
        if one.held is result:
            return one
    shared = [one for one in among if one.held.untyped_storage()._cdata == storage]
    return OnGpu(result, shared[0] if shared else None)


def refuse_both_sides(func: Any, args: Any, tensors: list[Tensor]) -> None:
    if func in INDEXED and isinstance(args[0], OnGpu):
        tensors = [t for t in (args[0], *args[2:]) if isinstance(t, Tensor)]
    sides = {isinstance(t, OnGpu) for t in tensors if t.dim() or isinstance(t, OnGpu)}
    if len(sides) == 2:
        found = ", ".join(f"{tuple(t.shape)} on {t.device}" for t in tensors)
        raise RuntimeError(f"Expected all tensors to be on the same device: {func} of {found}")


def note_waits(func: Any, args: Any, kwargs: dict[str, Any], on_gpu: bool, to_gpu: bool) -> None:
    if on_gpu and (func in UNKNOWN_LENGTH or func is aten._local_scalar_dense.default):
        note(str(func))
    elif func is aten._to_copy.default and on_gpu and not to_gpu:
        note("to host")
    elif func is aten._to_copy.default and to_gpu and not on_gpu and not kwargs.get("non_blocking"):
        note("to GPU, blocking")
    elif func in INDEXED and on_gpu:
        indices = [t for t in args[1] if t is not None]
        if any(t.dtype == torch.bool for t in indices):
            note("boolean index")
        elif not all(isinstance(t, OnGpu) for t in indices):
            note("index of the host")


def note(what: str) -> None:
    """At the innermost line of the package."""
    ours = [f for f in traceback.extract_stack() if "/seem_train/" in f.filename]
    file, line = (ours[-1].filename.rpartition("/seem_train/")[2], ours[-1].lineno) if ours else ("?", 0)
    waits[f"{what} {file}:{line}"] += 1


class _Dispatch(TorchDispatchMode):
    """Catches what makes tensors from nothing."""

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


class _Autocast(TorchFunctionMode):
    """CUDA's autocast by its published lists, for torch's own passes over what it takes for meta tensors."""

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.Tensor.backward:  # with this mode on, for what is computed again
            with self:
                one = torch.ones_like(args[0])
                return _engine_run_backward((args[0],), (one,), False, False, (), True, accumulate_grad=True)
        name = getattr(func, "__name__", "")
        if torch.is_autocast_enabled("cuda") and name in (*LOWER, *FULL, *WIDEST):
            low = torch.get_autocast_dtype("cuda")
            floats = {t.dtype for t in tree_leaves((args, kwargs)) if _castable(t)}
            wide = name in FULL or (name in WIDEST and torch.float32 in floats)

            def cast(value: Any) -> Any:
                return value.to(torch.float32 if wide else low) if _castable(value) else value

            args, kwargs = tree_map(cast, args), tree_map(cast, kwargs)
        return func(*args, **kwargs)


def _castable(value: Any) -> bool:
    return isinstance(value, OnGpu) and value.is_floating_point() and value.dtype != torch.float64


def pretend() -> ExitStack:
    """From here on there is a GPU of 80 GB."""
    total = 80 << 30
    cuda: dict[str, Any] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda *_: None,
        "synchronize": lambda *_: None,
        "max_memory_allocated": lambda *_: 0,
        "mem_get_info": lambda *_: (total, total),
        "get_device_name": lambda *_: "a pretended GPU",
        "get_device_properties": lambda *_: SimpleNamespace(total_memory=total),
        "is_bf16_supported": lambda **_: True,
    }
    for name, replacement in cuda.items():
        setattr(torch.cuda, name, replacement)
    torch.cuda.amp.common.amp_definitely_not_available = lambda: False  # type: ignore[attr-defined]
    optimizer: Any = torch.optim.Optimizer
    optimizer._accelerator_graph_capture_health_check = lambda *_: None
    tensor: Any = Tensor
    tensor.pin_memory, tensor.is_pinned = (lambda self, *_: self), (lambda *_: True)
    anything: Any = torch
    compatible = anything._has_compatible_shallow_copy_type

    def same_kind(ours: Tensor, theirs: Tensor) -> bool:
        return isinstance(ours, OnGpu) == isinstance(theirs, OnGpu) and compatible(ours, theirs)

    anything._has_compatible_shallow_copy_type = same_kind  # modules take new parameters when they move
    for name in ("tensor", "as_tensor"):  # they look for the device in C++
        setattr(torch, name, _maker(getattr(torch, name)))
    stack = ExitStack()
    stack.enter_context(_Dispatch())
    stack.enter_context(_Autocast())
    return stack


def _maker(real: Any) -> Any:
    def make(data: Any, *args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        made = data if isinstance(data, OnGpu) else real(data, *args, **kwargs)
        return made if device is None else made.to(device)

    return make


if __name__ == "__main__":
    import toy

    from seem_train.cli.app import app

    toy.register_micro()
    with pretend():
        try:
            app(sys.argv[1:])
        finally:
            print(json.dumps(waits))
