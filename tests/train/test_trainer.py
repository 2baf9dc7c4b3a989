"""One run, from the dataset folder to weights that can be loaded."""

from __future__ import annotations

import doctest
import errno
import io
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import toy

from seem_train import finetune, load_model
from seem_train.data.dataset import SegmentationSet
from seem_train.errors import UserError
from seem_train.evaluation import scorers
from seem_train.evaluation.evaluate import EvaluationSettings, evaluate
from seem_train.losses.criterion import Criterion, LossTerms
from seem_train.model.language import LanguageEncoder
from seem_train.model.seem import SEEM
from seem_train.runtime import Runtime
from seem_train.training import checkpoint, trainer
from seem_train.training.reporting.loggers import Log
from seem_train.training.run_folder import Place
from seem_train.training.step import StepDraws
from seem_train.training.trainer import Run
from seem_train.weights.official import official_state_dict
from seem_train.weights.presets import PRESETS
from seem_train.weights.thresholds import read_thresholds

pytestmark = pytest.mark.usefixtures("micro")


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 8 steps with an evaluation before, between (every 7 images) and after."""
    toy.register_micro()
    out = tmp_path_factory.mktemp("runs") / "run"
    config = toy.settings(
        dataset,
        out,
        run__steps=8,
        run__eval_every=1,
        run__zero_shot=True,
        run__previews=2,
        run__eval_tasks="panoptic,semantic,grounding,interactive",
    )
    return trainer.run(config)


def rows(run: Path, split: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [row for line in lines if (row := json.loads(line))["split"] == split]


def test_the_run_folder_holds_what_it_promises(finished: Run) -> None:
    there = {p.name for p in finished.folder.iterdir()}
    assert there >= {
        "config.yaml",
        "environment.json",
        "log.txt",
        "metrics.csv",
        "metrics.jsonl",
        "curves.png",
    }
    assert there >= {"previews", "best", "last", "summary.json"}
    assert not [name for name in there if name.endswith((".new", ".old"))]
    assert len(list((finished.folder / "previews").iterdir())) == 4
    header = (finished.folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"split", "step", "loss", "lr", "img_s", "PQ", "mIoU", "cIoU"} <= set(header)
    summary = json.loads((finished.folder / "summary.json").read_text())
    assert summary["finished"] and summary["steps"] == 8 and summary["best"]["PQ"] == finished.metrics["PQ"]
    environment = json.loads((finished.folder / "environment.json").read_text())
    assert environment["versions"]["torch"] and environment["weights"] == "random"


def test_the_first_row_is_the_model_before_training(finished: Run) -> None:
    held_out = rows(finished.folder, "val")
    assert [row["step"] for row in held_out] == [0, 4, 7, 8], "zero-shot, every epoch of 3.5 steps, the end"
    assert finished.zero_shot["PQ"] * 100 == pytest.approx(held_out[0]["PQ"])
    assert "NoC@0.85" in held_out[0] and "NoC@0.85" not in held_out[1], "clicks only before and after"


def test_without_the_first_row_nothing_is_evaluated_before_training(dataset: Path, tmp_path: Path) -> None:
    """Also where an epoch is one step."""
    changes = {"run__steps": 2, "run__eval_every": 1, "data__limit": 2}
    run = trainer.run(toy.settings(dataset, tmp_path / "run", **changes))
    assert [row["step"] for row in rows(run.folder, "val")] == [1, 2]


def test_the_log_tells_data_weights_strategy_and_plan(finished: Run) -> None:
    log = (finished.folder / "log.txt").read_text()
    for part in (
        "7 train · 2 val · 2 things + 1 stuff",
        "head-adapter",
        "cached, not run",
        "= 2 ·",
        "zero-shot",
    ):
        assert part in log
    assert "decoder adapters" in log and re.search(r"next:  \S*seem-train predict", log)


def test_the_best_weights_are_an_adapter_folder_that_load_model_opens(finished: Run) -> None:
    card = json.loads((finished.best / "adapter.json").read_text())
    assert [c["name"] for c in card["categories"]] == ["mug", "plate", "table"]
    assert card["strategy"] == "head-adapter" and card["placement"]["rank"] == 4
    assert (finished.best / "adapter.safetensors").stat().st_size < 40_000
    for folder in (finished.best, finished.folder):
        model = load_model(folder)
        assert not model.training
        with torch.no_grad():
            assert toy.outputs(toy.answer(model))


def test_the_best_weights_know_from_which_score_on_a_text_is_answered(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorers, "RIGHT", 0.01)  # what so small a model finds is not half right
    config = toy.settings(dataset, tmp_path / "run", run__steps=2, run__eval_tasks="panoptic,grounding")
    model = load_model(trainer.run(config).best)
    assert model.card is not None
    settings = EvaluationSettings(size=model.card.preprocessing["eval_size"])
    again = evaluate(model, SegmentationSet(dataset, "val"), ["grounding"], settings, calibrate=True)
    kept = json.loads((tmp_path / "run" / "best" / "thresholds.json").read_text())["phrases"]
    assert kept["score"] == read_thresholds(tmp_path / "run" / "best").phrases
    assert kept["score"] == pytest.approx(again.thresholds["phrases"].score, abs=1e-5)
    assert (kept["images"], kept["split"]) == (again.images, "val")


def test_a_moved_best_folder_still_opens_and_a_changed_base_is_refused(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.best, tmp_path / "moved")
    load_model(tmp_path / "moved")
    base = bytearray((tmp_path / "moved" / "base.safetensors").read_bytes())
    base[-1] ^= 1
    (tmp_path / "moved" / "base.safetensors").write_bytes(base)
    with pytest.raises(UserError, match="is not what these adapters were trained on"):
        load_model(tmp_path / "moved")


def test_the_trained_model_is_the_one_that_is_loaded(dataset: Path, tmp_path: Path) -> None:
    """best/ of a run whose every evaluation is the best so far equals last/ in its tensors."""
    run = trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=3, strategy__name="adapter"))
    trained = checkpoint.load(run.folder / "last").tensors
    loaded = dict(load_model(run.best).named_parameters())
    assert all(torch.equal(loaded[name], tensor) for name, tensor in trained.items())


@pytest.mark.parametrize(("strategy", "share"), [("full", 0.75), ("head", 0.9)])
def test_training_learns(dataset: Path, tmp_path: Path, strategy: str, share: float) -> None:
    changes = {"run__steps": 40, "run__log_every": 5, "optim__lr": 3e-3, "strategy__name": strategy}
    run = trainer.run(toy.settings(dataset, tmp_path / "run", **changes))
    losses = [row["loss"] for row in rows(run.folder, "train")]
    assert losses[-1] < share * losses[0], losses


def test_a_frozen_text_encoder_meets_every_text_once(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met: list[str] = []
    encode = LanguageEncoder._encode

    def counted(self: LanguageEncoder, texts: Sequence[str]) -> Any:
        met.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(LanguageEncoder, "_encode", counted)
    trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=30, run__eval_tasks="semantic"))
    templates, names = 81, 4
    assert 4 < len(met) <= templates * names + 4, "all templates and the phrases, once"


def test_a_run_survives_what_datasets_lack(dataset: Path, tmp_path: Path) -> None:
    """No sentences, no stuff, an image without a segment."""
    poor = tmp_path / "poor"
    shutil.copytree(dataset, poor)
    for split in ("train", "val"):
        (poor / split / "grounding.json").unlink()
        file = poor / split / "panoptic.json"
        content = json.loads(file.read_text())
        content["categories"] = [c for c in content["categories"] if c["isthing"]]
        for row in content["annotations"]:
            row["segments_info"] = [s for s in row["segments_info"] if s["category_id"] != 3]
        if split == "train":
            content["annotations"][0]["segments_info"] = []
        file.write_text(json.dumps(content))
    (poor / "categories.json").write_text(json.dumps(content["categories"]))
    run = trainer.run(toy.settings(poor, tmp_path / "run", run__steps=5))
    assert run.finished
    log = (run.folder / "log.txt").read_text()
    assert "no phrases (class names are used)" in log and "1 training image(s) have no segments" in log


@pytest.mark.parametrize("tasks", ["panoptic", "grounding", "interactive", "panoptic,interactive"])
def test_any_set_of_tasks_can_be_learned(dataset: Path, tmp_path: Path, tasks: str) -> None:
    config = toy.settings(
        dataset,
        tmp_path / "run",
        data__tasks=tasks,
        run__steps=2,
        strategy__name="head",
        run__eval_tasks="panoptic,semantic,grounding,interactive",
    )
    run = trainer.run(config)
    last = rows(run.folder, "train")[-1]
    for task, term in (("grounding", "loss_grounding_bce"), ("interactive", "loss_spatial_bce")):
        assert (last[term] > 0) == (task in tasks.split(","))
    measured = set(run.metrics)
    assert ("PQ" in measured) == ("panoptic" in tasks) and ("cIoU" in measured) == ("grounding" in tasks)


def test_a_loss_that_is_not_finite_stops_with_step_term_rate_and_files(dataset: Path, tmp_path: Path) -> None:
    config = toy.settings(dataset, tmp_path / "run", optim__lr=1e30, strategy__name="head")
    with pytest.raises(UserError) as error:
        trainer.run(config)
    message = str(error.value)
    assert "the loss is not finite at step 1" in message and "lr 1e+30" in message and ".png" in message
    saved = torch.load(tmp_path / "run" / "debug" / "step_1.pt", weights_only=True)
    assert saved["images"].shape == (2, 3, 64, 64) and len(saved["files"]) == 2


def test_a_term_of_any_layer_and_the_micro_batch_it_is_of_are_named(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = Criterion.__call__, 0

    def spoilt(self: Criterion, *rest: Any) -> LossTerms:
        nonlocal calls
        calls += 1
        terms = whole(self, *rest)
        if calls == 2:
            dice = terms.raw["loss_mask_dice"]
            terms.raw["loss_mask_dice"] = dice.where(torch.arange(len(dice)) != 1, torch.nan)
        return terms

    monkeypatch.setattr(Criterion, "__call__", spoilt)
    with pytest.raises(UserError, match=r"at step 0 \(loss_mask_dice_1; ") as error:
        trainer.run(toy.settings(dataset, tmp_path / "run", run__batch=1))
    saved = torch.load(tmp_path / "run" / "debug" / "step_0.pt", weights_only=True)
    config = toy.settings(dataset, tmp_path / "other", run__batch=1)
    runtime = Runtime(torch.device("cpu"))
    session = trainer.prepare(config, Place(tmp_path / "other", None), runtime, Log(quiet=True))
    first, second = next(trainer.steps_of_batches(session))
    assert saved["files"] == second.files != first.files
    assert second.files[0] in str(error.value)


def test_a_full_disk_is_a_warning_on_the_way_and_an_error_at_the_end(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = checkpoint.save, 0

    def save(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(*arguments)

    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(
        UserError, match=r"cannot be saved .No space left on device.; the checkpoint of step 2 is"
    ):
        trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=6, run__save_steps=2))
    assert "warning" in (tmp_path / "run" / "log.txt").read_text()
    assert checkpoint.load(tmp_path / "run" / "last").progress.step == 2


def test_time_can_be_what_ends_a_run(dataset: Path, tmp_path: Path) -> None:
    run = trainer.run(toy.settings(dataset, tmp_path / "run", run__steps=100_000, run__max_time="8s"))
    assert run.finished and run.steps < 100_000
    rates = [row["lr"] for row in rows(run.folder, "train")]
    assert rates[0] == pytest.approx(1e-3) and rates[-1] <= 1.1e-4, "the schedule ran in time"


def test_few_images_can_be_asked_for(dataset: Path, tmp_path: Path) -> None:
    run = trainer.run(toy.settings(dataset, tmp_path / "run", data__limit=2, run__steps=None, run__epochs=3))
    assert run.steps == 3
    assert "2 train" in (run.folder / "log.txt").read_text()


def test_a_dry_run_writes_nothing(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trainer.run(toy.settings(dataset, tmp_path / "run"), dry_run=True)
    assert run.steps == 0 and not (tmp_path / "run").exists()
    assert "Plan     64 px · batch 2 × accumulation 1 = 2" in capsys.readouterr().out


def test_adapters_can_be_put_on_what_another_run_learned(dataset: Path, tmp_path: Path) -> None:
    first = trainer.run(toy.settings(dataset, tmp_path / "first", strategy__name="full", run__steps=2))
    second = trainer.run(
        toy.settings(
            dataset, tmp_path / "second", model__weights=str(first.best), model__preset=None, run__steps=2
        )
    )
    model, before = load_model(second.best), load_model(first.best)
    same = dict(before.named_parameters())
    assert all(torch.equal(p, same[n]) for n, p in model.named_parameters() if n in same)
    third = trainer.run(
        toy.settings(dataset, tmp_path / "third", model__weights=str(second.best), run__steps=2)
    )
    load_model(third.best)


def test_official_weights_can_be_fine_tuned_and_lora_folded_into_them(dataset: Path, tmp_path: Path) -> None:
    from seem_train.adapters.layers import merge
    from seem_train.weights.tensor_files import write_tensors

    weights = tmp_path / "weights.safetensors"
    write_tensors(weights, official_state_dict(toy.micro()))
    run = trainer.run(
        toy.settings(
            dataset, tmp_path / "run", model__weights=str(weights), strategy__name="lora", run__steps=3
        )
    )
    card = json.loads((run.best / "adapter.json").read_text())
    assert card["base"]["path"] == str(weights) and not (run.best / "base.safetensors").exists()
    model = load_model(run.best)
    with torch.no_grad():
        before = toy.outputs(toy.answer(model))
        merge(model)
        write_tensors(tmp_path / "merged.safetensors", official_state_dict(model))
        after = toy.outputs(toy.answer(load_model("micro", tmp_path / "merged.safetensors")))
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b)


def test_missing_weights_are_told_with_the_choices(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEM_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(UserError, match=r"no weights: .* seem-train weights get seem_focall_v1\.pt"):
        trainer.run(toy.settings(dataset, tmp_path / "run", model__weights=None, model__preset="focal-l"))
    with pytest.raises(UserError, match="does not exist"):
        trainer.run(toy.settings(dataset, tmp_path / "run", model__weights="nothing.pt"))
    with pytest.raises(UserError, match="--weights random needs --model"):
        trainer.run(toy.settings(dataset, tmp_path / "run", model__preset=None))
    assert not (tmp_path / "run").exists() or not list((tmp_path / "run").glob("config.yaml"))


def test_a_broken_dataset_stops_before_anything_is_loaded(dataset: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(dataset, broken)
    for name in ("1.png", "3.png"):
        (broken / "train" / "panoptic" / name).unlink()
    with pytest.raises(UserError) as error:
        trainer.run(toy.settings(broken, tmp_path / "run", model__weights="nothing.pt"))
    assert str(error.value).count("the panoptic PNG is missing") == 2


def test_finetune_is_one_line(dataset: Path, tmp_path: Path) -> None:
    run = finetune(
        dataset,
        preset="micro",
        weights="random",
        strategy="head",
        out=tmp_path / "run",
        steps=1,
        global_batch=2,
        size=64,
        points=16,
        eval_tasks="panoptic",
        zero_shot=False,
        previews=0,
        workers=0,
        device="cpu",
    )
    assert run.finished and run.best.is_dir()
    with pytest.raises(UserError, match=r"unknown option 'step'\. Did you mean 'steps'"):
        finetune(dataset, step=1)


def test_rounds_and_templates_are_those_of_the_step_and_the_rest_of_the_place() -> None:
    here, there = StepDraws(0, 7, 0), StepDraws(0, 7, 1)
    assert here.rounds(5) == there.rounds(5)
    assert here.templates().initial_seed() == there.templates().initial_seed()
    assert here.model() != there.model()
    assert {StepDraws(0, step).rounds(1) for step in range(20)} == {0, 1}
    assert PRESETS["micro"].config == toy.MICRO


def test_categories_are_said_in_drawn_sentences_or_as_the_mean_over_all(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[list[str]] = []
    learned: list[torch.Tensor] = []
    embed, decode = LanguageEncoder.sentence_embeddings, SEEM.decode

    def listening(self: LanguageEncoder, prompts: list[str]) -> torch.Tensor:
        said.append(prompts)
        return embed(self, prompts)

    def looking(self: SEEM, *inputs: Any, **rest: Any) -> Any:
        if rest.get("every_layer") and len(inputs) == 3:  # a step of training, not an evaluation
            learned.append(inputs[2])
        return decode(self, *inputs, **rest)

    monkeypatch.setattr(LanguageEncoder, "sentence_embeddings", listening)
    monkeypatch.setattr(SEEM, "decode", looking)
    for template in ("drawn", "mean"):
        said.clear()
        learned.clear()
        trainer.run(toy.settings(dataset, tmp_path / template, data__template=template, run__steps=4))
        assert len(said) == (4 if template == "drawn" else 0)
        always_alike = all(torch.equal(learned[0], other) for other in learned[1:])
        assert always_alike == (template == "mean")


def test_the_example_of_finetune_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.toy_dataset(tmp_path / "dataset", train=2, val=1)
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder(recurse=False).find(trainer.finetune, "finetune")
    spoken = io.StringIO()
    failed, tried = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=spoken.write)
    assert (failed, tried) == (0, 4), spoken.getvalue()
