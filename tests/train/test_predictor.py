"""A photo is embedded once and asked many times; answers are the model's own, at the photo's own size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from toy import MICRO, NAMES, micro

from seem_train import Predictor
from seem_train.data.image_scale import OBJECTS, Scale, scaled_mask
from seem_train.errors import UserError
from seem_train.model import postprocess
from seem_train.model.postprocess import resize_masks
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM
from seem_train.prediction.answers import Objects
from seem_train.prediction.conversation import about_mask
from seem_train.prediction.prompt_types import Prompts
from tests.parity.evaluation import instances

HEIGHT, WIDTH, SIDE = 90, 140, 64


def _photo(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _mask(top: int = 20, left: int = 30, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[top : top + 30, left : left + 40] = True
    return mask


@pytest.fixture(scope="module")
def model() -> SEEM:
    return micro()


@pytest.fixture
def predictor(model: SEEM) -> Predictor:
    predictor = Predictor(model, NAMES, size=SIDE)
    predictor.set_image(_photo())
    return predictor


@pytest.fixture(scope="module")
def demo() -> Predictor:
    predictor = Predictor(
        micro(replace(MICRO, decoder=replace(MICRO.decoder, mode="demo"))), NAMES, size=SIDE
    )
    predictor.set_image(_photo())
    return predictor


class _Counted(nn.Module):
    """Counts how often images go through the trunk."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk, self.images = trunk, 0

    def forward(self, x: torch.Tensor) -> Any:
        self.images += len(x)
        return self.trunk(x)


# Everything. -----------------------------------------------------------------------------------------------


def _direct(model: SEEM, photo: np.ndarray, scale: Scale) -> tuple[torch.Tensor, torch.Tensor]:
    """Class logits and mask logits at the photo's size, made of the model's own calls."""
    with torch.no_grad():
        features = model.encode_image(scale.apply(photo))
        objects = model.decode(features, categories=model.class_embeddings(NAMES)).final.objects
    assert objects.logits is not None
    size = photo.shape[0], photo.shape[1]
    return objects.logits[0], resize_masks(objects.masks[0], features.padded, features.sizes[0], size)


def test_panoptic_semantic_and_instances_are_those_of_evaluation(model: SEEM, predictor: Predictor) -> None:
    logits, masks = _direct(model, _photo(), Scale.of(SIDE))
    things = [True] * 3
    expected = postprocess.panoptic(logits, masks, things, 0.0, 0.1)
    found = predictor.panoptic(object_threshold=0.0, overlap_threshold=0.1)
    assert found.segments
    assert np.array_equal(found.id_map, expected.id_map.numpy())
    assert found.segments == expected.segments
    semantic = predictor.semantic()
    assert np.array_equal(semantic.labels, postprocess.semantic(logits, masks).argmax(0).numpy())
    assert sum(semantic.areas.values()) == HEIGHT * WIDTH
    expected_instances = instances(logits, masks, is_thing=things)
    ours = predictor.instances()
    assert np.allclose(ours.scores, expected_instances.scores.numpy(), atol=1e-6)
    assert np.array_equal(ours.category_index, expected_instances.category_index.numpy())
    assert np.array_equal(ours.masks, expected_instances.masks.numpy())


def test_thresholds_left_out_are_the_models(predictor: Predictor) -> None:
    assert predictor.panoptic().segments == []  # a new model is sure of nothing
    assert not predictor.panoptic().id_map.any()


def test_categories_are_named_at_call_time(predictor: Predictor) -> None:
    answer = predictor.semantic(["sky", {"name": "road", "isthing": False}, "mug"])
    assert set(answer.areas) <= {"sky", "road", "mug"}
    assert [category.isthing for category in answer.categories] == [True, False, True]
    assert predictor.semantic("sky, road").categories[1].name == "road"
    assert predictor.semantic().categories == predictor.categories


def test_instances_are_things_and_can_be_cut_by_score(predictor: Predictor) -> None:
    named = [{"name": "mug"}, {"name": "sky", "isthing": False}]
    assert set(predictor.instances(named).names) <= {"mug"}
    everything = predictor.instances()
    middle = float(np.median(everything.scores))
    few = predictor.instances(min_score=middle)
    assert 0 < len(few) < len(everything)
    assert few.scores.tolist() == [score for score in everything.scores if score >= middle]
    assert len(predictor.instances(top=3)) == 3


def test_a_bare_model_knows_cocos_categories_and_the_originals_size(model: SEEM) -> None:
    predictor = Predictor(model)
    assert len(predictor.categories) == 133
    assert predictor.scale == OBJECTS


