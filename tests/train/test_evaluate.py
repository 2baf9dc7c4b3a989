"""A model and a split become numbers: right for one that knows the truth, the same for any split of work."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from panopticapi.evaluation import pq_compute
from PIL import Image
from tiny_dataset import HEIGHT, WIDTH, write_dataset
from torch import Tensor, nn

from seem_train.data.dataset import SegmentationSet
from seem_train.errors import UserError
from seem_train.evaluation import evaluate as scoring
from seem_train.evaluation.comparison import read_earlier
from seem_train.evaluation.evaluate import EvaluationSettings
from seem_train.evaluation.result import EvaluationResult, gains, shown_number
from seem_train.evaluation.tasks import TASKS
from seem_train.model.config import PostprocessConfig
from seem_train.model.predictions import (
    GroundingPredictions,
    LayerPredictions,
    ObjectPredictions,
    Predictions,
)
from seem_train.model.prompts import ImagePrompts
from seem_train.model.seem import SEEM
from seem_train.runtime import Runtime
from seem_train.weights.presets import get_preset

#: every query speaks, so that an untrained model predicts something
TALKATIVE = EvaluationSettings(size=64, object_threshold=0.0, overlap_threshold=0.0, max_clicks=3)


class Oracle(nn.Module):
    """Answers every prompt with the truth of the image it was shown last.

    Photos are enlarged four times, so that its masks, a quarter of what it sees, are as large as the truth.
    """

    size = 4 * HEIGHT

    def __init__(self, dataset: Path) -> None:
        super().__init__()
        images = SegmentationSet(dataset, "val")
        self.known = [images.load(index) for index in range(len(images))]
        self.names = images.names
        self.config = SimpleNamespace(postprocess=PostprocessConfig(max_clicks=3))
        self.language = SimpleNamespace(logit_scale=torch.tensor(2.0))
        self.device = torch.device("cpu")
        self.shown = self.known[0]
        self.clicks: list[ImagePrompts] = []

    def encode_image(self, image: Tensor) -> Any:
        small = F.interpolate(image[None].float(), (HEIGHT, WIDTH), mode="area")[0]
        distances = [(small - sample.image).abs().mean() for sample in self.known]
        self.shown = self.known[int(torch.stack(distances).argmin())]
        self.clicks = []
        size = (image.shape[-2], image.shape[-1])
        return SimpleNamespace(sizes=(size,), padded=size)

    def class_embeddings(self, names: list[str]) -> Tensor:
        return torch.eye(len(names) + 1)

    def truth(self) -> Tensor:
        """[N, H, W] mask logits."""
        places = torch.arange(1, len(self.shown.segments) + 1)[:, None, None]
        return (self.shown.id_map[None] == places).float() * 20 - 10

    def decode(
        self, _features: Any, prompts: ImagePrompts | None = None, categories: Tensor | None = None
    ) -> Any:
        # One more query, which is sure of the background.
        masks = torch.cat((self.truth(), torch.full((1, HEIGHT, WIDTH), -10.0)))[None]
        labels = torch.tensor([*(s.category for s in self.shown.segments), len(self.names)])
        logits = 20 * F.one_hot(labels, len(self.names) + 1).float()[None]
        vectors = torch.eye(8)[None, : len(labels)]
        objects = ObjectPredictions(vectors, vectors, masks, logits if categories is not None else None)
        grounding = None if prompts is None else GroundingPredictions(vectors, masks)
        return Predictions((LayerPredictions(objects, grounding),))

    def encode_text(self, texts: list[str]) -> Any:
        place = {phrase.sentences[0].raw: phrase.segment for phrase in self.shown.phrases}
        place |= {self.names[segment.category]: n for n, segment in enumerate(self.shown.segments)}
        return SimpleNamespace(vectors=torch.eye(8)[[place[text] for text in texts]])

    def refine(self, _features: Any, prompts: ImagePrompts, _draws: Any) -> Tensor:
        self.clicks.append(prompts)
        things = [n for n, s in enumerate(self.shown.segments) if s.category != 2 and not s.iscrowd]
        return self.truth()[things][None]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "dataset")


@pytest.fixture(scope="module")
def model() -> SEEM:
    torch.manual_seed(0)
    return SEEM(get_preset("tiny").config).eval()


def evaluate(
    model: Any, dataset: Path, split: str = "val", tasks: Any = TASKS, **how: Any
) -> EvaluationResult:
    return scoring.evaluate(model, SegmentationSet(dataset, split), tasks, **how)


def know(dataset: Path, **settings: Any) -> EvaluationResult:
    oracle: Any = Oracle(dataset)
    return evaluate(oracle, dataset, settings=EvaluationSettings(size=Oracle.size, **settings), show=2)


def test_a_model_that_knows_the_truth_scores_one_in_every_task(dataset: Path) -> None:
    result = know(dataset)
    assert result.panoptic is not None
    assert result.semantic is not None
    assert result.instance is not None
    assert result.grounding is not None
    assert result.interactive is not None
    assert (result.panoptic.all.pq, result.panoptic.all.categories) == (pytest.approx(1, abs=1e-9), 3)
    assert (result.semantic.miou, result.semantic.pixel_accuracy) == (1, 1)
    assert (result.instance.ap, result.instance.ap50) == (pytest.approx(1), pytest.approx(1))
    assert (result.grounding.ciou, result.grounding.phrases) == (1, 4 + 1 + 2 + 2 + 1)
    assert result.interactive.noc == {"0.5": 1, "0.8": 1, "0.85": 1, "0.9": 1}
    assert result.interactive.objects == 1 + 2 + 2 + 1  # the crowd is none
    assert result.images == 5
    assert [row["pq"] for row in result.per_class()] == pytest.approx([1, 1, 1], abs=1e-9)


def test_the_first_click_lies_deepest_inside_and_is_positive(dataset: Path) -> None:
    oracle: Any = Oracle(dataset)
    settings = EvaluationSettings(size=Oracle.size, limit=1)
    evaluate(oracle, dataset, tasks=["interactive"], settings=settings)
    (prompts,) = oracle.clicks
    assert prompts.previous is None
    assert not prompts.negative.any()
    rows, columns = prompts.positive[0].nonzero(as_tuple=True)
    thing = (oracle.shown.id_map == 2).nonzero()
    centre = 4 * thing.float().mean(0) + 1.5
    assert len(rows) == 9
    assert abs(rows.float().mean() - centre[0]) < 8
    assert abs(columns.float().mean() - centre[1]) < 8


def test_without_grounding_json_the_names_of_lone_categories_are_asked(tmp_path: Path) -> None:
    result = know(write_dataset(tmp_path, grounding=False))
    assert result.grounding is not None
    # Cups and tables are alone in all four images; plates only in images 1 and 2, there beside a crowd.
    assert (result.grounding.ciou, result.grounding.phrases) == (1, 4 + 4 + 1)


def test_sentences_of_crowds_are_not_asked_as_in_training(dataset: Path) -> None:
    before = know(dataset).grounding
    rows = json.loads((dataset / "val" / "panoptic.json").read_text())
    grounding = json.loads((dataset / "val" / "grounding.json").read_text())
    crowds = [
        (row["image_id"], s["id"])
        for row in rows["annotations"]
        for s in row["segments_info"]
        if s["iscrowd"]
    ]
    grounding["annotations"] += [
        {
            "id": 900 + n,
            "image_id": image,
            "segment_id": id_,
            "category_id": 7,
            "sentences": [{"raw": "all the plates", "kind": "own"}],
        }
        for n, (image, id_) in enumerate(crowds)
    ]
    (dataset / "val" / "grounding.json").write_text(json.dumps(grounding))
    assert crowds
    assert know(dataset).grounding == before


def test_phrases_score_as_the_original_to_the_last_digit_since_photos_are_bilinear(
    tmp_path: Path, model: SEEM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the original's way from file to cIoU: PIL, detectron2's size, its matching and resizing."""
    dataset, seen = write_dataset(tmp_path, images=2), []
    encode = model.encode_image
    monkeypatch.setattr(model, "encode_image", lambda photo: seen.append(photo) or encode(photo))
    ours = evaluate(model, dataset, tasks=["grounding"], settings=EvaluationSettings(limit=1)).grounding
    assert ours is not None and ours.ciou == _original_ciou(model, dataset) > 0
    scored, expected = seen
    assert torch.equal(scored, expected)
    assert not torch.equal(scored, _seen_by_the_original(dataset, "0.png", Image.Resampling.BICUBIC))


