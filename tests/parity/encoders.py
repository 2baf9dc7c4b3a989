"""Golden cases of trunk, pixel decoder and text encoder (see `compare`)."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from seem_train.model.config import DecoderConfig, PixelDecoderConfig, SamViTConfig, SEEMConfig, TrunkConfig
from seem_train.model.language import tokenize, training_prompts, unit
from seem_train.model.layers import sine_position
from seem_train.model.pixel_decoders.deformable import LEVELS, POINTS
from seem_train.model.pixel_decoders.fpn import FPNPixelDecoder
from seem_train.model.seem import PIXEL_DECODERS, SEEM
from seem_train.model.trunks.build import build_trunk
from seem_train.weights.original_config import pixel_decoder_config, read_config, trunk_config
from tests.parity.golden import FEATURES, LOGITS, Case, Comparison

PIXEL_DECODER = "sem_seg_head.pixel_decoder."  #: its prefix in official names


def _normalised(case: Case, size: str, model: SEEM) -> Tensor:
    """The input of backbone and pixel decoder; images of their own are not padded."""
    images = case.images()
    if size == "padded_batch":
        return model.normalise(list(images.values()))[0]
    return (images[size].float()[None] - model.pixel_mean) / model.pixel_std


def replay_backbone(case: Case, result: Comparison) -> tuple[str, ...]:
    model = case.model()
    for size in dict.fromkeys(name.split(".")[0] for name in case.tensors if "." in name):
        x = _normalised(case, size, model)
        if size == "padded_batch":
            result.close("padded_batch.input_normalised", x, 1e-6)
        if f"{size}.patch_embed" in case.tensors:
            x0 = F.pad(x, (0, -x.shape[-1] % 4, 0, -x.shape[-2] % 4))
            result.relative(f"{size}.patch_embed", model.backbone.get_submodule("stem")(x0), FEATURES)
        for name, ours in model.backbone(x).items():
            result.relative(f"{size}.{name}", ours, FEATURES)
    return ("image_",)


def replay_pixel_decoder(case: Case, result: Comparison) -> tuple[str, ...]:
    model = case.model()
    decoder = model.pixel_decoder
    for name, golden in case.tensors.items():
        if name.startswith("pos_embed_"):
            result.close(name, sine_position(golden.shape[2], golden.shape[3], golden.shape[1])[None], 1e-6)
    sizes = [n.split(".")[0] for n in case.tensors if n.endswith(".mask_features")]
    for size in sizes:
        features = model.backbone(_normalised(case, size, model))
        if isinstance(decoder, FPNPixelDecoder):
            encoded = decoder.encode(features["res5"])
            result.relative(f"{size}.transformer_encoder_features", encoded, FEATURES)
        _compare_pixel_decoder(result, size, decoder(features))
    return ()


def _compare_pixel_decoder(result: Comparison, size: str, ours: tuple[Tensor, list[Tensor]]) -> None:
    result.relative(f"{size}.mask_features", ours[0], FEATURES)
    for number, level in enumerate(ours[1]):
        result.relative(f"{size}.multi_scale.{number}", level, FEATURES)


def replay_trunk(case: Case, result: Comparison) -> tuple[str, ...]:
    """A trunk and its pixel decoder alone; their weights and sizes are in the case."""
    weights = {name: tensor.float() for name, tensor in case.with_prefix("weights.").items()}
    trunk = build_trunk(_trunk_config(case, weights)).eval()
    config = _pixel_decoder_config(case, weights)
    decoder = PIXEL_DECODERS[config.kind](config, trunk.out_channels).eval()
    own = {n.removeprefix("backbone."): t for n, t in weights.items() if n.startswith("backbone.")}
    for name, tensor in trunk.to_official(trunk.state_dict()).items():
        tensor.copy_(own[name])
    own = {n.removeprefix(PIXEL_DECODER): t for n, t in weights.items() if n.startswith(PIXEL_DECODER)}
    decoder.load_state_dict(own)
    colours = SEEMConfig()
    mean, std = (torch.tensor(c)[:, None, None] for c in (colours.pixel_mean, colours.pixel_std))
    for size, image in case.with_prefix("image_").items():
        features = trunk(((image.float() - mean) / std)[None])
        for name, ours in features.items():
            result.relative(f"{size}.{name}", ours, FEATURES)
        _compare_pixel_decoder(result, size, decoder(features))
    return ("image_", "weights.")


def _trunk_config(case: Case, weights: dict[str, Tensor]) -> TrunkConfig:
    family, sizes = next(iter(case.info["trunk"].items()))
    if family == "vit":
        return SamViTConfig(
            embed_dim=sizes["embed_dim"],
            depth=sizes["depth"],
            heads=sizes["num_heads"],
            global_blocks=tuple(sizes["global_attn_indexes"]),
            image_size=sizes["img_size"],
            patch_size=sizes["patch_size"],
            window=sizes["window_size"],
            mlp_ratio=sizes["mlp_ratio"],
            out_dims=tuple(case.info["trunk"]["neck"]["out_dims"]),
        )
    extra_convolutions = any(".dw1." in name for name in weights)
    name = "focal_dw" if family == "focal" and extra_convolutions else family
    return trunk_config({"NAME": name, family.upper(): sizes}, case.name)


def _pixel_decoder_config(case: Case, weights: dict[str, Tensor]) -> PixelDecoderConfig:
    """The case holds no number of heads: it is that of the folder's model, or what the weights tell."""
    layer = f"{PIXEL_DECODER}transformer.encoder.layers.0."
    ffn_dim = len(weights[f"{layer}linear1.weight"])
    try:
        heads = read_config(case.config_file()).decoder.heads
    except KeyError:
        heads = DecoderConfig.heads
    config = pixel_decoder_config(case.info["encoder"], heads, ffn_dim, case.name)
    if config.kind == "deformable":
        heads = len(weights[f"{layer}self_attn.attention_weights.bias"]) // (len(LEVELS) * POINTS)
    return replace(config, ffn_dim=ffn_dim, heads=heads)