# What is asked for. ----------------------------------------------------------------------------------------


def test_marks_go_to_the_model_painted_at_the_size_it_sees(model: SEEM, predictor: Predictor) -> None:
    found = predictor.segment(masks=_mask())
    with torch.no_grad():
        features = model.encode_image(predictor.scale.apply(_photo()))
        painted = torch.from_numpy(scaled_mask(_mask(), features.sizes[0]))[None]
        logits = model.refine(features, ImagePrompts(positive=painted))[0]
    expected = resize_masks(logits, features.padded, features.sizes[0], (HEIGHT, WIDTH), "bilinear") > 0
    assert np.array_equal(found.masks, expected.numpy())


def test_a_text_finds_the_region_that_evaluation_finds(model: SEEM, predictor: Predictor) -> None:
    texts = ["the red mug", "a plate on the left"]
    found = predictor.segment(text=texts)
    with torch.no_grad():
        features = model.encode_image(predictor.scale.apply(_photo()))
        grounding = model.decode(features, ImagePrompts(texts)).final.grounding
        assert grounding is not None
        vectors, scale = model.encode_text(texts).vectors, model.language.logit_scale
        _, best = postprocess.select_grounding(grounding.class_vectors[0], vectors, scale)
    expected = resize_masks(grounding.masks[0][best], features.padded, features.sizes[0], (HEIGHT, WIDTH)) > 0
    assert np.array_equal(found.masks, expected.numpy())
    assert found.names == texts


@pytest.mark.parametrize("which", ["v1", "demo"])
@pytest.mark.parametrize(
    "prompts",
    [
        {"text": "mug"},
        {"points": [(30, 40)]},
        {"points": [(30, 40), (100, 80, 0)]},
        {"boxes": (10, 10, 60, 50)},
        {"strokes": [(10, 10), (50, 60), (100, 20)]},
        {"strokes": _mask()},
        {"masks": _mask()},
        {"reference": (_photo(50, 50, 3), _mask(5, 5, 50, 50))},
        {"text": "mug", "points": [(30, 40)], "boxes": (10, 10, 60, 50), "masks": _mask()},
        {"text": "mug", "reference": (_photo(50, 50, 3), _mask(5, 5, 50, 50))},
    ],
    ids=lambda prompts: "+".join(prompts),
)
def test_every_prompt_and_combination_is_answered_and_refined(
    predictor: Predictor, demo: Predictor, which: str, prompts: dict[str, Any]
) -> None:
    asked = predictor if which == "v1" else demo
    found = asked.segment(**prompts)
    assert found.masks.shape == (1, HEIGHT, WIDTH)
    assert 0 <= found.scores[0] <= 1
    again = asked.segment(**prompts)
    assert np.array_equal(found.masks, again.masks), "the same question, the same answer"
    assert asked.refine(points=[(5, 5, 0)]).masks.shape == (1, HEIGHT, WIDTH)


@pytest.mark.parametrize("which", ["v1", "demo"])
def test_several_objects_at_once(predictor: Predictor, demo: Predictor, which: str) -> None:
    asked = predictor if which == "v1" else demo
    reference = _photo(50, 50, 3), _mask(5, 5, 50, 50)
    found = asked.segment(
        text=["mug", None, None, None],
        points=[None, [(3, 4), (9, 9, 0)], [(70, 50)], None],
        reference=[None, None, None, reference],
    )
    assert found.names == ["mug", "object", "object", "object"]
    assert found.masks.shape == (4, HEIGHT, WIDTH)
    refined = asked.refine(points=[None, [(20, 20)], None, None])
    assert len(refined) == 4


def test_a_reference_on_the_photo_itself_is_a_mark_on_it(predictor: Predictor) -> None:
    mask = _mask() & (np.arange(WIDTH) < 50)  # few enough pixels that all are taken, none drawn
    marked = predictor.segment(masks=mask)
    referred = predictor.segment(reference=(_photo(), mask))
    assert np.array_equal(marked.masks, referred.masks)


def test_two_references_on_one_photo_are_two_objects(predictor: Predictor) -> None:
    other = _photo(50, 50, 3)
    masks = np.stack([_mask(0, 0, 50, 50), _mask(20, 10, 50, 50)])
    together = predictor.segment(reference=(other, masks))
    one_by_one = predictor.segment(reference=[(other, masks[0]), (other, masks[1])])
    assert np.array_equal(together.masks, one_by_one.masks)


