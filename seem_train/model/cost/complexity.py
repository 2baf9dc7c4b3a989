"""How large a model is and how much it computes, from its configuration alone: nothing is allocated."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from seem_train.model.config import SEEMConfig
from seem_train.model.seem import SEEM

#: part of the model → where it stands in `SEEM`
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


def measure_gflops(config: SEEMConfig, size: int = 512) -> float:
    """1e9 operations (a multiplication and an addition are two) to encode and decode one size × size image.

    Counted on the meta device by torch: matrix products, convolutions and attention. The image is padded as
    the model pads it; there are no prompts and no category names.
    """
    with torch.device("meta"):
        model = SEEM(config).eval()
        image = torch.zeros(1, 3, size, size, dtype=torch.uint8)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.decode(model.encode_image(image))
    return counter.get_total_flops() / 1e9
