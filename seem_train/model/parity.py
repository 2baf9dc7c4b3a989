"""Replays golden cases of the original through this model: ``python -m seem_train.model.parity FOLDER…``

Prints one line for each case (tensors compared, the worst difference, its tolerance) and exits with 1 on a
miss. Sizes, thresholds and draws come from the case files alone. Cases of training (losses, gradients) belong
to ``seem_train.losses.parity``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from seem_train import postprocess
from seem_train.errors import UserError
from seem_train.model import parity_evaluation as evaluation
from seem_train.model.backbone import build_backbone
from seem_train.model.config import PixelDecoderConfig, SEEMConfig, TrunkConfig
from seem_train.model.golden import FEATURES, LOGITS, MASKS, Case, Comparison, case_folders, print_table
from seem_train.model.language import TextEmbeddings, tokenize, training_prompts, unit
from seem_train.model.original_config import pixel_decoder_config, trunk_config
from seem_train.model.pixel_decoder import FPNPixelDecoder, build_pixel_decoder, sine_position
from seem_train.model.predictions import LayerPredictions, Predictions
from seem_train.model.prompts import ImagePrompts, PreparedPrompts, RegionTokens
from seem_train.model.seem import SEEM, ImageFeatures
from seem_train.model.trunks.samvit import SamViTConfig

PIXEL_DECODER = "sem_seg_head.pixel_decoder."  #: its prefix in official names


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        raise UserError("name one or more folders of golden cases")
    results, not_run = [], []
    for folder in arguments:
        for case_folder in case_folders(Path(folder)):
            case = Case.read(case_folder)
            replay = kind_of(case)
            if replay is None:
                not_run.append((case.name, "a kind of case that this command does not replay"))
            else:
                results.append(run(case, replay))
    print_table(results, not_run)
    return 0 if results and all(r.passed for r in results) else 1


def run(case: Case, replay: Callable[[Case, Comparison], tuple[str, ...]]) -> Comparison:
    """Replay one case. What goes wrong on the way is a miss of this case, and the others are still run."""
    result = Comparison(case)
    try:
        with torch.no_grad():
            inputs = replay(case, result)
    except (UserError, KeyError, ValueError, RuntimeError, AttributeError) as error:
        result.faults.append(f"{type(error).__name__}: {error}")
    else:
        result.faults += [f"{name} was not compared" for name in result.uncompared(inputs)]
    return result


def kind_of(case: Case) -> Callable[[Case, Comparison], tuple[str, ...]] | None:
    """The function that replays a case, told from what the case holds; None for kinds not replayed here."""
    names, info = case.tensors.keys(), case.info

    def has(pattern: str) -> bool:
        return any(re.search(pattern, name) for name in names)

    if "raw_losses" in info:
        return None
    kinds: list[tuple[bool, Callable[[Case, Comparison], tuple[str, ...]]]] = [
        ("trunk" in info, replay_trunk),
        (has(r"\.patch_embed$"), replay_backbone),
        (has(r"\.transformer_encoder_features$"), replay_pixel_decoder),
        ("input_ids" in names, replay_text),
        ("matched_id" in names, replay_selection),
        (has(r"^refimg\."), replay_reference),
        ("demo" in str(info.get("model", "")), replay_demo),
        ("task" in info, replay_decoder),
        (has(r"\.sem_seg_argmax$"), evaluation.replay_evaluation),
        ("mask_cls" in names, evaluation.replay_postprocessing),
        ("gt_masks_orisize" in names, evaluation.replay_interaction),
        ("grounding_mask" in names, evaluation.replay_grounding),
        ("pos_in" in names, evaluation.replay_next_click),
        ("ious" in names, evaluation.replay_metrics),
    ]
    return next((replay for holds, replay in kinds if holds), None)


# ── a, b, h: features ──────────────────────────────────────────────────────────────────────────────────


def _images(case: Case) -> dict[str, Tensor]:
    """The images of the backbone case by their size, such as "96x128"."""
    sources = [case, *(s for s in case.siblings("a") if kind_of(s) is replay_backbone)]
    return next((found for s in sources if (found := s.with_prefix("image_"))), {})


def _normalised(case: Case, size: str, model: SEEM) -> Tensor:
    """The input of backbone and pixel decoder; images of their own are not padded."""
    images = _images(case)
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
            seen = []
            hook = model.backbone.stem.register_forward_hook(lambda *args, seen=seen: seen.append(args[2]))  # pyright: ignore
            model.backbone(x)
            hook.remove()
            result.relative(f"{size}.patch_embed", seen[0], FEATURES)
        for name, ours in model.backbone(x).items():
            result.relative(f"{size}.{name}", ours, FEATURES)
    return ("image_",)


def replay_pixel_decoder(case: Case, result: Comparison) -> tuple[str, ...]:
    model = case.model()
    decoder = model.pixel_decoder
    for name, golden in case.tensors.items():
        if name.startswith("pos_embed_"):
            result.close(name, sine_position(*golden.shape[-2:], golden.shape[1])[None], 1e-6)
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
    trunk = build_backbone(_trunk_config(case, weights)).eval()
    decoder = build_pixel_decoder(_pixel_decoder_config(case, weights), trunk.out_channels).eval()
    for part, prefix in ((trunk, "backbone."), (decoder, PIXEL_DECODER)):
        own = {n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)}
        part.load_state_dict(part.from_official(own) if hasattr(part, "from_official") else own)
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
    """The case holds no number of heads: it is that of the small model of the folder's other cases."""
    heads = next((c.model().config.decoder.heads for c in case.siblings() if "config" in c.info), 8)
    ffn_dim = len(weights[f"{PIXEL_DECODER}transformer.encoder.layers.0.linear1.weight"])
    config = pixel_decoder_config(case.info["encoder"], heads, ffn_dim, case.name)
    return replace(config, ffn_dim=ffn_dim)