def test_of_all_regions_a_text_may_mean_the_one_that_is_marked_is_taken(predictor: Predictor) -> None:
    # Words alone choose one region; with marks made of another candidate the other is chosen.
    model = predictor.model
    with torch.no_grad():
        model.language.logit_scale.fill_(-9.0)  # all regions are equally likely: only marks decide
        try:
            found = predictor.segment(text="mug", masks=_mask())
            marks_alone = predictor.segment(masks=_mask())
            features = predictor._now.features
            grounding = model.decode(features, ImagePrompts(["mug"])).final.grounding
        finally:
            model.language.logit_scale.fill_(1.0)
    assert grounding is not None
    candidates = (
        resize_masks(grounding.masks[0], features.padded, features.sizes[0], (HEIGHT, WIDTH))
        .sigmoid()
        .numpy()
    )
    probabilities = marks_alone.masks[0].astype(float)
    both = (candidates * probabilities).sum((1, 2))
    iou = both / (candidates.sum((1, 2)) + probabilities.sum() - both)
    taken = int(np.abs((candidates > 0.5) ^ found.masks[0]).sum((1, 2)).argmin())
    assert iou[taken] > np.median(iou)


def test_refining_remembers_marks_and_masks(model: SEEM, predictor: Predictor) -> None:
    predictor.segment(points=[(30, 40)])
    refined = predictor.refine(points=[(60, 50, 0)])
    forgetful = predictor.segment(points=[(30, 40), (60, 50, 0)])
    assert not np.array_equal(refined.masks, forgetful.masks), "the last mask takes part"
    features = predictor._now.features
    positive = torch.zeros(1, *features.sizes[0], dtype=torch.bool)
    negative = torch.zeros_like(positive)
    down, across = features.sizes[0][0] / HEIGHT, features.sizes[0][1] / WIDTH
    for sign, (x, y) in ((positive, (30, 40)), (negative, (60, 50))):
        row, column = int((y + 0.5) * down), int((x + 0.5) * across)
        sign[0, row - 1 : row + 2, column - 1 : column + 2] = True
    first = model.refine(features, ImagePrompts(positive=positive))[0]
    second = model.refine(features, ImagePrompts((), positive, negative, first))[0]
    expected = resize_masks(second, features.padded, features.sizes[0], (HEIGHT, WIDTH), "bilinear") > 0
    assert np.array_equal(refined.masks, expected.numpy())


def test_reset_forgets_prompts_and_keeps_the_photo(predictor: Predictor) -> None:
    predictor.segment(points=[(30, 40)])
    predictor.reset()
    with pytest.raises(UserError, match="nothing to refine"):
        predictor.refine(points=[(1, 1)])
    assert predictor.segment(points=[(30, 40)]).masks.any()
    predictor.set_image(_photo(seed=5))
    with pytest.raises(UserError, match="nothing to refine"):
        predictor.refine(points=[(1, 1)])


def test_a_photo_is_embedded_once_however_often_it_is_asked() -> None:
    model = micro()
    counter = model.backbone = _Counted(model.backbone)
    predictor = Predictor(model, NAMES, size=SIDE)
    predictor.set_image(_photo())
    predictor.panoptic()
    predictor.segment(text="mug")
    predictor.segment(points=[(3, 3)])
    predictor.refine(points=[(9, 9, 0)])
    assert counter.images == 1
    reference = _photo(50, 50, 3), _mask(5, 5, 50, 50)
    predictor.segment(reference=reference)
    predictor.segment(reference=reference)
    assert counter.images == 2, "the last reference is kept"


def test_photos_embedded_together_are_answered_as_alone(predictor: Predictor) -> None:
    photos = [_photo(seed=0), _photo(50, 30, 1), _photo(seed=2)]
    for photo, embedded in zip(photos, predictor.embed(photos), strict=True):
        predictor.set_image(embedded)
        together = predictor.instances(), predictor.segment(points=[(3, 3)])
        predictor.set_image(photo)
        alone = predictor.instances(), predictor.segment(points=[(3, 3)])
        for one, other in zip(together, alone, strict=True):
            assert np.allclose(one.scores, other.scores, atol=1e-5)
            assert (one.masks != other.masks).mean() < 1e-3


# What users do. --------------------------------------------------------------------------------------------


