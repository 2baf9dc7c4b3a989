"""How much memory a training step will take, told before it is taken.

A forward pass on the meta device, which has shapes but no numbers, says how many bytes autograd keeps for the
backward pass; weights, gradients and the optimizer's moments are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seem_train.config import Config
from seem_train.model.footprint import weight_bytes, without_numbers
from seem_train.model.seem import SEEM
from seem_train.runtime import Runtime

#: what a step holds beyond counted tensors (prompts, losses, workspaces, fragmentation), as a factor;
#: see tests/train/test_memory.py for how far it is from the truth
SLACK = 1.25
PIXELS_AT_ONCE = 4 * 512 * 512  #: on the CPU, where larger batches only take memory


def micro_batch(model: SEEM, config: Config, runtime: Runtime) -> int:
    """Images at once on a device; ``auto``: the largest divisor of the device's share that should fit."""
    if config.run.batch != "auto":
        return config.run.batch
    share = config.run.global_batch // runtime.world
    divisors = [n for n in range(1, share + 1) if share % n == 0]
    if runtime.device.type != "cuda":
        return max(n for n in divisors if n == 1 or n * config.data.size**2 <= PIXELS_AT_ONCE)
    free, _ = torch.cuda.mem_get_info(runtime.device)
    free += weight_bytes(model)  # they are there already, and the estimate counts them, too
    return largest_batch(model, divisors, config.data.size, runtime.precision, free)


def largest_batch(model: SEEM, choices: Sequence[int], size: int, precision: str, free: int) -> int:
    """The largest choice whose estimate leaves a fifth of the free bytes; the smallest if none does."""
    one, two = (estimate(model, n, size, precision) for n in (1, 2))  # activations grow in proportion
    fitting = [n for n in choices if one + (two - one) * (n - 1) <= 0.8 * free]
    return max(fitting, default=min(choices))


def estimate(model: SEEM, batch: int, size: int, precision: str = "fp32") -> int:
    """Bytes of the peak of a training step with `batch` images of `size` × `size` pixels."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    kept = kept_activations(model, batch, size)
    if precision != "fp32":
        kept = kept * 5 // 8  # most, but not norms and softmaxes, are kept in 16 bit
    return round(weight_bytes(model) + 12 * trained + SLACK * kept)


def kept_activations(model: SEEM, batch: int, size: int) -> int:
    """Bytes that autograd saves in the forward pass of the object queries, in fp32."""
    twin = without_numbers(model)
    seen: set[int] = {t.untyped_storage()._cdata for t in twin.parameters()}
    alive: list[Tensor] = []  # while a tensor lives no other has its storage's address
    total = 0

    def keep(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            alive.append(tensor)
            total += storage.nbytes()
        return tensor

    images = torch.zeros(batch, 3, size, size, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = twin.encode_image(images)
        answer = twin.decode(features, every_layer=True)
        outputs = [layer.objects.masks for layer in answer.layers]
    return total + sum(masks.numel() * masks.element_size() for masks in outputs)
