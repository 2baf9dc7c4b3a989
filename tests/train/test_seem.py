"""The whole model: encode once, decode many prompts; what depends on what; bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.layers.drop import DropPath
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from toy import MICRO, NAMES, answer, loss_of, micro, outputs, pictures, prompts

from seem_train.errors import UserError
from seem_train.model.draws import SeededDraws
from seem_train.model.prompts import ImagePrompts, Marks, ObjectPrompt
from seem_train.model.seem import SEEM
from seem_train.weights.opening import load_model

CLICK = ImagePrompts.of([ObjectPrompt(Marks(points=[(20, 30)]))], (64, 64))
DEMO = replace(MICRO, decoder=replace(MICRO.decoder, mode="demo"))


@pytest.fixture(scope="module")
def model() -> SEEM:
    return micro()


@torch.no_grad()
def test_no_prompt_changes_what_the_object_queries_say(model: SEEM) -> None:
    categories = model.class_embeddings(NAMES)
    features = model.encode_image(pictures())
    alone = model.decode(features, categories=categories, every_layer=True)
    prompted = model.decode(features, prompts(), categories, every_layer=True)
    for one, other in zip(alone.layers, prompted.layers, strict=True):
        torch.testing.assert_close(one.objects.masks, other.objects.masks)
        torch.testing.assert_close(one.objects.logits, other.objects.logits)


@torch.no_grad()
def test_what_is_kept_with_the_features_is_what_would_be_computed(model: SEEM) -> None:
    categories = model.class_embeddings(NAMES)
    features = model.encode_image(pictures())
    assert features.memory.keys_values is not None
    bare = replace(features, objects=None, memory=replace(features.memory, keys_values=None))
    for given in (None, prompts()):
        kept, computed = (
            outputs_of(model.decode(f, given, categories, draws=SeededDraws(0))) for f in (features, bare)
        )
        for one, other in zip(kept, computed, strict=True):
            torch.testing.assert_close(one, other)


def outputs_of(predictions) -> list[Tensor]:
    final = predictions.final
    groups = [g for g in (final.objects, final.grounding, final.spatial) if g is not None]
    return [t for g in groups for t in vars(g).values() if isinstance(t, Tensor)]


@torch.no_grad()
def test_decoding_is_deterministic_in_evaluation(model: SEEM) -> None:
    features, given = model.encode_image(pictures()), prompts()
    first, second = (outputs_of(model.decode(features, given)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@torch.no_grad()
def test_images_of_a_batch_do_not_see_each_other(model: SEEM) -> None:
    images, given = pictures(), prompts()
    both = outputs_of(model.decode(model.encode_image(images), given))
    for number in range(2):
        alone = outputs_of(model.decode(model.encode_image(images[number]), given[:1]))
        for one, other in zip(alone, both, strict=True):
            torch.testing.assert_close(one[0], other[number], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_an_object_answers_the_same_whatever_other_objects_are_there(model: SEEM) -> None:
    """All that a spatial query sees is its own; only which learned query it starts from is drawn for all."""
    features = model.encode_image(pictures(1))
    (both,) = prompts(1, memory=False)
    assert both.positive is not None and both.negative is not None
    prepared = model.prepare(features, replace(both, texts=()))
    first = model.prepare(features, ImagePrompts((), both.positive[:1], both.negative[:1]))
    assert prepared.queries is not None
    first = replace(first, queries=prepared.queries[:3])
    many, one = model.decode(features, prepared).final.spatial, model.decode(features, first).final.spatial
    assert many is not None and one is not None
    torch.testing.assert_close(many.masks[:, :3], one.masks, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_refining_gives_the_mask_of_the_best_spatial_query(model: SEEM) -> None:
    features = model.encode_image(pictures())
    prepared = model.prepare(features, prompts())
    refined = model.refine(features, prepared)
    spatial = model.decode(features, prepared).final.spatial
    assert spatial is not None
    fit = torch.einsum("bknd,bkd->bkn", spatial.mask_vectors.unflatten(1, (2, 3)), spatial.positive)
    for b in range(2):
        for k in range(2):
            best = 3 * k + int(fit[b, k].argmax())
            torch.testing.assert_close(refined[b, k], spatial.masks[b, best])


@torch.no_grad()
def test_rounds_of_clicks(model: SEEM) -> None:
    features, previous = model.encode_image(pictures(1)), None
    for x in (10, 20, 30):
        click = ObjectPrompt(Marks(points=[(x, 30)]), Marks(points=[(50, 50)]), previous)
        previous = model.refine(features, ImagePrompts.of([click], (64, 64)))[0, 0]
        assert previous.shape == (16, 16) and previous.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("config", [MICRO, DEMO], ids=["v1", "demo"])
def test_a_region_of_another_image_is_a_prompt(config) -> None:
    model = micro(config)
    features, other = model.encode_image(pictures(1)), model.encode_image(pictures(1, side=96, seed=5))
    marks = torch.zeros(2, 96, 96, dtype=torch.bool)
    marks[0, :30, :30] = marks[1, 60:, 60:] = True
    reference = model.encode_regions(other, [marks])
    masks = model.refine(features, ImagePrompts(reference=reference))
    assert masks.shape == (1, 2, 16, 16) and masks.isfinite().all()
    prediction = model.decode(features, ImagePrompts(("a mug",), reference=reference))
    assert prediction.references is not None and prediction.references.positive.shape == (1, 2, 32)
    assert (prediction.final.spatial is None) == (config is DEMO)


@torch.no_grad()
def test_in_the_demo_mode_prompts_change_the_object_queries() -> None:
    model = micro(DEMO)
    features = model.encode_image(pictures(1))
    alone, clicked = (model.decode(features, p).final.objects.masks for p in (None, CLICK))
    assert (alone - clicked).abs().max() > 1e-4
    assert features.objects is None and model.refine(features, CLICK).shape == (1, 1, 16, 16)


def test_every_parameter_gets_a_gradient_from_one_training_forward() -> None:
    model = micro().train().requires_grad_(True)
    for module in model.modules():
        if isinstance(module, DropPath):
            module.drop_prob = 0.0
    loss_of(model).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == ["language.logit_scale"] or not without


@torch.no_grad()
def test_images_are_normalised_then_padded_to_multiples_of_32(model: SEEM) -> None:
    small, large = pictures(1, side=33)[0], pictures(1, side=50)[0][:, :40]
    batch, sizes = model.normalise([small, large])
    assert batch.shape == (2, 3, 64, 64) and sizes == ((33, 33), (40, 50))
    assert (batch[0, :, 33:] == 0).all() and (batch[0, :, :, 33:] == 0).all()
    torch.testing.assert_close(batch[1, :, :40, :50], (large - model.pixel_mean) / model.pixel_std)
    features = model.encode_image([small, large])
    assert features.mask_features.shape[-2:] == (16, 16) and features.padded == (64, 64)


class _Recorder(TorchDispatchMode):
    """Names and output sizes of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, Tensor]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.seen += [(func.__name__, t) for t in (out if isinstance(out, tuple | list) else [out])]
        return out