def test_coordinates_are_those_of_the_photo_as_viewers_show_it(tmp_path: Path, predictor: Predictor) -> None:
    stored = np.rot90(_photo()).copy()  # so that orientation 6 shows _photo()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif)
    upright = predictor.segment(points=[(130, 80)])
    predictor.set_image(tmp_path / "turned.png")
    assert np.array_equal(predictor.image, _photo())
    turned = predictor.segment(points=[(130, 80)])
    assert np.array_equal(turned.masks, upright.masks)
    assert turned.file_name == "turned.png"


def test_prompts_before_a_photo_and_negatives_alone_are_told(model: SEEM, predictor: Predictor) -> None:
    fresh = Predictor(model, NAMES, size=SIDE)
    for call in (fresh.panoptic, fresh.semantic, fresh.instances, lambda: fresh.segment(text="mug")):
        with pytest.raises(UserError, match="call set_image first"):
            call()
    with pytest.raises(UserError, match="object 0 only says what it is not"):
        predictor.segment(points=[(3, 3, 0)])
    with pytest.raises(UserError, match="object 1 has no prompt"):
        predictor.segment(points=[[(3, 3)], None])
    predictor.segment(points=[[(3, 3)], [(9, 9)]])
    with pytest.raises(UserError, match="2 objects were segmented, but marks are given for 1"):
        predictor.refine(points=[(1, 1)])
    with pytest.raises(UserError, match="as its image is"):
        predictor.segment(reference=(_photo(50, 50), _mask()))


def test_an_unreadable_photo_leaves_the_last_one(tmp_path: Path, predictor: Predictor) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    before = predictor.segment(points=[(3, 3)])
    with pytest.raises(UserError, match=r"bad\.jpg"):
        predictor.set_image(tmp_path / "bad.jpg")
    assert np.array_equal(predictor.segment(points=[(3, 3)]).masks, before.masks)


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (300, 2), (33, 31)])
def test_photos_of_any_shape_are_answered_at_their_size(model: SEEM, shape: tuple[int, int]) -> None:
    predictor = Predictor(model, NAMES, size=SIDE)
    predictor.set_image(_photo(*shape))
    assert predictor.panoptic(object_threshold=0.0).id_map.shape == shape
    assert predictor.semantic().labels.shape == shape
    assert predictor.instances(top=5).masks.shape[1:] == shape
    found = predictor.segment(text="mug", points=[(0, 0)], boxes=(0, 0, 1, 1))
    assert found.masks.shape == (1, *shape)
    assert found.draw().shape == (*shape, 3)


@pytest.mark.parametrize("kind", ["grey", "RGBA", "one bit", "sixteen bits"])
def test_photos_of_any_kind_are_answered(predictor: Predictor, kind: str) -> None:
    photo = {
        "grey": _photo()[..., 0],
        "RGBA": np.dstack([_photo(), _photo()[..., 0]]),
        "one bit": _photo()[..., 0] > 100,
        "sixteen bits": _photo()[..., 0].astype(np.uint16) * 257,
    }[kind]
    predictor.set_image(photo)
    assert predictor.segment(points=[(3, 3)]).masks.shape == (1, HEIGHT, WIDTH)