def _seen_by_the_original(
    dataset: Path, name: str, resampling: Image.Resampling = Image.Resampling.BILINEAR
) -> Tensor:
    photo = Image.open(dataset / "val" / "images" / name).convert("RGB")
    photo = np.array(photo.resize((512 * WIDTH // HEIGHT, 512), resampling))
    return torch.from_numpy(photo).permute(2, 0, 1)


@torch.no_grad()
def _original_ciou(model: SEEM, dataset: Path) -> float:
    """As `evaluate_grounding` and `GroundingEvaluator` do it: all first sentences of an image at once."""
    split = SegmentationSet(dataset, "val")
    intersection = union = 0
    for index in range(len(split)):
        sample = split.load(index)
        phrases = [p for p in sample.phrases if not sample.segments[p.segment].iscrowd]
        texts = [p.sentences[0].raw.lower() for p in phrases]
        if not texts:
            continue
        features = model.encode_image(_seen_by_the_original(dataset, split.images[index].file_name))
        answer = model.decode(features, ImagePrompts(texts)).final.grounding
        assert answer is not None
        scores = answer.class_vectors[0] / (answer.class_vectors[0].norm(dim=-1, keepdim=True) + 1e-7)
        vectors = model.encode_text(texts).vectors
        vectors = vectors / (vectors.norm(dim=-1, keepdim=True) + 1e-7)
        best = (scores @ vectors.t()).argmax(0)
        masks = F.interpolate(answer.masks[:, best], features.padded, mode="bilinear", align_corners=False)
        masks = masks[..., : features.sizes[0][0], : features.sizes[0][1]]
        masks = F.interpolate(masks, (HEIGHT, WIDTH), mode="bicubic", align_corners=False, antialias=True)[0]
        for mask, phrase in zip(masks.sigmoid() > 0.5, phrases, strict=True):
            truth = sample.id_map == phrase.segment + 1
            intersection += int((mask & truth).sum())
            union += int((mask | truth).sum())
    return intersection / union


def test_every_sentence_can_be_asked(dataset: Path, model: SEEM) -> None:
    first = evaluate(model, dataset, tasks=["grounding"], settings=TALKATIVE).grounding
    every = evaluate(
        model, dataset, tasks=["grounding"], settings=replace(TALKATIVE, all_sentences=True)
    ).grounding
    assert first is not None
    assert every is not None
    assert every.phrases == 2 * first.phrases


def test_predictions_on_disk_score_the_same_with_panopticapi(
    dataset: Path, model: SEEM, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = evaluate(model, dataset, tasks=["panoptic"], settings=TALKATIVE, predictions=out)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = _pq_compute(dataset / "val", out)
    assert result.panoptic is not None
    assert theirs["All"]["n"] == result.panoptic.all.categories
    for group, ours in (("All", result.panoptic.all), ("Things", result.panoptic.things)):
        assert (ours.pq, ours.sq, ours.rq) == pytest.approx([theirs[group][k] for k in ("pq", "sq", "rq")])
    written = json.loads((out / "panoptic.json").read_text())
    assert any(row["segments_info"] for row in written["annotations"])
    assert sorted(path.name for path in (out / "panoptic").iterdir()) == [f"{n}.png" for n in range(5)]


def _pq_compute(truth: Path, predicted: Path) -> dict[str, Any]:
    return pq_compute(
        str(truth / "panoptic.json"),
        str(predicted / "panoptic.json"),
        str(truth / "panoptic"),
        str(predicted / "panoptic"),
    )


def test_a_perfect_prediction_on_disk_is_perfect_for_panopticapi(dataset: Path, tmp_path: Path) -> None:
    oracle: Any = Oracle(dataset)
    settings = EvaluationSettings(size=Oracle.size)
    evaluate(oracle, dataset, tasks=["panoptic"], settings=settings, predictions=tmp_path / "out")
    with contextlib.redirect_stdout(io.StringIO()):
        assert _pq_compute(dataset / "val", tmp_path / "out")["All"]["pq"] == pytest.approx(1)


def test_twice_the_same_digits(dataset: Path, model: SEEM) -> None:
    one, two = (evaluate(model, dataset, settings=TALKATIVE).as_dict() for _ in range(2))
    assert one == two
    json.dumps(one, allow_nan=False)


def _one_of_two(rank: int, dataset: Path, out: Path, threads: int) -> None:
    torch.set_num_threads(threads)  # the last digits of sums depend on it
    dist.init_process_group("gloo", init_method=f"file://{out / 'meet'}", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = SEEM(get_preset("tiny").config).eval()
    runtime = Runtime(torch.device("cpu"), rank=rank, world=2)
    try:
        result = evaluate(
            model, dataset, settings=TALKATIVE, runtime=runtime, predictions=out / "predictions", show=1
        )
        (out / f"{rank}.json").write_text(json.dumps(result.as_dict()))
        (out / f"{rank}.txt").write_text(" ".join(image.file_name for image in result.shown))
        (dataset / "val" / "images" / "1.png").write_bytes(b"broken") if rank == 1 else None
        dist.barrier()
        with pytest.raises(UserError, match=r"1\.png"):  # on the process, too, that read no broken file
            evaluate(model, dataset, tasks=["panoptic"], settings=TALKATIVE, runtime=runtime)
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_digits_of_one_and_fail_together(
    dataset: Path, model: SEEM, tmp_path: Path
) -> None:
    alone = evaluate(model, dataset, settings=TALKATIVE, predictions=tmp_path / "alone", show=1)
    mp.spawn(_one_of_two, (dataset, tmp_path, torch.get_num_threads()), nprocs=2)
    for rank in (0, 1):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == json.loads(json.dumps(alone.as_dict()))
        shown = (tmp_path / f"{rank}.txt").read_text().split()
        assert shown == [image.file_name for image in alone.shown]
    together, single = (tmp_path / name / "panoptic.json" for name in ("predictions", "alone"))
    assert together.read_text() == single.read_text()


def test_a_silent_model_has_defined_scores(dataset: Path, model: SEEM, tmp_path: Path) -> None:
    silent = replace(TALKATIVE, object_threshold=1.0)
    result = evaluate(model, dataset, tasks=["panoptic"], settings=silent, predictions=tmp_path / "out")
    assert result.panoptic is not None
    assert (result.panoptic.all.pq, result.panoptic.all.categories) == (0, 3)
    with contextlib.redirect_stdout(io.StringIO()):
        assert _pq_compute(dataset / "val", tmp_path / "out")["All"]["pq"] == 0


def test_a_model_that_came_to_naught_has_defined_scores(dataset: Path) -> None:
    diverged = SEEM(get_preset("tiny").config).eval()
    with torch.no_grad():
        for parameter in diverged.decoder.parameters():
            parameter.fill_(float("nan"))
    result = evaluate(diverged, dataset, settings=TALKATIVE)
    assert (result.headline()["PQ"], result.headline()["NoC@0.5"]) == (0, 3)
    json.dumps(result.as_dict(), allow_nan=False)


def test_a_split_without_any_segment_has_defined_scores(tmp_path: Path, model: SEEM) -> None:
    root = write_dataset(tmp_path, images=3)
    rows = json.loads((root / "val" / "panoptic.json").read_text())
    for row in rows["annotations"]:
        row["segments_info"] = []
    (root / "val" / "panoptic.json").write_text(json.dumps(rows))
    (root / "val" / "grounding.json").write_text('{"annotations": []}')
    result = evaluate(model, root, settings=TALKATIVE)
    assert set(result.headline().values()) == {None}, "there was nothing to measure"
    document = result.as_dict()
    assert document["panoptic"]["all"] == {"pq": None, "sq": None, "rq": None, "categories": 0}
    assert document["instance"]["ap"] is None
    assert document["grounding"]["ciou"] is None
    assert document["interactive"]["noc"] == {"0.5": None, "0.8": None, "0.85": None, "0.9": None}
    assert document["semantic"]["miou"] is None
    assert result.interactive is not None
    assert result.interactive.objects == 0
    assert result.semantic is not None
    assert result.semantic.iou == [None, None, None]
    json.dumps(result.as_dict(), allow_nan=False)


def test_a_dataset_without_things_clicks_on_its_stuff(tmp_path: Path, model: SEEM) -> None:
    root = write_dataset(tmp_path, images=2)
    categories = json.loads((root / "categories.json").read_text())
    (root / "categories.json").write_text(json.dumps([{**c, "isthing": 0} for c in categories]))
    result = evaluate(model, root, settings=TALKATIVE)
    assert result.interactive is not None
    assert result.interactive.objects == 2
    assert result.headline()["AP"] is None
    assert result.headline()["PQ things"] is None
    assert result.headline()["PQ stuff"] is not None


@pytest.mark.parametrize("task", TASKS)
def test_each_task_alone_equals_all_together(task: Any, dataset: Path, model: SEEM) -> None:
    alone = evaluate(model, dataset, tasks=[task], settings=TALKATIVE)
    together = evaluate(model, dataset, settings=TALKATIVE)
    assert getattr(alone, task) == getattr(together, task)
    assert all(getattr(alone, other) is None for other in TASKS if other != task)


def test_photos_of_any_size_and_shape_are_scored(tmp_path: Path, model: SEEM) -> None:
    root = write_dataset(tmp_path, images=2)
    rows = json.loads((root / "val" / "panoptic.json").read_text())
    for row, (width, height) in zip(rows["images"], ((1, 1), (700, 3)), strict=True):
        row |= {"width": width, "height": height}
        for folder in ("images", "panoptic"):
            path = root / "val" / folder / row["file_name"]
            Image.open(path).resize((width, height), Image.Resampling.NEAREST).save(path)
    for row in rows["annotations"]:
        row["segments_info"] = []
    (root / "val" / "panoptic.json").write_text(json.dumps(rows))
    (root / "val" / "grounding.json").write_text('{"annotations": []}')
    assert evaluate(model, root, settings=TALKATIVE).images == 2


def test_large_photos_go_through_in_pieces(
    dataset: Path, model: SEEM, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluate(model, dataset, settings=TALKATIVE)
    monkeypatch.setattr("seem_train.model.postprocess.LARGEST_STACK", 3 * HEIGHT * WIDTH)
    pieces = evaluate(model, dataset, settings=TALKATIVE)
    assert pieces.headline() == pytest.approx(whole.headline(), abs=1e-6)
    monkeypatch.setattr("seem_train.evaluation.scorers.LARGEST_SEMANTIC", HEIGHT * WIDTH // 4)
    coarse = evaluate(model, dataset, settings=TALKATIVE)
    assert coarse.headline()["pixel acc"] == pytest.approx(whole.headline()["pixel acc"], abs=0.1)


def test_the_model_is_left_as_it_was_found(dataset: Path) -> None:
    model = SEEM(get_preset("tiny").config).train()
    model.backbone.eval()  # a frozen part
    before = [module.training for module in model.modules()]
    evaluate(model, dataset, tasks=["panoptic"], settings=replace(TALKATIVE, limit=1))
    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()


def test_all_damaged_files_are_named_at_once(dataset: Path, model: SEEM) -> None:
    (dataset / "val" / "images" / "1.png").write_bytes(b"no image")
    Image.new("RGB", (3, 3)).save(dataset / "val" / "panoptic" / "3.png")
    with pytest.raises(UserError, match=r"(?s)images.1\.png.*panoptic.3\.png"):
        evaluate(model, dataset, settings=TALKATIVE)


@pytest.mark.parametrize(("tasks", "split"), [(["panoptics"], "val"), ([], "val"), (["panoptic"], "vall")])
def test_unknown_tasks_and_splits_are_refused(tasks: Any, split: str, dataset: Path, model: SEEM) -> None:
    with pytest.raises(UserError, match=r"panoptic|vall"):
        evaluate(model, dataset, split, tasks)


def test_the_worst_and_the_best_images_are_kept(dataset: Path) -> None:
    result = know(dataset)
    assert len(result.shown) == 4
    assert [image.pq for image in result.shown] == sorted(image.pq for image in result.shown)
    assert result.shown[0].file_name == "4.png"  # no segments: nothing to score
    assert len(result.per_image) == 5


def test_gains_are_positive_where_it_got_better() -> None:
    tuned = {"PQ": 0.6, "NoC@0.9": 4.0, "AP": None}
    base = {"PQ": 0.5, "NoC@0.9": 6.5, "AP": 0.2, "cIoU": 1.0}
    assert gains(tuned, base) == pytest.approx({"PQ": 0.1, "NoC@0.9": 2.5})


def test_numbers_are_shown_as_papers_do() -> None:
    assert [shown_number("PQ", v) for v in (0.5612, 0.0, None)] == ["56.1", "0.0", "–"]
    assert (shown_number("PQ", -0.013, signed=True), shown_number("NoC@0.9", 3.456)) == ("-1.3", "3.46")


def test_an_earlier_evaluation_can_be_read(dataset: Path, model: SEEM, tmp_path: Path) -> None:
    result = evaluate(model, dataset, tasks=["panoptic"], settings=TALKATIVE)
    (tmp_path / "evaluation.json").write_text(json.dumps(result.as_dict()))
    file = str(tmp_path / "evaluation.json")
    earlier = read_earlier(file, result)
    assert (earlier.headline, earlier.differences) == (result.headline(), [])
    other = replace(result, settings=result.settings | {"size": 800}, images=4)
    assert read_earlier(file, other).differences == ["images 5 there, 4 here", "size 64 there, 800 here"]
    old = result.as_dict() | {"headline": {"PQ": 0.5, "AP": -1.0, "NoC@0.5": 0.0}}
    (tmp_path / "old.json").write_text(json.dumps(old))  # before what was not measured was null
    assert read_earlier(str(tmp_path / "old.json"), result).headline == {
        "PQ": 0.5,
        "AP": None,
        "NoC@0.5": None,
    }
    (tmp_path / "other.json").write_text("[1]")
    for name in ("other.json", "missing.json"):
        with pytest.raises(UserError, match=name):
            read_earlier(str(tmp_path / name), result)


def test_what_counts_as_truth_is_what_the_semantic_files_say(dataset: Path) -> None:
    from seem_train.evaluation.scorers import ScoredPhoto

    images = SegmentationSet(dataset, "val")
    for index, record in enumerate(images.images):
        photo = ScoredPhoto(record, images.load(index))
        semantic = np.asarray(Image.open(images.split.semantic_path(record))).astype(int)
        assert np.array_equal(np.where(semantic == 255, -1, semantic), photo.semantic())
