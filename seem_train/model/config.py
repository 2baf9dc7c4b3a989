"""What a SEEM model is made of, as values: one frozen dataclass for each part.

`presets.py` names the released configurations; a folder with the original's ``config.json`` is read into
the same types. Field comments give the original's key. Nothing here imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class FocalConfig:
    """FocalNet as SEEM uses it (post-norm, layer scale, overlapping patches); the defaults are focal-L."""

    embed_dim: int = 192  #: channels of res2; doubled at each further level (EMBED_DIM)
    depths: tuple[int, ...] = (2, 2, 18, 2)  #: blocks of each stage (DEPTHS)
    focal_levels: tuple[int, ...] = (4, 4, 4, 4)  #: depthwise convolutions of a block (FOCAL_LEVELS)
    #: kernel of the first of them; each next +2 (FOCAL_WINDOWS)
    focal_windows: tuple[int, ...] = (3, 3, 3, 3)
    mlp_ratio: float = 4.0  #: (MLP_RATIO)
    drop_path_rate: float = 0.3  #: stochastic depth of the last block, linear from 0 (DROP_PATH_RATE)


@dataclass(frozen=True)
class FocalDWConfig(FocalConfig):
    """FocalNet with two more convolutions in every block; the defaults are Focal-T."""

    embed_dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    focal_levels: tuple[int, ...] = (3, 3, 3, 3)


@dataclass(frozen=True)
class DaViTConfig:
    """Sizes of a DaViT trunk; the defaults are DaViT-d3."""

    dims: tuple[int, ...] = (128, 256, 512, 1024)
    depths: tuple[int, ...] = (1, 1, 9, 1)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    groups: tuple[int, ...] = (4, 8, 16, 32)  #: groups of the channel attention
    window: int = 7
    down_kernel: int = 2  #: of the strided convolution between stages: 2 (d3) or 3 (d5)
    mlp_ratio: float = 4.0
    drop_path_rate: float = 0.3


@dataclass(frozen=True)
class SamViTConfig:
    """Sizes of a SAM-ViT trunk; the defaults are SAM-ViT-B."""

    embed_dim: int = 768
    depth: int = 12
    heads: int = 12
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)  #: blocks whose attention spans the whole image
    image_size: int = 1024  #: pixels a side that the position tables are made for
    patch_size: int = 16
    window: int = 14
    mlp_ratio: float = 4.0
    out_dims: tuple[int, ...] = (128, 256, 512, 1024)  #: channels of res2…res5


@dataclass(frozen=True)
class TimmConfig:
    """A backbone by its name in ``timm.list_models()``."""

    name: str = "tf_efficientnet_lite0"


TrunkConfig: TypeAlias = FocalConfig | FocalDWConfig | DaViTConfig | SamViTConfig | TimmConfig


@dataclass(frozen=True)
class PixelDecoderConfig:
    """From the trunk's four levels to mask features (stride 4) and three levels (strides 32, 16, 8)."""

    kind: Literal["fpn", "deformable"] = "fpn"  #: (ENCODER.NAME)
    conv_dim: int = 512  #: channels of the memory levels (CONVS_DIM)
    mask_dim: int = 512  #: channels of the mask features (MASK_DIM)
    encoder_layers: int = 6  #: (TRANSFORMER_ENC_LAYERS)
    heads: int = 8  #: (DECODER.NHEADS; the deformable encoder has its own)
    ffn_dim: int = 2048  #: (DECODER.DIM_FEEDFORWARD; the deformable encoder has its own)


@dataclass(frozen=True)
class LanguageConfig:
    """The UniCL text transformer over CLIP's byte-pair tokens."""

    width: int = 512  #: (TEXT.WIDTH)
    layers: int = 12  #: (TEXT.LAYERS)
    heads: int = 8  #: (TEXT.HEADS)
    context_length: int = 77  #: tokens of a text, start and end included (TEXT.CONTEXT_LENGTH)
    projection: int = 512  #: width of the embeddings (DIM_PROJ)
    vocabulary: int = 49408


@dataclass(frozen=True)
class DecoderConfig:
    """The SEEM decoder."""

    mode: Literal["v1", "demo"] = "v1"  #: who attends to whom; see the two tables in `attention.py`
    dim: int = 512  #: (HIDDEN_DIM)
    heads: int = 8  #: (NHEADS)
    ffn_dim: int = 2048  #: (DIM_FEEDFORWARD)
    layers: int = 9  #: (DEC_LAYERS − 1)
    queries: int = 101  #: learned object queries (NUM_OBJECT_QUERIES)
    levels: int = 3  #: memory levels the layers cycle through
    #: prompt pixels at most, per level and for the mean (MAX_SPATIAL_LEN)
    max_points: tuple[int, ...] = (512, 512, 512, 512)
    memories: int = 32  #: vectors that carry the previous masks (SPATIAL_MEMORIES)
    queries_per_prompt: int = 3  #: spatial queries of an interactive object (QUERY_NUMBER)


@dataclass(frozen=True)
class PostprocessConfig:
    """Thresholds of evaluation that the original keeps beside the model."""

    object_threshold: float = 0.8  #: least class score of a panoptic query (TEST.OBJECT_MASK_THRESHOLD)
    #: least share of a query's mask that stays its own (TEST.OVERLAP_THRESHOLD)
    overlap_threshold: float = 0.8
    top_instances: int = 100  #: instances kept of an image (TEST.DETECTIONS_PER_IMAGE)
    max_clicks: int = 20  #: rounds of the simulated user (STROKE_SAMPLER.EVAL.MAX_ITER)
    click_dilation: int = 3  #: side of the square painted around a click (STROKE_SAMPLER.DILATION)


@dataclass(frozen=True)
class SEEMConfig:
    trunk: TrunkConfig = field(default_factory=FocalConfig)
    pixel_decoder: PixelDecoderConfig = field(default_factory=PixelDecoderConfig)
    language: LanguageConfig = field(default_factory=LanguageConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    postprocess: PostprocessConfig = field(default_factory=PostprocessConfig)
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    size_divisor: int = 32  #: images are padded to multiples of it (SIZE_DIVISIBILITY)