# ── c: text ────────────────────────────────────────────────────────────────────────────────────────────


def replay_text(case: Case, result: Comparison) -> tuple[str, ...]:
    language, info, golden = case.model().language, case.info, case.tensors
    ids, lengths = tokenize(info["prompts"], language.config.context_length)
    result.equal("input_ids", ids, golden["input_ids"][:, : ids.shape[1]])
    result.equal("attention_mask", torch.tensor(lengths), golden["attention_mask"].sum(1))
    result.close("last_hidden_state", language.lang_encoder(golden["input_ids"]), LOGITS)
    result.close("token_emb", language.encode_ids(golden["input_ids"]), LOGITS)
    embeddings = language(info["prompts"])
    result.close("class_emb", embeddings.vectors, LOGITS)
    for name in ("class_emb_norm", "forward_language_norm"):
        result.close(name, unit(embeddings.vectors), LOGITS)
    real = torch.nn.utils.rnn.pad_sequence(
        [row[:n] for row, n in zip(golden["token_emb"], lengths, strict=True)], batch_first=True
    )
    result.close("token_emb, trimmed", embeddings.tokens, LOGITS, real)
    result.close("eval_class_embeddings", case.categories(), LOGITS)
    names = [n for n in info["addbgd_classes"] if not n.startswith("+")]
    categories = language.category_embeddings(names, background=False)
    extra = [re.sub(r'^.*"(.*)".*$', r"\1", n) for n in info["addbgd_classes"] if n.startswith("+")]
    result.close("eval_addbgd", torch.cat((categories, unit(language(extra).vectors))), LOGITS)
    plain = language(names[: len(golden["eval_noprompt"])])
    result.close("eval_noprompt", unit(plain.vectors), LOGITS)
    drawn = next(key for key in info if key.startswith("train_prompts_seed"))
    random = np.random.RandomState(int(drawn.removeprefix("train_prompts_seed")))
    result.same(drawn, training_prompts(info["class_names"], random.randint), info[drawn])
    trained = language.category_embeddings(info["class_names"], prompts=info[drawn])
    result.close("train_class_embeddings", trained, LOGITS)
    result.close("logit_scale", language.logit_scale, 1e-6)
    similarity = language.class_logits(golden["similarity_in"], golden["eval_class_embeddings"])
    result.close("similarity_out", similarity, LOGITS)
    return ("similarity_in",)


# ── d, g: decoder ──────────────────────────────────────────────────────────────────────────────────────