def test_results_too_large_for_memory_are_decided_smaller_and_enlarged(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = predictor.panoptic(object_threshold=0.0, overlap_threshold=0.1), predictor.semantic()
    monkeypatch.setattr("seem_train.prediction.full_size._LARGEST_DECISION", HEIGHT * WIDTH * 5)
    small = predictor.panoptic(object_threshold=0.0, overlap_threshold=0.1), predictor.semantic()
    assert small[0].id_map.shape == exact[0].id_map.shape
    assert small[1].labels.shape == exact[1].labels.shape
    for segment in small[0].segments:
        assert segment.area == small[0].mask(segment).sum()
    assert (small[1].labels == exact[1].labels).mean() > 0.9


@pytest.mark.slow
def test_a_photo_of_48_megapixels_is_answered(model: SEEM) -> None:
    predictor = Predictor(model, NAMES, size=SIDE)
    predictor.set_image(np.broadcast_to(_photo(1, 8000), (6000, 8000, 3)))
    assert predictor.panoptic(object_threshold=0.0, overlap_threshold=0.1).id_map.shape == (6000, 8000)
    found = predictor.segment(points=[(7999, 5999)])
    assert found.masks.shape == (1, 6000, 8000)
    assert found.draw(longest=400).shape == (300, 400, 3)


_spot = st.tuples(st.integers(-9, WIDTH + 9), st.integers(-9, HEIGHT + 9))
_prompts = st.fixed_dictionaries(
    {},
    optional={
        "text": st.one_of(st.text(max_size=20), st.lists(st.text(max_size=8), max_size=2)),
        "points": st.lists(_spot, max_size=3),
        "boxes": st.tuples(_spot, _spot).map(lambda b: (*b[0], *b[1])),
        "strokes": st.lists(_spot, max_size=4),
    },
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_prompts)
def test_any_prompt_is_answered_or_refused_in_a_sentence(predictor: Predictor, given: dict[str, Any]) -> None:
    try:
        found = predictor.segment(**given)
    except UserError as error:
        assert str(error)
    else:
        assert isinstance(found, Objects)
        assert found.masks.shape == (len(found), HEIGHT, WIDTH)


def test_the_size_and_the_model_are_checked(model: SEEM, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="size 0: must be above 0"):
        Predictor(model, size=0)
    with pytest.raises(UserError, match="none is named"):
        Predictor(model, [])
    with pytest.raises(UserError):
        Predictor(tmp_path / "nothing")


def test_numbers_from_python_are_checked_as_on_the_command_line(model: SEEM, predictor: Predictor) -> None:
    for call, message in [
        (lambda: Predictor(model, precision="int8"), "precision 'int8': there are auto, fp32"),  # type: ignore[arg-type]
        (lambda: Predictor(model, precision="fp16"), "for GPUs"),
        (lambda: predictor.instances(top=-1), "top -1: must be above 0"),
        (lambda: predictor.instances(min_score=1.5), "min_score 1.5: must lie between 0 and 1"),
        (lambda: predictor.panoptic(object_threshold=-1), "object_threshold -1: must lie"),
        (lambda: predictor.panoptic(overlap_threshold=8), "overlap_threshold 8: must lie"),
    ]:
        with pytest.raises(UserError, match=message):
            call()


def test_auto_means_full_precision_on_a_cpu(model: SEEM, predictor: Predictor) -> None:
    automatic = Predictor(model, NAMES, size=SIDE, precision="auto")
    automatic.set_image(_photo())
    for one, other in zip(automatic.instances().scores, predictor.instances().scores, strict=True):
        assert one == other


def test_prompts_can_be_kept_and_asked_of_several_photos(predictor: Predictor) -> None:
    kept = Prompts(points=[(30, 40), (5, 5, 0)])
    assert np.array_equal(
        predictor.segment_prompts(kept).masks, predictor.segment(points=[(30, 40), (5, 5, 0)]).masks
    )
    assert not Prompts(points=[], text=None)


# Many objects in turn. --------------------------------------------------------------------------------------


def test_conversations_about_several_objects_can_be_gone_on_with_in_any_order(predictor: Predictor) -> None:
    first = predictor.segment(points=[(30, 40)])
    about_first = predictor.conversation
    predictor.segment(boxes=(10, 10, 60, 50))
    predictor.resume(about_first)
    taken_up = predictor.refine(points=[(90, 60)])
    predictor.segment(points=[(30, 40)])
    straight_on = predictor.refine(points=[(90, 60)])
    assert np.array_equal(taken_up.masks, straight_on.masks)
    predictor.resume(about_first)
    assert np.array_equal(predictor.refine(points=[(90, 60)]).masks, straight_on.masks), "a way back stays"
    assert first.masks.shape == straight_on.masks.shape


def test_a_mask_from_elsewhere_can_be_refined(predictor: Predictor) -> None:
    conversation = about_mask(_mask(), predictor._now)
    ((x, y),) = conversation.asked[0].positive.points
    assert _mask()[int(y), int(x)]
    assert conversation.memory is not None
    remembered = resize_masks(
        conversation.memory,
        predictor._now.features.padded,
        predictor._now.features.sizes[0],
        (HEIGHT, WIDTH),
    )
    both, either = (remembered[0].numpy() > 0) & _mask(), (remembered[0].numpy() > 0) | _mask()
    assert both.sum() / either.sum() > 0.8, "what is remembered is that mask, as coarse as memory is"
    predictor.resume(conversation)
    assert predictor.refine(points=[(60, 40, 0)]).masks.shape == (1, HEIGHT, WIDTH)


def test_the_coarse_categories_of_pixels_are_those_of_semantic(predictor: Predictor) -> None:
    coarse, fine = predictor.coarse_semantic(), predictor.semantic().labels
    rows = np.arange(HEIGHT) * coarse.shape[0] // HEIGHT
    columns = np.arange(WIDTH) * coarse.shape[1] // WIDTH
    assert (coarse[rows[:, None], columns] == fine).mean() > 0.8
