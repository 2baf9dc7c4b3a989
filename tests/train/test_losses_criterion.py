"""The criterion: golden terms of the original, and what it must never depend on."""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.utils._python_dispatch import TorchDispatchMode

from seem_train.losses.criterion import Criterion, LossConfig, touch
from seem_train.losses.matcher import NonFiniteLoss
from seem_train.losses.points import RandomPoints
from seem_train.losses.targets import GroundingTargets, LossCounts, ObjectTargets, SpatialTargets, Targets
from seem_train.model.predictions import (
    GroundingPredictions,
    LayerPredictions,
    ObjectPredictions,
    Predictions,
    SpatialPredictions,
)
from tests.parity.fixed import GridPoints, official_terms, recorded_pairs

QUERIES, DIM, CATEGORIES, SIZE = 7, 8, 5, 32
SCALE = torch.tensor(1.0)
NO_VECTORS = torch.zeros(0, DIM)


def predictions(images: int, prompts: int, layers: int = 3) -> Predictions:
    def maps(count: int) -> torch.Tensor:
        return (torch.randn(images, count, 8, 8) * 3).requires_grad_()

    def vectors(count: int) -> torch.Tensor:
        return torch.randn(images, count, DIM).requires_grad_()

    def layer() -> LayerPredictions:
        logits = torch.randn(images, QUERIES, CATEGORIES + 1).requires_grad_()
        return LayerPredictions(
            ObjectPredictions(vectors(QUERIES), vectors(QUERIES), maps(QUERIES), logits),
            GroundingPredictions(vectors(QUERIES), maps(QUERIES)),
            SpatialPredictions(
                vectors(3 * prompts),
                vectors(3 * prompts),
                maps(3 * prompts),
                vectors(prompts),
                vectors(prompts),
            ),
        )

    return Predictions(tuple(layer() for _ in range(layers)))


def blobs(count: int) -> torch.Tensor:
    masks = torch.zeros(count, SIZE, SIZE, dtype=torch.bool)
    for n in range(count):
        masks[n, n % SIZE : n % SIZE + 6, 3 : 9 + n] = True
    return masks


def targets(
    segments: tuple[int, ...],
    phrases: tuple[int, ...],
    prompts: tuple[int, ...],
    absent: tuple[int, ...] = (),
) -> Targets:
    modes = tuple("text" if image % 2 == 0 else "class" for image in range(len(segments)))
    masks = blobs(sum(prompts))
    masks[list(absent)] = False
    return Targets(
        ObjectTargets(blobs(sum(segments)), torch.arange(sum(segments)) % CATEGORIES, segments),
        GroundingTargets(
            blobs(sum(phrases)),
            torch.arange(sum(phrases)) // 2,
            modes,
            phrases,
        ),
        SpatialTargets(masks, tuple(n not in absent for n in range(sum(prompts))), prompts),
    )


def vectors_of(truth: Targets, image: int | None = None) -> torch.Tensor:
    """What a text encoder might make of the phrases: of all, or of one image."""
    assert truth.grounding is not None
    counts = truth.grounding.counts
    vectors = torch.linspace(-1, 1, sum(counts) * DIM).sin().view(-1, DIM)
    return vectors if image is None else vectors.split(counts)[image]


def image_of(whole: Predictions, image: int, prompts: int) -> Predictions:
    """The same leaves, one image, with only as many prompt places as that image needs."""
    one = slice(image, image + 1)

    def layer(p: LayerPredictions) -> LayerPredictions:
        assert p.grounding is not None
        assert p.spatial is not None
        o, g, s = p.objects, p.grounding, p.spatial
        assert o.logits is not None
        return LayerPredictions(
            ObjectPredictions(o.class_vectors[one], o.mask_vectors[one], o.masks[one], o.logits[one]),
            GroundingPredictions(g.class_vectors[one], g.masks[one]),
            SpatialPredictions(
                s.class_vectors[one, : 3 * prompts],
                s.mask_vectors[one, : 3 * prompts],
                s.masks[one, : 3 * prompts],
                s.positive[one, :prompts],
                s.negative[one, :prompts],
            )
            if prompts
            else None,
        )

    return Predictions(tuple(layer(p) for p in whole.layers))