def _features(case: Case) -> ImageFeatures:
    """Features of the images that a decoder case was run on, found by number and size."""
    masks = next(case.tensors[n] for n in ("pred_masks", "prev_mask", "pred_gmasks") if n in case.tensors)
    images, model = list(_images(case).values()), case.model()
    if len(masks) > 1:
        return model.encode_image(images[: len(masks)])
    named = [i for size, i in _images(case).items() if size in f"{case.name} {case.info.get('desc', '')}"]
    for image in (*named, *images):
        divisor = model.config.size_divisor
        if all(
            -(-s // divisor) * divisor == 4 * m for s, m in zip(image.shape[1:], masks.shape[2:], strict=True)
        ):
            return model.encode_image(image)
    raise ValueError(f"no image of the folder has masks of {list(masks.shape[2:])}")


def _prompts(case: Case, batch: int) -> list[ImagePrompts]:
    tensors = case.tensors
    prompts = []
    for b in range(batch):
        texts: TextEmbeddings | tuple[()] = ()
        if "extra.grounding_tokens" in tensors:
            tokens = tensors["extra.grounding_tokens"][:, b]
            tokens = tokens[tensors["extra.grounding_nonzero_mask"][b] == 0]
            texts = TextEmbeddings(("all texts",), tokens[:1], tokens[None], (len(tokens),))
        positive, negative = (tensors.get(f"extra.spatial_query_{sign}_mask.{b}") for sign in ("pos", "neg"))
        previous = tensors.get("extra.prev_mask")
        objects = 0 if positive is None else len(positive)
        prompts.append(
            ImagePrompts(texts, positive, negative, None if previous is None else previous[b, :objects])
        )
    return prompts


def replay_decoder(case: Case, result: Comparison) -> tuple[str, ...]:
    model, features = case.model(), _features(case)
    draws = case.draws()
    prompts = model.prepare(features, _prompts(case, len(features)), draws)
    result.all_used(draws)
    if case.info["task"] == "spatial":
        with _Trace(model) as trace:
            result.close("prev_mask", model.refine(features, prompts), MASKS)
        # The pass for clicks leaves the object queries out: their rows of the golden masks have no partner.
        trace.compare(case, result, prompts, without=model.config.decoder.queries)
        return ("extra.", "rand.")
    categories = case.categories()
    with _Trace(model) as trace:
        predictions = model.decode(features, prompts, categories, every_layer=True)
    trace.compare(case, result, prompts)
    _compare_predictions(predictions, case, result)
    # The normal use, only the last layer, the object queries' answer kept with the features.
    final = model.decode(features, prompts, categories).final
    for name, (ours, tolerance) in _tensors(final).items():
        if name in case.tensors:
            result.close(f"kept features: {name}", ours, tolerance, case.tensors[name])
    return ("extra.", "rand.")


def _tensors(layer: LayerPredictions) -> dict[str, tuple[Tensor, float]]:
    """A layer's predictions under the original's names, with their tolerances."""
    objects, texts, marks = layer.objects, layer.grounding, layer.spatial
    named = {
        "pred_masks": (objects.masks, MASKS),
        "pred_captions": (objects.class_vectors, LOGITS),
        "pred_maskembs": (objects.mask_vectors, LOGITS),
    }
    if objects.logits is not None:
        named["pred_logits"] = (objects.logits, LOGITS)
    if texts is not None:
        named |= {"pred_gtexts": (texts.class_vectors, LOGITS), "pred_gmasks": (texts.masks, MASKS)}
    if marks is not None:
        named |= {
            "pred_stexts": (marks.class_vectors, LOGITS),
            "pred_smaskembs": (marks.mask_vectors, LOGITS),
            "pred_smasks": (marks.masks, MASKS),
            "pred_pspatials": (marks.positive, LOGITS),
            "pred_nspatials": (marks.negative, LOGITS),
        }
    return named


def _compare_predictions(predictions: Predictions, case: Case, result: Comparison) -> None:
    last = len(predictions.layers) - 1
    for number, layer in enumerate(predictions.layers):
        named = _tensors(layer)
        for regions, letter in ((predictions.strokes, "spatials"), (predictions.references, "visuals")):
            if regions is not None:
                named |= {f"pred_p{letter}": (regions.positive, LOGITS)}
                named |= {f"pred_n{letter}": (regions.negative, LOGITS)}
        for name, (ours, tolerance) in named.items():
            golden = name if number == last else f"aux{number}.{name}"
            if golden in case.tensors:
                result.close(golden, ours, tolerance)


class _Trace:
    """Listens to the masks that the decoder's attention layers are called with."""

    def __init__(self, model: SEEM) -> None:
        self.decoder = model.decoder
        self.masks: dict[str, list[Tensor]] = {"cross": [], "self": []}

    def __enter__(self) -> _Trace:
        self.hooks = []
        for name, layers in (
            ("cross", self.decoder.transformer_cross_attention_layers),
            ("self", self.decoder.transformer_self_attention_layers),
        ):
            for layer in layers:
                self.hooks.append(
                    layer.register_forward_pre_hook(
                        lambda _module, args, into=self.masks[name]: into.append(args[-1])
                    )
                )
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def compare(self, case: Case, result: Comparison, prompts: PreparedPrompts, without: int = 0) -> None:
        """The original stores 1 where attention is forbidden; `without` leaves its first rows out."""
        for name, masks in self.masks.items():
            for layer, allowed in enumerate(masks):
                golden = f"trace.{name}_attn_mask.{layer}"
                if golden in case.tensors:
                    forbidden = case.tensors[golden][:, without:]
                    forbidden = forbidden[..., without:] if name == "self" else forbidden
                    result.equal(golden, ~allowed.expand(len(forbidden), -1, -1), forbidden)
        if prompts.memories is not None:
            for layer, owners in enumerate(prompts.memories):
                if f"trace.memory_indices.{layer}" in case.tensors:
                    result.equal(f"trace.memory_indices.{layer}", owners)


def replay_selection(case: Case, result: Comparison) -> tuple[str, ...]:
    """Which query each text means, on the predictions of another case, which the description names."""
    model = case.model()
    candidates = [
        c for c in case.siblings("d") if "pred_gtexts" in c.tensors and len(c.tensors["pred_gtexts"]) == 1
    ]
    named = [c for c in candidates if c.name in case.info["desc"]]
    source = (named or candidates)[0]
    features = _features(source)
    prompts = model.prepare(features, _prompts(source, 1), source.draws())
    grounding = model.decode(features, prompts).final.grounding
    assert grounding is not None
    texts = model.encode_text(case.info["texts"])
    result.close("class_emb", texts.vectors, LOGITS)
    similarity, best = postprocess.select_grounding(
        grounding.class_vectors[0], texts.vectors, model.language.logit_scale
    )
    result.close("similarity", similarity, LOGITS)
    result.equal("matched_id", best)
    result.close("pred_gmasks_selected", grounding.masks[0][best], MASKS)
    return ()


def replay_reference(case: Case, result: Comparison) -> tuple[str, ...]:
    """Tokens of a marked region; image and mask are those of the decoder case with as many pixels."""
    model, golden = case.model(), case.with_prefix("refimg.")
    count, objects = golden["src_spatial_queries.0"].shape[0], golden["spatial_query_pos"].shape[1]
    for source in case.siblings("d"):
        marks = source.tensors.get("extra.spatial_query_pos_mask.0")
        if marks is not None and len(marks) == objects and int((marks != 0).sum()) == count:
            break
    else:
        raise ValueError(f"no case of the folder marks {count} pixels of {objects} object(s)")
    features = _features(source)
    regions = model.encode_regions(features, [marks])
    result.close("refimg.spatial_query_pos", regions.positive, LOGITS)
    result.close("refimg.spatial_query_neg", regions.negative, LOGITS)
    for number, (tokens, owners) in enumerate(zip(regions.levels, regions.owners, strict=True)):
        result.close(f"refimg.src_spatial_queries.{number}", tokens.transpose(0, 1), LOGITS)
        result.equal(f"refimg.src_spatial_maskings.{number}", owners < 0)
    return ()


def replay_demo(case: Case, result: Comparison) -> tuple[str, ...]:
    model, golden = case.model(), case.tensors
    features = model.encode_image(golden["in.image"])
    reference = None
    if visual := case.with_prefix("visual."):
        count = sum(name.startswith("src_visual_queries.") for name in visual)
        padding = [visual[f"src_visual_maskings.{i}"].bool() for i in range(count)]
        reference = RegionTokens(
            levels=tuple(visual[f"src_visual_queries.{i}"].transpose(0, 1) for i in range(count)),
            owners=tuple(torch.zeros_like(p, dtype=torch.long).masked_fill(p, -1) for p in padding),
            positive=visual["visual_query_pos"].transpose(0, 1),
            negative=visual["visual_query_neg"].transpose(0, 1),
        )
    stroke = golden.get("in.stroke")
    marks = None if stroke is None else stroke.flatten(0, -3)
    draws = case.draws(full_sets=False)
    texts = case.info.get("texts") or ()
    prompts = model.prepare(features, ImagePrompts(texts, positive=marks, reference=reference), draws)
    result.all_used(draws)
    with _Trace(model) as trace:
        predictions = model.decode(features, prompts, case.categories(), every_layer=True)
    trace.compare(case, result, prompts)
    _compare_predictions(predictions, case, result)
    if "select.logits" in golden:
        asked = predictions.strokes or predictions.references
        assert asked is not None
        fit = predictions.final.objects.mask_vectors @ asked.positive.mT
        result.close("select.logits", fit, LOGITS)
        result.equal("select.idx", fit.argmax(1).flatten())
    return ("in.", "visual.", "rand.")


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
