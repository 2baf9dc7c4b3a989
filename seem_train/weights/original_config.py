"""The original's configuration (its `config.json` or YAML) → our `SEEMConfig`.

Only what shapes the network is read; paths, data sets and solver settings are someone else's. Keys are
written as in the original, joined by dots: `MODEL.DECODER.HIDDEN_DIM`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from seem_data.common.bounded_yaml import load_yaml
from seem_train.errors import UserError
from seem_train.model.config import (
    DaViTConfig,
    DecoderConfig,
    FocalConfig,
    FocalDWConfig,
    LanguageConfig,
    PixelDecoderConfig,
    PostprocessConfig,
    SamViTConfig,
    SEEMConfig,
    TrunkConfig,
)

#: hidden width of the deformable encoder's feed-forward layers: a constant in the original's code
DEFORMABLE_FFN = 1024

_PIXEL_DECODERS = {"transformer_encoder_fpn": "fpn", "transformer_encoder_deform": "deformable"}

#: what VIT.SIZE means in the original's code
VIT_SIZES = {
    "base": SamViTConfig(),
    "large": SamViTConfig(embed_dim=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "huge": SamViTConfig(embed_dim=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
}

_MISSING = object()


def read_config(path: Path) -> SEEMConfig:
    """Read a configuration file of the original, JSON or YAML.

    Raises UserError where the file is unreadable, lacks keys (all of them named), or describes a network
    that is not among the original's released families.
    """
    text = path.read_text(encoding="utf-8")
    try:
        config = json.loads(text) if path.suffix == ".json" else load_yaml(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid {path.suffix.lstrip('.').upper()}: {error}") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: a configuration is a mapping of keys, this holds a {type(config).__name__}")
    return from_original(config, str(path))


def from_original(config: Mapping[str, object], source: str = "config") -> SEEMConfig:
    """Translate the original's configuration; `source` names it in error messages."""
    keys = _Keys(config, source)
    name = keys.get("MODEL.DECODER.NAME")
    queries = keys.get("MODEL.DECODER.NUM_OBJECT_QUERIES")
    encoder, trunk = keys.get("MODEL.ENCODER"), keys.get("MODEL.BACKBONE")
    heads, ffn_dim = keys.get("MODEL.DECODER.NHEADS"), keys.get("MODEL.DECODER.DIM_FEEDFORWARD")
    detections = keys.get("TEST.DETECTIONS_PER_IMAGE", None)
    model = SEEMConfig(
        language=LanguageConfig(
            width=keys.get("MODEL.TEXT.WIDTH"),
            layers=keys.get("MODEL.TEXT.LAYERS"),
            heads=keys.get("MODEL.TEXT.HEADS"),
            context_length=keys.get("MODEL.TEXT.CONTEXT_LENGTH"),
            projection=keys.get("MODEL.DIM_PROJ"),
        ),
        decoder=DecoderConfig(
            mode="demo" if name == "seem_demo" else "v1",
            dim=keys.get("MODEL.DECODER.HIDDEN_DIM"),
            heads=heads,
            ffn_dim=ffn_dim,
            layers=(keys.get("MODEL.DECODER.DEC_LAYERS") or 1) - 1,  # the original counts the learned queries
            queries=queries,
            max_points=keys.get("MODEL.DECODER.MAX_SPATIAL_LEN"),
            memories=keys.get("ATTENTION_ARCH.SPATIAL_MEMORIES"),
            # v0 gives its one interactive object a copy of every object query
            queries_per_prompt=queries if name == "seem_v0" else keys.get("ATTENTION_ARCH.QUERY_NUMBER", 3),
        ),
        postprocess=PostprocessConfig(
            object_threshold=keys.get("MODEL.DECODER.TEST.OBJECT_MASK_THRESHOLD", 0.8),
            overlap_threshold=keys.get("MODEL.DECODER.TEST.OVERLAP_THRESHOLD", 0.8),
            top_instances=detections or keys.get("MODEL.DECODER.TEST.DETECTIONS_PER_IMAGE", 100),
            max_clicks=keys.get("STROKE_SAMPLER.EVAL.MAX_ITER", 20),
            click_dilation=keys.get("STROKE_SAMPLER.DILATION", 3),
        ),
        pixel_mean=keys.get("INPUT.PIXEL_MEAN"),
        pixel_std=keys.get("INPUT.PIXEL_STD"),
        size_divisor=keys.get("MODEL.DECODER.SIZE_DIVISIBILITY", 32),
    )
    keys.finish()
    if name not in ("seem_v0", "seem_v1", "seem_demo"):
        raise UserError(f"{source}: MODEL.DECODER.NAME is {name!r}; known are seem_v0, seem_v1 and seem_demo")
    return replace(
        model,
        trunk=trunk_config(trunk, f"{source}: MODEL.BACKBONE"),
        pixel_decoder=pixel_decoder_config(encoder, heads, ffn_dim, f"{source}: MODEL.ENCODER"),
    )


def trunk_config(section: Mapping[str, object], source: str) -> TrunkConfig:
    """`MODEL.BACKBONE` → the trunk's configuration. NAME says which: focal, focal_dw, davit or vit."""
    keys = _Keys(section, source)
    name = keys.get("NAME")
    keys.finish()
    if name in ("focal", "focal_dw"):
        return _focal(section, source, extra_convolutions=name == "focal_dw")
    if name == "davit":
        return _davit(section, source)
    if name == "vit":
        return _vit(section, source)
    raise UserError(f"{source}.NAME is {name!r}; known are focal, focal_dw, davit and vit")