def part_of(whole: Targets, image: int) -> Targets:
    def cut(counts: tuple[int, ...]) -> slice:
        return slice(sum(counts[:image]), sum(counts[: image + 1]))

    o, g, s = whole.objects, whole.grounding, whole.spatial
    assert g is not None
    assert s is not None
    a, b, c = cut(o.counts), cut(g.counts), cut(s.counts)
    return Targets(
        ObjectTargets(o.masks[a], o.categories[a], (o.counts[image],)),
        GroundingTargets(g.masks[b], g.groups[b], (g.modes[image],), (g.counts[image],)),
        SpatialTargets(s.masks[c], s.present[c], (s.counts[image],)) if s.counts[image] else None,
    )


def leaves(p: Predictions) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for layer in p.layers:
        for part in (layer.objects, layer.grounding, layer.spatial):
            found += [] if part is None else [t for t in vars(part).values() if t is not None]
    return found


def gradients(loss: torch.Tensor, of: list[torch.Tensor]) -> list[torch.Tensor]:
    found = torch.autograd.grad(loss, of, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(of, found, strict=True)]


@pytest.mark.parametrize("case", ["f1", "f2", "f3", "f5", "f6"])
def test_final_layer_equals_the_original(shared_parity: Path, case: str) -> None:
    folder = next(shared_parity.glob(f"{case}_*"))
    info = json.loads((folder / "case.json").read_text())
    data = load_file(folder / "data.safetensors")
    weights = load_file(shared_parity / "tiny_v1" / "weights.safetensors")
    images, out = range(2), lambda name: data[f"out.{name}"]
    masks = torch.cat([data[f"in.{b}.gt_masks"] for b in images])
    phrases = tuple(len(data[f"in.{b}.grounding_masks"]) for b in images)
    spatial = torch.cat([data[f"in.{b}.spatial_gt_masks"] for b in images])
    golden = Targets(
        ObjectTargets(
            masks,
            torch.cat([data[f"in.{b}.gt_classes"] for b in images]),
            tuple(len(data[f"in.{b}.gt_classes"]) for b in images),
        ),
        GroundingTargets(
            torch.cat([data[f"in.{b}.grounding_masks"].byte().view(-1, *masks.shape[1:]) for b in images]),
            torch.cat([torch.tensor(info["groundings"][b]["hash"][: phrases[b]]) for b in images]),
            tuple(g["mode"] for g in info["groundings"]),
            phrases,
        ),
        SpatialTargets(
            spatial,
            tuple(bool(m.any()) for m in spatial),
            tuple(len(data[f"in.{b}.spatial_gt_masks"]) for b in images),
        ),
    )
    layer = LayerPredictions(
        ObjectPredictions(out("pred_captions"), out("pred_captions"), out("pred_masks"), out("pred_logits")),
        GroundingPredictions(out("pred_gtexts"), out("pred_gmasks")),
        SpatialPredictions(
            *(out(f"pred_{name}") for name in ("stexts", "smaskembs", "smasks", "pspatials", "nspatials"))
        ),
    )
    criterion = Criterion(LossConfig().as_executed(), GridPoints(*info["grid"]))
    scale = weights["sem_seg_head.predictor.lang_encoder.logit_scale"]
    vectors = torch.cat([data[f"target.{b}.grounding_class_embs"][: phrases[b]] for b in images])
    terms = criterion(Predictions((layer,)), golden, scale, vectors)
    found = official_terms(terms)
    assert len(found) == 9
    for name, value in found.items():
        assert value == pytest.approx(info["raw_losses"][name], rel=1e-5, abs=1e-6), name
    expected = sum(info["weighted_losses"][name] for name in found)
    assert terms.total.item() == pytest.approx(expected, rel=1e-5)
    for task, mode in (("objects", "default"), ("spatial", "spatial"), ("grounding", "grounding")):
        recorded = next((m for m in info["matching"] if m["mode"] == mode), None)
        if task == "grounding" and not all(phrases):
            continue  # silenced: not computed
        assert recorded is not None
        part = getattr(golden, task)
        queries = {"spatial": out("pred_smasks")}.get(task, masks.new_empty(2, 21)).shape[1]
        pairs = terms.pairs[task]
        expected = recorded_pairs(recorded["indices"], queries, part.counts)
        assert (pairs.query[0].tolist(), pairs.target[0].tolist()) == expected


