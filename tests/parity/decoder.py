"""Golden cases of the decoder: objects, grounding, spatial prompts, memory, the demo mode (see `compare`)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from seem_train.model import postprocess
from seem_train.model.language import TextEmbeddings
from seem_train.model.predictions import LayerPredictions, Predictions
from seem_train.model.prepare import PreparedPrompts
from seem_train.model.prompts import ImagePrompts, RegionTokens
from seem_train.model.seem import SEEM, ImageFeatures
from tests.parity.golden import LOGITS, MASKS, Case, Comparison


def _features(case: Case) -> ImageFeatures:
    """Features of the images that a decoder case was run on, found by number and size."""
    masks = next(case.tensors[n] for n in ("pred_masks", "prev_mask", "pred_gmasks") if n in case.tensors)
    images, model = case.images(), case.model()
    divisor = model.config.size_divisor
    described = f"{case.name} {case.info.get('desc', '')}"
    sizes = sorted(images, key=lambda size: size not in described)  # those that the case names come first
    sizes = sizes if len(masks) == 1 else list(images)
    for chosen in itertools.combinations(sizes, len(masks)):
        padded = [
            -(-max(images[size].shape[axis] for size in chosen) // divisor) * divisor // 4 for axis in (1, 2)
        ]
        if padded == list(masks.shape[2:]):
            return model.encode_image([images[size] for size in chosen])
    raise ValueError(f"no image(s) of the folder have masks of {list(masks.shape[2:])}")


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
        # All rows of a ragged batch: the queries that pad it see the masks that pad it.
        prompts.append(ImagePrompts(texts, positive, negative, None if previous is None else previous[b]))
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

        def listen(layer: nn.Module, masks: list[Tensor]) -> None:
            # The mask is the last argument of both kinds of layer.
            self.hooks.append(layer.register_forward_pre_hook(lambda _, args: masks.append(args[-1])))

        for name, layers in (
            ("cross", self.decoder.transformer_cross_attention_layers),
            ("self", self.decoder.transformer_self_attention_layers),
        ):
            for layer in layers:
                listen(layer, self.masks[name])
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
    """Which query each text means, on the predictions of the case of one image that was asked these texts."""
    model = case.model()
    texts = model.encode_text(case.info["texts"])
    for source in case.siblings():
        tokens = source.tensors.get("extra.grounding_tokens")
        if tokens is None or tokens.shape[:2] != (sum(texts.lengths), 1):
            continue
        if torch.allclose(tokens[:, 0], texts.concatenated(), atol=LOGITS):
            break
    else:
        raise ValueError("no case of the folder asks these texts of one image")
    features = _features(source)
    prompts = model.prepare(features, _prompts(source, 1), source.draws())
    grounding = model.decode(features, prompts).final.grounding
    assert grounding is not None
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
    for source in case.siblings():
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
