"""Post-processing equals the original's golden cases, and has an answer for empty and odd input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from seem_train.model import postprocess
from tests.parity.evaluation import instances


def _case(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    return json.loads((folder / "case.json").read_text()), load_file(folder / "data.safetensors")


THINGS_OF_COCO = [index < 80 for index in range(133)]


def test_semantic_scores_are_the_originals(shared_parity: Path) -> None:
    _, data = _case(shared_parity / "e2_post_unit")
    scores = postprocess.semantic(data["mask_cls"], data["mask_pred"])
    torch.testing.assert_close(scores[:, ::4, ::4], data["sem_seg"])
    assert torch.equal(scores.argmax(0), data["sem_argmax"])


def test_panoptic_segments_are_the_originals(shared_parity: Path) -> None:
    case, data = _case(shared_parity / "e2_post_unit")
    result = postprocess.panoptic(
        data["mask_cls"],
        data["mask_pred"],
        THINGS_OF_COCO,
        case["object_mask_threshold"],
        case["overlap_threshold"],
    )
    assert torch.equal(result.id_map, data["panoptic"])
    assert [
        {"id": s.id, "isthing": s.isthing, "category_id": s.category_index} for s in result.segments
    ] == case["segments_info"]
    assert [s.area for s in result.segments] == [int((result.id_map == s.id).sum()) for s in result.segments]


@pytest.mark.parametrize("values", [1, 3 * 40 * 52, 10**9])
def test_masks_resized_few_at_a_time_give_the_same_segments(
    values: int, shared_parity: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, data = _case(shared_parity / "e2_post_unit")
    logits, masks = data["mask_cls"], data["mask_pred"]
    at_once = postprocess.panoptic(logits, masks, THINGS_OF_COCO, 0.2, 0.6)
    monkeypatch.setattr(postprocess, "LARGEST_STACK", values)
    on_demand = postprocess.OnDemandMasks(masks, (40, 52), (40, 52), (40, 52))
    in_pieces = postprocess.panoptic(logits, on_demand, THINGS_OF_COCO, 0.2, 0.6)
    assert len(at_once.segments) > 3
    assert torch.equal(at_once.id_map, in_pieces.id_map)
    assert at_once.segments == in_pieces.segments
    labels = postprocess.semantic_labels(logits, masks)
    assert torch.equal(labels, data["sem_argmax"])


def test_silent_queries_are_not_even_resized(shared_parity: Path) -> None:
    _, data = _case(shared_parity / "e2_post_unit")
    asked: list[int] = []

    class Watched(postprocess.OnDemandMasks):
        def at(self, queries: Tensor | slice) -> Tensor:
            asked.extend(range(21)[queries] if isinstance(queries, slice) else queries.tolist())
            return super().at(queries)

    masks = Watched(data["mask_pred"], (40, 52), (40, 52), (40, 52))
    postprocess.panoptic(data["mask_cls"], masks, THINGS_OF_COCO, 0.5)
    assert asked == postprocess.confident(data["mask_cls"], 0.5).nonzero()[:, 0].tolist()
    assert 0 < len(asked) < 21


def test_instances_are_the_originals(shared_parity: Path) -> None:
    case, data = _case(shared_parity / "e2_post_unit")
    result = instances(data["mask_cls"], data["mask_pred"], case["topk"], THINGS_OF_COCO)
    torch.testing.assert_close(result.scores, data["inst_scores"])
    assert torch.equal(result.category_index, data["inst_classes"])
    assert torch.equal(result.masks, data["inst_masks"].bool())


def test_grounding_picks_the_originals_query(shared_parity: Path) -> None:
    _, prompted = _case(shared_parity / "d2_grounding_3texts")
    _, data = _case(shared_parity / "d2_grounding_select")
    weights = load_file(shared_parity / "tiny_v1" / "weights.safetensors")
    scale = weights["sem_seg_head.predictor.lang_encoder.logit_scale"]
    similarity, indices = postprocess.select_grounding(prompted["pred_gtexts"][0], data["class_emb"], scale)
    torch.testing.assert_close(similarity, data["similarity"])
    assert torch.equal(indices, data["matched_id"])
    assert torch.equal(prompted["pred_gmasks"][0, indices], data["pred_gmasks_selected"])


def test_similarity_is_capped_where_the_temperature_runs_away() -> None:
    similarity, _ = postprocess.select_grounding(torch.eye(3), torch.eye(3), torch.tensor(50.0))
    assert similarity.max().item() == pytest.approx(100)


def _logits(*labels: int, categories: int = 3) -> Tensor:
    """Queries that are quite sure of one category each."""
    return torch.nn.functional.one_hot(torch.tensor(labels), categories + 1) * 12.0


def _bars(*columns: tuple[int, int], width: int = 12) -> Tensor:
    """Masks that fill columns a..b-1 of a 4-row image."""
    masks = torch.full((len(columns), 4, width), -5.0)
    for mask, (first, last) in zip(masks, columns, strict=True):
        mask[:, first:last] = 5.0
    return masks


def test_stuff_of_one_category_is_one_segment_and_things_are_many() -> None:
    result = postprocess.panoptic(
        _logits(0, 0, 1, 1), _bars((0, 3), (3, 6), (6, 9), (9, 12)), [True, False, True]
    )
    assert [(s.id, s.category_index, s.area) for s in result.segments] == [(1, 0, 12), (2, 0, 12), (3, 1, 24)]
    assert result.id_map[0].tolist() == [1] * 3 + [2] * 3 + [3] * 6
    assert result.id_map.dtype == torch.int32


def test_a_segment_mostly_covered_by_a_stronger_one_is_dropped() -> None:
    logits = _logits(0, 0)
    logits[1, 0] = 3.0  # the weaker claim
    result = postprocess.panoptic(logits, _bars((0, 6), (2, 8)), [True] * 3, object_threshold=0.5)
    assert [(s.id, s.area) for s in result.segments] == [(1, 24)]
    lenient = postprocess.panoptic(logits, _bars((0, 6), (2, 8)), [True] * 3, 0.5, overlap_threshold=0.3)
    assert [(s.id, s.area) for s in lenient.segments] == [(1, 24), (2, 8)]


def test_background_and_timid_queries_say_nothing() -> None:
    result = postprocess.panoptic(
        torch.cat((_logits(3), torch.zeros(1, 4))), _bars((0, 6), (6, 12)), [True] * 3
    )
    assert not result.id_map.any()
    assert result.segments == []


def test_no_queries_at_all_give_empty_results() -> None:
    none, masks = torch.zeros(0, 4), torch.zeros(0, 6, 7)
    assert postprocess.panoptic(none, masks, [True] * 3).id_map.shape == (6, 7)
    assert instances(none, masks, 10).masks.shape == (0, 6, 7)
    assert not postprocess.semantic(none, masks).any()
    assert postprocess.resize_masks(masks, (32, 32), (30, 31), (8, 9)).shape == (0, 8, 9)


def test_things_only_drops_stuff_after_the_choice() -> None:
    result = instances(_logits(0, 1, 2), _bars((0, 3), (3, 6), (6, 9)), 3, [True, False, True])
    assert sorted(result.category_index.tolist()) == [0, 2]
    everything = instances(_logits(0, 1, 2), _bars((0, 3), (3, 6), (6, 9)), 3, None)
    assert sorted(everything.category_index.tolist()) == [0, 1, 2]
    assert everything.scores.tolist() == sorted(everything.scores.tolist(), reverse=True)


def test_an_instance_without_pixels_scores_nothing() -> None:
    result = instances(_logits(0), torch.full((1, 4, 4), -3.0), 1)
    assert result.scores.tolist() == [0.0]
    assert not result.masks.any()


def test_masks_are_cropped_from_the_padded_size_before_they_are_scaled() -> None:
    masks = torch.full((1, 8, 8), -4.0)
    masks[:, :4, :4] = 4.0  # the image is the upper left quarter of the padded batch
    out = postprocess.resize_masks(masks, (32, 32), (14, 14), (28, 56))
    assert out.shape == (1, 28, 56)
    assert (out > 0).all()


def test_masks_that_already_fit_are_left_as_they_are() -> None:
    masks = torch.randn(2, 32, 64)
    assert torch.equal(postprocess.resize_masks(masks, (32, 64), (32, 64), (32, 64)), masks)
    same = torch.nn.functional.interpolate(
        masks[None], size=(32, 64), mode="bicubic", align_corners=False, antialias=True
    )
    assert torch.equal(same[0], masks)  # so leaving the step out changes nothing