@pytest.mark.parametrize(
    ("segments", "phrases", "prompts", "absent"),
    [
        ((3, 4), (2, 3), (1, 1), ()),
        ((0, 4), (0, 3), (2, 1), ()),  # an image with nothing to find and nothing said; ragged prompts
        (
            (9, 2),
            (8, 1),
            (3, 0),
            (1,),
        ),  # more targets than queries; an empty prompt; an image without prompts
        ((0, 0), (0, 0), (1, 1), (0, 1)),  # nothing at all
    ],
)
def test_micro_batches_with_common_counts_give_the_gradient_of_the_whole_batch(
    segments: tuple[int, int], phrases: tuple[int, int], prompts: tuple[int, int], absent: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    whole, truth = predictions(2, max(prompts)), targets(segments, phrases, prompts, absent)
    criterion = Criterion(points=GridPoints(8, 8))
    together = criterion(whole, truth, SCALE, vectors_of(truth))
    counts = sum((criterion.count(part_of(truth, b).sizes, QUERIES) for b in range(2)), LossCounts())
    assert astuple(counts) == pytest.approx(astuple(criterion.count(truth.sizes, QUERIES)))
    parts = [
        criterion(
            image_of(whole, b, prompts[b]), part_of(truth, b), SCALE, vectors_of(truth, b), counts
        ).total
        for b in range(2)
    ]
    assert torch.isfinite(together.total)
    torch.testing.assert_close(parts[0] + parts[1], together.total)
    for one, other in zip(
        gradients(parts[0] + parts[1], leaves(whole)), gradients(together.total, leaves(whole)), strict=True
    ):
        assert torch.isfinite(other).all()
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_ranks_whose_gradients_are_averaged_give_the_gradient_of_the_whole_batch() -> None:
    """One phrase and one prompt on two ranks: the divisors of a rank are halves."""
    torch.manual_seed(0)
    whole, truth = predictions(2, 1), targets((1, 0), (1, 0), (1, 1), (1,))
    criterion = Criterion(points=GridPoints(8, 8))
    together = gradients(criterion(whole, truth, SCALE, vectors_of(truth)).total, leaves(whole))
    counts = sum((criterion.count(part_of(truth, b).sizes, QUERIES) for b in range(2)), LossCounts()).over(2)
    ranks = [
        criterion(image_of(whole, b, 1), part_of(truth, b), SCALE, vectors_of(truth, b), counts).total
        for b in range(2)
    ]
    averaged = gradients((ranks[0] + ranks[1]) / 2, leaves(whole))
    for one, other in zip(averaged, together, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_every_prediction_that_a_task_uses_gets_a_gradient_even_without_targets() -> None:
    whole = predictions(1, 1)
    terms = Criterion(points=GridPoints(4, 4))(whole, targets((0,), (0,), (1,), (0,)), SCALE, NO_VECTORS)
    terms.total.backward()
    for layer in whole.layers:
        assert layer.grounding is not None
        assert layer.spatial is not None
        for used in (layer.objects.masks, layer.grounding.masks, layer.grounding.class_vectors):
            assert used.grad is not None
            assert not used.grad.any()
        assert layer.spatial.mask_vectors.grad is not None
        assert layer.spatial.masks.grad is not None


def test_phrases_that_read_the_same_share_their_matches() -> None:
    torch.manual_seed(2)
    whole, truth = predictions(1, 1, layers=1), targets((1,), (2,), (1,))
    assert truth.grounding is not None
    layer = whole.layers[0]
    assert layer.grounding is not None
    ce = {}
    for name, groups in (("same", [4, 4]), ("different", [4, 5])):
        truth_now = replace(truth, grounding=replace(truth.grounding, groups=torch.tensor(groups)))
        terms = Criterion(points=GridPoints(8, 8))(whole, truth_now, SCALE, vectors_of(truth))
        ce[name] = terms.raw["loss_grounding_ce"]
        pairs = terms.pairs["grounding"]
        queries, phrases = pairs.query[0].tolist(), pairs.target[0].tolist()
    unit = torch.nn.functional.normalize
    logits = SCALE.exp() * unit(layer.grounding.class_vectors[0], dim=-1) @ unit(vectors_of(truth), dim=-1).T
    log_p = logits.log_softmax(0)
    own = torch.stack([log_p[q, t] for q, t in zip(queries, phrases, strict=True)])
    torch.testing.assert_close(ce["different"][0], -2.0 * own.mean(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ce["same"][0], -2.0 * log_p[queries].mean(0).mean(), atol=1e-5, rtol=1e-5)


def test_phrases_without_embeddings_are_refused() -> None:
    whole, truth = predictions(1, 1), targets((1,), (1,), (1,))
    with pytest.raises(ValueError, match="embeddings are needed"):
        Criterion(points=GridPoints(8, 8))(whole, truth, SCALE)


def test_the_original_silences_grounding_where_one_image_has_no_phrase_and_we_do_not() -> None:
    whole, truth = predictions(2, 1), targets((2, 2), (2, 0), (1, 1))
    ours = Criterion(points=GridPoints(8, 8))(whole, truth, SCALE, vectors_of(truth))
    theirs = Criterion(LossConfig().as_executed(), GridPoints(8, 8))(whole, truth, SCALE, vectors_of(truth))
    assert (ours.raw["loss_grounding_ce"] > 0).all()
    assert not theirs.raw["loss_grounding_ce"].any()


def test_a_task_without_predictions_or_targets_is_left_out() -> None:
    whole, truth = predictions(1, 1), targets((2,), (2,), (1,))
    only_objects = Predictions(tuple(LayerPredictions(p.objects) for p in whole.layers))
    criterion = Criterion(points=GridPoints(8, 8))
    names = ["loss_mask_ce", "loss_mask_bce", "loss_mask_dice"]
    assert list(criterion(only_objects, truth, SCALE).raw) == names
    assert "loss_spatial_ce" not in criterion(whole, Targets(truth.objects), SCALE).raw


def test_half_precision_predictions_under_autocast_are_computed_in_float32() -> None:
    torch.manual_seed(0)
    whole, truth = predictions(2, 1), targets((2, 2), (2, 1), (1, 1))
    half = Predictions(
        tuple(
            LayerPredictions(
                *(
                    type(part)(**{k: v.bfloat16() for k, v in vars(part).items()})
                    for part in (p.objects, p.grounding, p.spatial)
                )
            )
            for p in whole.layers
        )
    )
    same = Predictions(
        tuple(
            LayerPredictions(
                *(
                    type(part)(**{k: v.float() for k, v in vars(part).items()})
                    for part in (p.objects, p.grounding, p.spatial)
                )
            )
            for p in half.layers
        )
    )
    criterion = Criterion(points=GridPoints(8, 8))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = criterion(half, truth, SCALE, vectors_of(truth))
    expected = criterion(same, truth, SCALE, vectors_of(truth))
    assert all(values.dtype == torch.float32 for values in terms.raw.values())
    torch.testing.assert_close(official_terms(terms), official_terms(expected))


def test_a_diverged_network_is_named_term_by_term() -> None:
    whole, truth = predictions(1, 1), targets((2,), (2,), (1,))
    criterion = Criterion(points=GridPoints(8, 8))
    with torch.no_grad():
        whole.layers[1].objects.masks[0, 3] = float("nan")
    with pytest.raises(NonFiniteLoss, match="matching_objects_1") as caught:
        criterion(whole, truth, SCALE, vectors_of(truth))
    assert caught.value.terms == ("matching_objects_1",)


class Waits(TorchDispatchMode):
    """Collects the operations for which the host would wait for an accelerator."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func is torch.ops.aten.index.Tensor and any(
            i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1]
        )
        name = func.overloadpacket.__name__
        if by_mask or name in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2"):
            self.found.append(str(func))
        return func(*args, **(kwargs or {}))


def test_the_host_waits_for_nothing_but_the_matching() -> None:
    whole, truth = predictions(2, 2), targets((3, 4), (2, 0), (2, 1), (1,))
    with Waits() as waits:
        criterion = Criterion(points=RandomPoints(64))
        counts = criterion.count(truth.sizes, QUERIES)
        criterion(whole, truth, SCALE, vectors_of(truth), counts).total.backward()
    assert waits.found == []


def test_touch_gives_every_parameter_a_zero_gradient() -> None:
    used, unused = torch.nn.Parameter(torch.randn(3)), torch.nn.Parameter(torch.randn(2, 2))
    loss = used.sum() + touch([used, unused])
    loss.backward()
    assert used.grad is not None
    assert used.grad.tolist() == [1.0, 1.0, 1.0]
    assert unused.grad is not None
    assert not unused.grad.any()