def pixel_decoder_config(
    section: Mapping[str, object], heads: int, ffn_dim: int, source: str
) -> PixelDecoderConfig:
    """`MODEL.ENCODER`, with the decoder's NHEADS and DIM_FEEDFORWARD, → the pixel decoder's configuration."""
    keys = _Keys(section, source)
    name, norm, stride = keys.get("NAME"), keys.get("NORM"), keys.get("COMMON_STRIDE")
    conv_dim, mask_dim = keys.get("CONVS_DIM"), keys.get("MASK_DIM")
    layers = keys.get("TRANSFORMER_ENC_LAYERS")
    keys.finish()
    if name not in _PIXEL_DECODERS:
        raise UserError(f"{source}.NAME is {name!r}; known are {' and '.join(_PIXEL_DECODERS)}")
    _only(source, {"NORM": (norm, "GN"), "COMMON_STRIDE": (stride, 4)})
    deformable = name == "transformer_encoder_deform"
    return PixelDecoderConfig(
        kind="deformable" if deformable else "fpn",
        conv_dim=conv_dim,
        mask_dim=mask_dim,
        encoder_layers=layers,
        heads=heads,
        ffn_dim=DEFORMABLE_FFN if deformable else ffn_dim,
    )


def _focal(section: Mapping[str, object], source: str, extra_convolutions: bool) -> TrunkConfig:
    keys = _Keys(section, source)
    sizes = {
        "embed_dim": keys.get("FOCAL.EMBED_DIM"),
        "depths": keys.get("FOCAL.DEPTHS"),
        "focal_levels": keys.get("FOCAL.FOCAL_LEVELS"),
        "focal_windows": keys.get("FOCAL.FOCAL_WINDOWS"),
        "mlp_ratio": keys.get("FOCAL.MLP_RATIO", 4.0),
        "drop_path_rate": keys.get("FOCAL.DROP_PATH_RATE", 0.3),
    }
    fixed = {
        "PATCH_SIZE": 4,
        "PATCH_NORM": True,
        "USE_CONV_EMBED": True,
        "SCALING_MODULATOR": True,
        "USE_POSTLN": True,
        "USE_POSTLN_IN_MODULATION": False,
        "USE_LAYERSCALE": True,
        "DROP_RATE": 0.0,
    }
    found = {f"FOCAL.{key}": (keys.get(f"FOCAL.{key}", wanted), wanted) for key, wanted in fixed.items()}
    keys.finish()
    _only(source, found)
    return FocalDWConfig(**sizes) if extra_convolutions else FocalConfig(**sizes)


def _davit(section: Mapping[str, object], source: str) -> TrunkConfig:
    keys = _Keys(section, source)
    dims, kernels = keys.get("DAVIT.DIM_EMBED"), keys.get("DAVIT.PATCH_SIZE")
    padding, stride = keys.get("DAVIT.PATCH_PADDING"), keys.get("DAVIT.PATCH_STRIDE")
    prenorm = keys.get("DAVIT.PATCH_PRENORM")
    sizes = {
        "dims": dims,
        "depths": keys.get("DAVIT.DEPTHS"),
        "heads": keys.get("DAVIT.NUM_HEADS"),
        "groups": keys.get("DAVIT.NUM_GROUPS"),
        "window": keys.get("DAVIT.WINDOW_SIZE", 7),
        "mlp_ratio": keys.get("DAVIT.MLP_RATIO", 4.0),
        "drop_path_rate": keys.get("DAVIT.DROP_PATH_RATE", 0.1),
    }
    keys.finish()
    down = kernels[-1]
    _only(
        source,
        {
            "DAVIT.PATCH_SIZE": (kernels, (7, down, down, down)),
            "DAVIT.PATCH_STRIDE": (stride, (4, 2, 2, 2)),
            "DAVIT.PATCH_PADDING": (padding, (3, *3 * ((down - 1) // 2,))),
            "DAVIT.PATCH_PRENORM": (prenorm, (False, True, True, True)),
        },
    )
    return DaViTConfig(down_kernel=down, **sizes)


def _vit(section: Mapping[str, object], source: str) -> TrunkConfig:
    keys = _Keys(section, source)
    size = keys.get("VIT.SIZE")
    keys.finish()
    if size not in VIT_SIZES:
        raise UserError(f"{source}.VIT.SIZE is {size!r}; known are {', '.join(VIT_SIZES)}")
    return VIT_SIZES[size]


def _only(source: str, found: Mapping[str, tuple[object, object]]) -> None:
    """Refuse, in one sentence, settings that no released model uses and ours cannot express."""
    wrong = [
        f"{key} is {value!r} (must be {wanted!r})"
        for key, (value, wanted) in found.items()
        if value != wanted
    ]
    if wrong:
        raise UserError(f"{source}: not one of the released families: {'; '.join(wrong)}")


class _Keys:
    """Dotted look-up that collects the missing keys for one message; lists become tuples."""

    def __init__(self, config: Mapping[str, object], source: str) -> None:
        self.config, self.source = config, source
        self.missing: list[str] = []

    def get(self, path: str, default: Any = _MISSING) -> Any:
        value: object = self.config
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                if default is _MISSING:
                    self.missing.append(path)
                    return None
                return default
            value = value[key]
        return tuple(value) if isinstance(value, list) else value

    def finish(self) -> None:
        if self.missing:
            raise UserError(f"{self.source}: lacks {', '.join(self.missing)}")