@torch.no_grad()
def test_decoding_prepared_prompts_never_waits_for_the_device(model: SEEM) -> None:
    features = model.encode_image(pictures())
    categories = model.class_embeddings(NAMES)
    prepared = model.prepare(features, prompts())
    with _Recorder() as recorder:
        model.decode(features, prepared, categories, every_layer=True)
        model.refine(features, prepared)
    names = {name.split(".")[0] for name, _ in recorder.seen}
    assert names.isdisjoint(
        {"_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "unique"}
    )


@torch.no_grad()
def test_no_mask_is_made_for_each_head(model: SEEM) -> None:
    features = model.encode_image(pictures())
    prepared = model.prepare(features, prompts())
    with _Recorder() as recorder:
        model.decode(replace(features, objects=None), prepared)
    masks = [t for _, t in recorder.seen if isinstance(t, Tensor) and t.dtype == torch.bool and t.dim() == 4]
    assert masks and all(m.shape[1] == 1 for m in masks)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision_stays_near(model: SEEM, dtype: torch.dtype) -> None:
    wanted = outputs(answer(model))
    with torch.autocast("cpu", dtype):
        found = outputs(answer(model))
    assert all(t.isfinite().all() for t in found)
    # The learned queries' answers go through no attention mask that a rounding could flip.
    for one, other in zip(found[:8], wanted[:8], strict=True):
        assert (one.float() - other).abs().mean() < 0.05 * other.abs().mean() + 0.02


@torch.no_grad()
def test_channels_last_changes_nothing(model: SEEM) -> None:
    wanted = outputs(answer(model))
    found = outputs(answer(micro().to(memory_format=torch.channels_last)))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(4, 8, 8), r"must be \[3, H, W\] \(RGB first\), this one is \[4, 8, 8\]"),
        (torch.zeros(8, 8, 3), "must be"),
        (torch.zeros(3, 0, 8), "holds no pixel"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), "must be uint8 or float .* this one is torch.int64"),
        ([], "there is no image"),
        (["cat.jpg"], "must be a torch tensor"),
    ],
)
def test_images_that_are_none_are_refused(model: SEEM, image, message: str) -> None:
    with pytest.raises(UserError, match=message):
        model.encode_image(image)


