"""Nothing of a run is lost or silently wrong: ties, damage, other data, two at once, small datasets."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toy

from seem_train.errors import UserError
from seem_train.losses.criterion import Criterion
from seem_train.training import checkpoint, trainer
from seem_train.weights.opening import load_model

pytestmark = pytest.mark.usefixtures("micro")


@pytest.fixture(scope="module")
def stopped(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was evaluated at step 4 and saved at step 5 of 6, as a kill leaves it."""
    toy.register_micro()
    folder = tmp_path_factory.mktemp("runs") / "stopped"
    whole = trainer.update

    def update(session: Any, *rest: Any) -> Any:
        if session.progress.step == 5:
            raise KeyboardInterrupt
        return whole(session, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainer, "update", update)
        with pytest.raises(KeyboardInterrupt):
            trainer.run(plain(dataset, folder, run__save_steps=1))
    assert checkpoint.load(folder / "last").progress.step == 5
    return folder


def plain(dataset: Path, folder: Path, **changes: Any) -> Any:
    return toy.settings(dataset, folder, **{"run__steps": 6, "run__eval_every": 1, **changes})


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def rows_of(folder: Path) -> list[tuple[str, int]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [(row["split"], row["step"]) for row in map(json.loads, lines)]


# ── rows ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("when", ["before the first save", "between an evaluation's row and its save"])
def test_rows_that_come_again_are_not_doubled(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    saves, whole = 0, trainer.save

    def save(*arguments: Any, **named: Any) -> None:
        nonlocal saves
        saves += 1
        if saves == (1 if when.startswith("before") else 2):
            raise KeyboardInterrupt
        whole(*arguments, **named)

    config = plain(dataset, tmp_path / "run", run__zero_shot=True, run__log_every=3)
    with monkeypatch.context() as patched:
        patched.setattr(trainer, "save", save)
        with pytest.raises(KeyboardInterrupt):
            trainer.run(config)
    assert ("val", 0) in rows_of(tmp_path / "run")
    trainer.run(config)
    found = rows_of(tmp_path / "run")
    assert len(found) == len(set(found)) and found[-1] == ("val", 6)
    table = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    assert len(table) == len(found) + 1


def test_rows_are_those_of_a_run_that_was_never_stopped(dataset: Path, tmp_path: Path) -> None:
    """Rows are means over several steps; those that a stopped run has counted go on with it."""
    config = {"run__log_every": 4, "run__steps": 9, "run__eval_every": 0}
    trainer.run(toy.settings(dataset, tmp_path / "whole", **config))
    whole = trainer.update

    def update(session: Any, *rest: Any) -> Any:
        if session.progress.step in (1, 5):
            os.kill(os.getpid(), signal.SIGTERM)
        return whole(session, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trainer, "update", update)
        for _ in range(2):
            assert trainer.run(toy.settings(dataset, tmp_path / "parts", **config)).status == 75
    trainer.run(toy.settings(dataset, tmp_path / "parts", **config))
    measured = {"img_s", "waiting", "memory_gb", "seconds"}
    one, two = (
        [
            {k: v for k, v in json.loads(line).items() if k not in measured}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("whole", "parts")
    )
    assert one == two and [row["step"] for row in one] == [1, 4, 8, 9, 9]


# ── other data, other weights ─────────────────────────────────────────────────────────────────────


def test_other_data_is_refused_and_the_advice_works(stopped: Path, tmp_path: Path) -> None:
    other = toy.toy_dataset(tmp_path / "other", seed=5)
    run = copied(stopped, tmp_path / "run")
    with pytest.raises(UserError, match=r"other data: train/panoptic\.json of .*--weights") as error:
        trainer.run(plain(other, run))
    _follow(str(error.value), plain(other, tmp_path / "new", optim__lr=1e-4))


def test_a_dataset_that_has_moved_is_the_same(dataset: Path, stopped: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(dataset, tmp_path / "moved"))
    assert trainer.run(plain(moved, copied(stopped, tmp_path / "run"))).finished


def test_another_base_is_refused(dataset: Path, stopped: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    config = plain(dataset, first, model__weights=str(stopped), run__steps=2)
    trainer.run(config)
    with pytest.raises(UserError, match=r"other weights \([0-9a-f]{14} then, random weights now"):
        trainer.run(plain(dataset, first, model__weights="random", run__steps=3))


def _follow(message: str, config: Any) -> None:
    """Do what an error text advises: ``--weights RUN`` and another --out."""
    import dataclasses

    found = re.search(r"--weights (\S+?),? and another --out", message)
    assert found is not None, message
    model = dataclasses.replace(config.model, weights=found[1], preset=None)
    assert trainer.run(dataclasses.replace(config, model=model)).finished


# ── damage ─────────────────────────────────────────────────────────────────────────────────────────

DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "deleted": lambda _: None,
    "empty": lambda _: b"",
    "half": lambda content: content[: len(content) // 2],
    "a bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "last byte": lambda content: content[:-1] + bytes([content[-1] ^ 0x80]),
    "zeros": lambda content: bytes(len(content)),
    "no text": lambda content: b"\xff\xfe" + content,
    "a list": lambda _: b"[]\n",
    "a number": lambda _: b"7\n",
    "null": lambda _: b"null\n",
    "empty mapping": lambda _: b"{}\n",
    "deep": lambda _: b"[" * 100_000,
    "other keys": lambda _: b'{"files": {"../x": "0"}, "step": "three"}\n',
    "twice": lambda content: content + content,
}
FILES = ("config.yaml", "metrics.jsonl", "summary.json", "last/manifest.json", "last/train_state.pt")


def _damaged(dataset: Path, stopped: Path, tmp_path: Path, file: str, damage: str) -> None:
    run = copied(stopped, tmp_path / f"{damage}-{file.replace('/', '-')}")
    damaged = DAMAGES[damage]((run / file).read_bytes())
    if damaged is None:
        (run / file).unlink()
    else:
        (run / file).write_bytes(damaged)
    before = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
    before |= {path: path.read_bytes() for path in (run / "last").iterdir()}
    try:
        assert trainer.run(plain(dataset, run)).finished
    except UserError as error:
        assert "\n" not in str(error), "one sentence"
        assert {path: path.read_bytes() for path in before} == before, "nothing is overwritten"
        return
    found = rows_of(run)
    assert len(found) == len(set(found)), "no row twice"
    assert not any(step <= 5 for split, step in found if split == "train") or file != "last/manifest.json"


@pytest.mark.parametrize("file", FILES)
def test_damage_ends_in_one_sentence_or_does_no_harm(
    dataset: Path, stopped: Path, tmp_path: Path, file: str
) -> None:
    for damage in ("deleted", "half"):
        _damaged(dataset, stopped, tmp_path, file, damage)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_every_damage_ends_in_one_sentence_or_does_no_harm(
    dataset: Path, stopped: Path, tmp_path: Path, file: str, damage: str
) -> None:
    _damaged(dataset, stopped, tmp_path, file, damage)


def test_a_deleted_manifest_or_last_does_not_begin_at_0_and_the_advice_works(
    dataset: Path, stopped: Path, tmp_path: Path
) -> None:
    run = copied(stopped, tmp_path / "run")
    (run / "last" / "manifest.json").unlink()
    with pytest.raises(UserError, match="no readable manifest") as error:
        trainer.run(plain(dataset, run))
    _follow(str(error.value), plain(dataset, tmp_path / "new"))
    shutil.rmtree(run / "last")
    with pytest.raises(UserError, match="is missing, although the run came to step 4"):
        trainer.run(plain(dataset, run))


def test_a_damaged_configuration_can_be_deleted_as_advised(
    dataset: Path, stopped: Path, tmp_path: Path
) -> None:
    run = copied(stopped, tmp_path / "run")
    (run / "config.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"config\.yaml: is damaged .*; delete it"):
        trainer.run(plain(dataset, run))
    (run / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"was 0\.001, now 0\.5"):
        trainer.run(plain(dataset, run, optim__lr=0.5))
    assert trainer.run(plain(dataset, run)).finished and (run / "config.yaml").is_file()


def test_moments_of_other_shapes_are_refused_before_they_are_loaded(
    dataset: Path, stopped: Path, tmp_path: Path
) -> None:
    run = copied(stopped, tmp_path / "run")
    found = checkpoint.load(run / "last")
    found.state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(3)
    facts = {k: v for k, v in found.manifest.items() if k != "files"}
    checkpoint.save(run / "last", found.tensors, found.state, facts)
    with pytest.raises(UserError, match=r"optimizer's state does not fit \(exp_avg of "):
        trainer.run(plain(dataset, run))


@pytest.mark.parametrize("save_steps", [1, 100])
def test_after_a_loss_that_is_not_finite_the_advice_works(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save_steps: int
) -> None:
    """Also where nothing was saved yet, and in a folder whose name the shell would take for two."""
    whole, calls = Criterion.__call__, 0

    def spoilt(self: Criterion, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        terms = whole(self, *arguments)
        if calls == 4:
            next(iter(terms.raw.values()))[0] = float("nan")
        return terms

    with monkeypatch.context() as patched:
        patched.setattr(Criterion, "__call__", spoilt)
        with pytest.raises(UserError, match="not finite at step 3") as error:
            trainer.run(toy.settings(dataset, tmp_path / "a run", run__save_steps=save_steps, run__steps=6))
    words = shlex.split(str(error.value).rpartition("precision: ")[2])
    said = dict(zip(words[::2], words[1::2], strict=True))
    assert set(said) == {"--out", "--lr", "--precision"} | ({"--resume"} if save_steps == 1 else set())
    out, rate = Path(said["--out"]), float(said["--lr"])
    config = toy.settings(
        dataset,
        out,
        run__resume=said.get("--resume", "auto"),
        optim__lr=rate,
        run__precision=said["--precision"],
        run__steps=6,
    )
    assert trainer.run(config).steps == 6
    rates = [json.loads(row)["lr"] for row in (out / "metrics.jsonl").read_text().splitlines()[:2]]
    assert rates[0] == pytest.approx(rate), "and not the old one"


# ── best/ ──────────────────────────────────────────────────────────────────────────────────────────


def test_of_equal_weights_the_later_are_the_best_and_without_val_the_last(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = Path(shutil.copytree(dataset, tmp_path / "bare"))
    panoptic = json.loads((bare / "val" / "panoptic.json").read_text())
    for row in panoptic["annotations"]:
        row["segments_info"] = []
    (bare / "val" / "panoptic.json").write_text(json.dumps(panoptic))
    (bare / "val" / "grounding.json").unlink()
    run = trainer.run(plain(bare, tmp_path / "unmeasured", run__zero_shot=True))
    assert load_model(run.folder).card.step == 6  # pyright: ignore[reportOptionalMemberAccess]
    shutil.rmtree(bare / "val")
    run = trainer.run(plain(bare, tmp_path / "without", run__zero_shot=True))
    assert run.finished and load_model(run.folder).card.step == 6  # pyright: ignore[reportOptionalMemberAccess]
    assert load_model(run.folder / "last") is not None
    assert "no val split" in capsys.readouterr().out
    with pytest.raises(UserError, match="other"):
        trainer.run(plain(bare, tmp_path / "x", data__val_split="other"))


def test_patience_ends_a_run_that_gets_no_better_and_it_stays_ended(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr(trainer.summary, "score_of", lambda *_: next(scores))
    config = plain(dataset, tmp_path / "run", run__steps=30, run__patience=2, run__eval_every=0.5)
    run = trainer.run(config)
    assert run.finished and run.steps == 6, "3 evaluations of 2 steps each"
    assert trainer.run(config).steps == 6


def test_a_run_of_many_short_epochs_is_not_evaluated_after_each(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer.summary, "score_of", lambda *_: 0.5)
    changes = {"run__steps": 30, "run__eval_every": None, "run__most_evaluations": 3}
    trainer.run(plain(dataset, tmp_path / "run", **changes))
    rows = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [row["step"] for row in rows if row["split"] == "val"] == [10, 20, 30]


# ── small datasets, crowded images, places that cannot be ──────────────────────────────────────────


def test_a_small_dataset_gets_a_thousand_steps_unless_somebody_says_otherwise(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer.run(plain(dataset, tmp_path / "run", run__steps=None), dry_run=True)
    assert "1,000 steps (more than 50 epochs, since the dataset is small" in capsys.readouterr().out
    trainer.run(plain(dataset, tmp_path / "run", run__steps=None, run__least_steps=0), dry_run=True)
    assert "175 steps\n" in capsys.readouterr().out
    trainer.run(plain(dataset, tmp_path / "run", run__steps=None, run__epochs=2), dry_run=True)
    assert "7 steps\n" in capsys.readouterr().out


def test_more_segments_than_queries_are_remarked(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowded = Path(shutil.copytree(dataset, tmp_path / "crowded"))
    panoptic = json.loads((crowded / "train" / "panoptic.json").read_text())
    one = panoptic["annotations"][0]["segments_info"]
    one += [{**one[0], "id": number} for number in range(100, 120)]
    (crowded / "train" / "panoptic.json").write_text(json.dumps(panoptic))
    trainer.run(plain(crowded, tmp_path / "run"), dry_run=True)
    assert "1 training image(s) have more segments than the model has queries (10), up to 2" in (
        capsys.readouterr().out
    )


def test_an_out_below_a_file_is_refused(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*name another folder"):
        trainer.run(plain(dataset, tmp_path / "file" / "run"))


def test_what_a_checkpoint_says_names_data_and_settings(stopped: Path) -> None:
    manifest = checkpoint.load(stopped / "last").manifest
    assert set(manifest["data_sha256"]) >= {"categories.json", "train/panoptic.json", "val/panoptic.json"}
    assert manifest["settings"]["optim.lr"] == 0.001