def replay_text(case: Case, result: Comparison) -> tuple[str, ...]:
    language, info, golden = case.model().language, case.info, case.tensors
    ids, lengths = tokenize(info["prompts"], language.config.context_length)
    if "input_ids" in golden:
        result.equal("input_ids", ids, golden["input_ids"][:, : ids.shape[1]])
        result.close("last_hidden_state", language.lang_encoder(golden["input_ids"]), LOGITS)
        result.close("token_emb", language.encode_ids(golden["input_ids"]), LOGITS)
    if "attention_mask" in golden:
        result.equal("attention_mask", torch.tensor(lengths), golden["attention_mask"].sum(1))
    embeddings = language(info["prompts"])
    result.close("class_emb", embeddings.vectors, LOGITS)
    for name in ("class_emb_norm", "forward_language_norm"):
        result.close(name, unit(embeddings.vectors), LOGITS)
    if "token_emb" in golden:
        real = [row[:n] for row, n in zip(golden["token_emb"], lengths, strict=True)]
        real = torch.nn.utils.rnn.pad_sequence(real, batch_first=True)
        result.close("token_emb, trimmed", embeddings.tokens, LOGITS, real)
    result.close("eval_class_embeddings", case.categories(), LOGITS)
    names = [n for n in info.get("addbgd_classes", ()) if not n.startswith("+")]
    if "eval_addbgd" in golden:
        categories = language.category_embeddings(names)[:-1]
        extra = [re.sub(r'^.*"(.*)".*$', r"\1", n) for n in info["addbgd_classes"] if n.startswith("+")]
        result.close("eval_addbgd", torch.cat((categories, unit(language(extra).vectors))), LOGITS)
    if "eval_noprompt" in golden:
        plain = language(names[: len(golden["eval_noprompt"])])
        result.close("eval_noprompt", unit(plain.vectors), LOGITS)
    for drawn in [key for key in info if key.startswith("train_prompts_seed")]:
        random = np.random.RandomState(int(drawn.removeprefix("train_prompts_seed")))
        result.same(drawn, training_prompts(info["class_names"], random.randint), info[drawn])
        trained = language.sentence_embeddings(info[drawn])
        result.close("train_class_embeddings", trained, LOGITS)
    result.close("logit_scale", language.logit_scale, 1e-6)
    if "similarity_out" in golden:
        similarity = language.class_logits(golden["similarity_in"], golden["eval_class_embeddings"])
        result.close("similarity_out", similarity, LOGITS)
    return ("similarity_in",)