@torch.no_grad()
def test_prompts_that_do_not_fit_are_refused(model: SEEM) -> None:
    features = model.encode_image(pictures())
    mask = torch.ones(1, 64, 64, dtype=torch.bool)
    for given, message in (
        (CLICK, "2 images are encoded, but prompts are given for 1"),
        ([CLICK, ImagePrompts(positive=mask[:, :50])], r"prompts of image 1: positive masks must be \[K, 64"),
        ([CLICK, ImagePrompts((), mask, mask.repeat(2, 1, 1))], "2 negative masks for 1 objects"),
        ([CLICK, ImagePrompts(negative=mask)], "negative masks need positive ones"),
        ([ImagePrompts((), mask, previous=torch.ones(1, 64, 64)), CLICK], r"must be \[1, 16, 16\] logits"),
        ([ImagePrompts("a mug"), CLICK], "texts must be a list of strings"),
    ):
        with pytest.raises(UserError, match=message):
            model.decode(features, given)
    with pytest.raises(UserError, match="there is no object to refine"):
        model.refine(features, [ImagePrompts(("a mug",))] * 2)
    with pytest.raises(UserError, match="are on meta, the image's features on cpu"):
        model.decode(features, categories=torch.ones(4, 32, device="meta"))


@torch.no_grad()
def test_images_may_have_different_numbers_and_kinds_of_prompts(model: SEEM) -> None:
    features = model.encode_image(pictures(3))
    given = [*prompts(1, memory=False), ImagePrompts(), ImagePrompts(("",))]
    final = model.decode(features, given).final
    assert final.spatial is not None and final.spatial.masks.shape == (3, 6, 16, 16)
    assert (final.spatial.positive[1:] == -1).all()
    assert all(t.isfinite().all() for t in outputs_of(model.decode(features, given)))
    empty = ImagePrompts(positive=torch.zeros(1, 64, 64, dtype=torch.bool))
    assert model.refine(features, [empty] * 3).isfinite().all()


def test_what_cannot_be_decoded_is_refused_in_a_sentence() -> None:
    model, image = load_model("tiny"), torch.zeros(3, 32, 32, dtype=torch.uint8)
    with torch.inference_mode():
        features = model.encode_image(image)
        with pytest.raises(UserError, match=r"this one is \[32, 32\]"):
            model.encode_image(image[0])
        with pytest.raises(UserError, match=r"categories must be \[C\+1, 128\]"):
            model.decode(features, categories=torch.zeros(3, 5))
        with pytest.raises(UserError, match="a text must be a string, not int"):
            model.decode(features, ImagePrompts([3]))  # pyright: ignore[reportArgumentType]
        masks = np.ones((1, 32, 32), bool)
        with pytest.raises(UserError, match="must be a torch tensor, not ndarray"):
            model.decode(features, ImagePrompts((), masks))  # pyright: ignore[reportArgumentType]
