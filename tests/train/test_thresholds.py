"""From which score on an answer is worth showing: measured by evaluate, kept in the run, taken by predict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from run_folders import write_run
from tiny_dataset import write_dataset
from typer.testing import CliRunner, Result

from seem_train import Predictor
from seem_train.cli.app import app
from seem_train.data.dataset import SegmentationSet
from seem_train.errors import UserError
from seem_train.evaluation.calibration import AbsentPhrases, add_instances
from seem_train.metrics.instance import encode_masks
from seem_train.metrics.thresholds import ThresholdSearch
from seem_train.weights.thresholds import THRESHOLDS, MinScores, read_thresholds

torch.set_num_threads(1)
ANSWERS = st.lists(st.tuples(st.integers(0, 6).map(lambda n: n / 6), st.booleans()), max_size=12)


def seem_train(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@given(ANSWERS, st.integers(0, 5))
def test_no_other_threshold_has_a_better_f1(answers: list[tuple[float, bool]], missed: int) -> None:
    truths = sum(right for _, right in answers) + missed
    search = ThresholdSearch()
    for part in (answers[::2], answers[1::2]):
        one = ThresholdSearch()
        one.update(np.array([s for s, _ in part]), np.array([r for _, r in part]), 0)
        search.merge(one)
    search.truths = truths
    best = search.best()

    def f1(threshold: float) -> float:
        shown = [right for score, right in answers if score >= threshold]
        return 2 * sum(shown) / max(len(shown) + truths, 1)

    if best is None:
        assert not any(right for _, right in answers)
        return
    assert f1(best.score) == pytest.approx(best.f1)
    assert best.f1 == pytest.approx(max(f1(score) for score, _ in answers))


def test_an_instance_is_right_once_and_crowds_excuse() -> None:
    masks = np.zeros((3, 8, 8), bool)
    masks[0, :4], masks[1, 4:6], masks[2, 6:] = True, True, True
    first, second, crowd = encode_masks(masks)
    true = [
        {"category_id": 1, "segmentation": first, "iscrowd": 0},
        {"category_id": 2, "segmentation": second, "iscrowd": 0},
        {"category_id": 1, "segmentation": crowd, "iscrowd": 1},
    ]
    search = ThresholdSearch()
    scores = np.array([0.5, 0.9, 0.8, 0.7, 0.6])
    # Twice the first (the better score takes it), on the crowd, the second under a wrong and a right name.
    add_instances(search, scores, np.array([1, 1, 1, 1, 2]), [first, first, crowd, second, second], true)
    assert search.truths == 2
    assert list(zip(search.scores, search.right, strict=True)) == [
        (0.9, True), (0.7, False), (0.6, True), (0.5, False)
    ]  # fmt: skip


def test_what_is_asked_in_vain_is_of_categories_that_the_image_does_not_show(tmp_path: Path) -> None:
    images = SegmentationSet(write_dataset(tmp_path, images=4), "val")
    absent = AbsentPhrases(images)
    empty = images.images[-1]
    assert absent.of(empty, 3) == absent.of(empty, 3)
    assert len(absent.of(empty, 2)) == 2
    full = next(image for image in images.images if len({s.category_id for s in image.segments}) == 3)
    assert absent.of(full, 5) == []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "kitchen")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def _keep(run: Path, **scores: float) -> None:
    rows = {kind: {"score": score} for kind, score in scores.items()}
    (run / "best" / THRESHOLDS).write_text(json.dumps(rows))


def test_evaluate_writes_what_predict_reads(run: Path, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "dataset", images=3)
    result = seem_train("evaluate", run, dataset, "--tasks", "instance,grounding", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    measured = read_thresholds(run / "best")
    for kind in ("things", "phrases"):
        expected = document.get("thresholds", {}).get(kind)
        assert getattr(measured, kind) == (None if expected is None else expected["score"])
    before = (run / "best" / THRESHOLDS).read_bytes() if (run / "best" / THRESHOLDS).exists() else None
    few = seem_train("evaluate", run, dataset, "--tasks", "grounding", "--limit", 1)
    assert few.exit_code == 0
    after = (run / "best" / THRESHOLDS).read_bytes() if (run / "best" / THRESHOLDS).exists() else None
    assert before == after, "an evaluation of a few images says too little"


def test_a_text_that_nothing_answers_is_told_and_marks_nothing(
    run: Path, photo: Path, tmp_path: Path
) -> None:
    _keep(run, phrases=0.9999)
    out = tmp_path / "out"
    result = seem_train("predict", run, photo, "--text", "the blue ball", "--out", out)
    assert result.exit_code == 1
    predictor = Predictor(run)
    predictor.set_image(photo)
    best = predictor.segment(text="the blue ball").scores[0]
    assert f"nothing found for «the blue ball» (best {best:.2f})" in result.stdout
    assert json.loads((out / "prompts.json").read_text())["annotations"] == []
    assert np.array_equal(np.asarray(Image.open(out / "overlays" / "a.prompts.png")), predictor.image)
    given = seem_train("predict", run, photo, "--text", "the blue ball", "--out", out, "--min-score", 0)
    assert given.exit_code == 0
    assert "nothing found" not in given.stdout


def test_min_score_holds_for_every_kind_of_prompt(run: Path, photo: Path, tmp_path: Path) -> None:
    mask = np.zeros((60, 80), np.uint8)
    mask[5:20, 5:30] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for words, named in [
        (("--text", "mug"), "«mug»"),
        (("--point", "10,20"), "the point (10, 20)"),
        (("--box", "1,2,30,40"), "the box (1, 2, 30, 40)"),
        (("--stroke", "1,2 30,40"), "the stroke from (1, 2)"),
        (("--reference", f"{photo}:{tmp_path / 'mask.png'}"), "the reference"),
    ]:
        result = seem_train(
            "predict", run, photo, *words, "--min-score", 1, "--out", tmp_path / "out", "--json"
        )
        assert result.exit_code == 1
        (row,) = json.loads(result.stdout)["photos"]
        assert row["prompts"] == []
        assert [missed["prompt"] for missed in row["not_found"]] == [named]


def test_what_is_found_in_one_of_several_photos_is_found(run: Path, photo: Path, tmp_path: Path) -> None:
    _keep(run, phrases=0.0)
    result = seem_train("predict", run, photo, "--text", "mug", "--text", "plate", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output


def test_a_damaged_file_of_thresholds_is_told(tmp_path: Path) -> None:
    assert read_thresholds(tmp_path) == read_thresholds(None) == MinScores()
    for content in ("[1]", "{", '{"things": {"score": 7}}', '{"phrases": 3}', '{"things": {"score": NaN}}'):
        (tmp_path / THRESHOLDS).write_text(content)
        with pytest.raises(UserError, match=r"thresholds\.json: is damaged; delete it"):
            read_thresholds(tmp_path)


def test_an_empty_panoptic_result_says_how_sure_the_model_was(run: Path, photo: Path, tmp_path: Path) -> None:
    result = seem_train("predict", run, photo, "--object-threshold", 1, "--out", tmp_path)
    assert result.exit_code == 0
    predictor = Predictor(run)
    predictor.set_image(photo)
    best = predictor.panoptic().best_score
    assert 0 < best < 1
    assert f"the surest segment scores {best:.2f}, which is not above the threshold 1" in result.stdout
