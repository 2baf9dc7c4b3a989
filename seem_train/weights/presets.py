"""The released models by name, and `tiny` for machines without a GPU.

A preset is a configuration; its weights come from `checkpoints.py`. v1 and v0 have the same tensors and
differ in what an interactive object gets: in v1 three drawn object queries, for any number of objects; in v0
a copy of all object queries, for the one object it allows. `focal-l-v0` and `focal-t-v0` say so by
`queries_per_prompt`. Sizes: the original's configuration files (`model/ORIGINAL.md`, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from seem_data.common.wording import closest
from seem_train.errors import UserError
from seem_train.model.config import (
    DaViTConfig,
    DecoderConfig,
    FocalConfig,
    FocalDWConfig,
    LanguageConfig,
    PixelDecoderConfig,
    PostprocessConfig,
    SEEMConfig,
    TimmConfig,
)
from seem_train.weights.original_config import DEFORMABLE_FFN, VIT_SIZES


@dataclass(frozen=True)
class Preset:
    """A named configuration.

    `gflops`: 1e9 floating-point operations (a multiplication and an addition are two) to encode and decode a
    512 × 512 image without prompts, as torch counts them (`tests/train/test_presets.py`). The samvit presets
    pad it to 1024 × 1024.
    """

    name: str
    description: str
    config: SEEMConfig
    gflops: float


_DEFORMABLE = PixelDecoderConfig(kind="deformable", ffn_dim=DEFORMABLE_FFN)
_FOCAL_L = SEEMConfig()
_FOCAL_T = SEEMConfig(trunk=FocalDWConfig())
_V0 = DecoderConfig(queries_per_prompt=DecoderConfig.queries)

#: Learns synthetic scenes from scratch on two CPU cores: 3.4 M parameters besides the token embedding.
_TINY = SEEMConfig(
    trunk=FocalConfig(
        embed_dim=32,
        depths=(1, 1, 2, 1),
        focal_levels=(3, 2, 2, 2),
        focal_windows=(3, 3, 3, 3),
        drop_path_rate=0.0,
    ),
    pixel_decoder=PixelDecoderConfig(conv_dim=128, mask_dim=128, encoder_layers=1, heads=4, ffn_dim=256),
    language=LanguageConfig(width=64, layers=2, heads=2, projection=128),
    decoder=DecoderConfig(dim=128, heads=4, ffn_dim=256, layers=3, queries=40, memories=8),
    # What has learned for minutes is less sure of itself than what has learned for weeks.
    postprocess=PostprocessConfig(object_threshold=0.4, overlap_threshold=0.6),
)

#: For the pretraining of examples/world, and to be tuned on a CPU: 4.9 M parameters besides the token
#: embedding, 20 MB in all at 16 bit.
_SEEM_TINY = replace(
    _TINY,
    trunk=TimmConfig(),
    language=LanguageConfig(width=96, layers=3, heads=4, projection=128),
    decoder=replace(_TINY.decoder, max_points=(64, 64, 64, 64)),
    pixel_mean=(127.5, 127.5, 127.5),
    pixel_std=(127.5, 127.5, 127.5),
)

PRESETS = {
    preset.name: preset
    for preset in (
        Preset("focal-l", "FocalNet-L, v1: any number of interactive objects", _FOCAL_L, 602.4),
        Preset("focal-t", "FocalNet-T with extra depthwise convolutions, v1", _FOCAL_T, 275.7),
        Preset("davit-d3", "DaViT-d3, v1", SEEMConfig(trunk=DaViTConfig()), 395.0),
        Preset(
            "davit-d5",
            "DaViT-d5, v1",
            SEEMConfig(
                trunk=DaViTConfig(
                    dims=(256, 512, 1024, 2048),
                    heads=(8, 16, 32, 64),
                    groups=(8, 16, 32, 64),
                    down_kernel=3,
                )
            ),
            910.6,
        ),
        Preset(
            "samvit-b",
            "SAM's ViT-B with a deformable pixel decoder, v1; made for 1024 × 1024 pixels",
            SEEMConfig(trunk=VIT_SIZES["base"], pixel_decoder=_DEFORMABLE, size_divisor=1024),
            1924.2,
        ),
        Preset(
            "samvit-l",
            "SAM's ViT-L with a deformable pixel decoder, v1; made for 1024 × 1024 pixels",
            SEEMConfig(trunk=VIT_SIZES["large"], pixel_decoder=_DEFORMABLE, size_divisor=1024),
            3971.6,
        ),
        Preset("focal-l-v0", "FocalNet-L, v0: one interactive object", replace(_FOCAL_L, decoder=_V0), 602.4),
        Preset("focal-t-v0", "FocalNet-T, v0: one interactive object", replace(_FOCAL_T, decoder=_V0), 275.7),
        Preset("tiny", "for CPU, tests and examples; no official weights", _TINY, 15.1),
        Preset("seem-tiny", "on EfficientNet-Lite0, for CPU; pretrained by examples/world", _SEEM_TINY, 16.1),
    )
}


def with_trunk(preset: Preset, trunk: str) -> Preset:
    """The preset with one of timm's backbones in place of its own trunk, under the name ``preset+trunk``.

    Its operations are not counted (`gflops` is 0). Raises UserError where timm has no backbone of that name.
    """
    from seem_train.model.trunks.timm import check_name, pixel_statistics  # late: it costs torch

    check_name(trunk)
    mean, std = pixel_statistics(trunk)
    config = replace(preset.config, trunk=TimmConfig(trunk), pixel_mean=mean, pixel_std=std, size_divisor=32)
    return Preset(f"{preset.name}+{trunk}", f"{preset.name} on timm's {trunk}", config, 0.0)


def get_preset(name: str) -> Preset:
    """The preset of that name; a UserError lists them all and suggests the nearest.

    ``tiny+convnext_tiny`` is a preset on another trunk, any of timm's: see `with_trunk`.
    """
    if name in PRESETS:
        return PRESETS[name]
    own, plus, trunk = name.partition("+")
    if plus and own in PRESETS:
        return with_trunk(PRESETS[own], trunk)
    near = closest(name.replace("_", "-"), PRESETS)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise UserError(f"there is no model named {name!r}{hint} There are {', '.join(PRESETS)}")
