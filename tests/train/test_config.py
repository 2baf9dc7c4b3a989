"""Settings: one set of dataclasses is the command line, the file and the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from seem_train import config
from seem_train.config import Config, commented_yaml, resolve, seconds, to_dict, to_yaml
from seem_train.errors import UserError


def test_the_commented_file_of_init_holds_every_default(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(commented_yaml(), encoding="utf-8")
    assert resolve(file) == Config()
    text = file.read_text(encoding="utf-8")
    for _, field, _ in config.fields():
        assert field.metadata["help"] in text


def test_a_resolved_configuration_can_be_run_again(tmp_path: Path) -> None:
    made = resolve(
        None, ["optim.lr=1e-3", "data.tasks=panoptic", "run.batch=4", "strategy.unfreeze=language"]
    )
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(made), encoding="utf-8")
    assert resolve(file) == made
    assert to_dict(made)["data"]["tasks"] == ["panoptic"]


def test_flags_win_over_set_and_set_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("optim: {lr: 1e-3, clip: 1}\ndata: {size: 256}\n")
    made = resolve(file, ["optim.lr=2e-3", "data.size=320"], {"data.size": 640, "optim.clip": None})
    assert (made.optim.lr, made.optim.clip, made.data.size) == (2e-3, 1.0, 640)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("optim.learning=1", "unknown setting 'optim.learning'"),
        ("lr=1", "Did you mean 'optim.lr'?"),
        ("data.sizes=4", "Did you mean 'data.size'?"),
        ("run.global-batch=4", "Did you mean 'run.global_batch'?"),
        ("optim=3", "It is a section; its settings are optim.lr"),
        ("optim.lr=fast", "optim.lr = 'fast': expected `float`"),
        ("data.tasks=panoptic,grouding", "did you mean 'grounding'"),
        ("run.precision=fp8", "one of auto, fp32, bf16, fp16"),
        ("optim.lr", "write it as section.key=value"),
    ],
)
def test_mistakes_are_named_with_a_remedy(text: str, hint: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(None, [text])
    assert hint in str(error.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UserError) as error:
        resolve(None, ["optim.lrr=1", "data.size=big", "run.seeed=3"])
    assert len(str(error.value).splitlines()) == 3
    with pytest.raises(UserError) as error:
        resolve(None, ["data.size=500", "run.steps=5", "run.epochs=2", "optim.lr=0"])
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["run.steps=5", "run.epochs=1"], "--epochs and --steps"),
        (["run.batch=3", "run.global_batch=16"], "no multiple of --batch 3"),
        (["run.batch=8", "run.devices=4"], "× --devices 4"),
        (["strategy.freeze=decoder", "strategy.unfreeze=decoder"], "contradict each other"),
        (["data.size=500"], "multiple of 32, e.g. 512"),
        (["data.tasks="], "--tasks"),
        (["run.max_time=soon"], "30m"),
        (["run.steps=0"], "--steps 0: must be above 0"),
        (["data.min_scale=3"], "0 < min"),
    ],
)
def test_contradictions_are_refused_by_the_names_of_the_flags(assignments: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(None, assignments)
    assert message in str(error.value)


def test_broken_files_are_told_from_missing_ones(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        resolve(tmp_path / "none.yaml")
    file = tmp_path / "run.yaml"
    file.write_text("optim:\n  lr: [1\nrun: 3")
    with pytest.raises(UserError, match="is not YAML"):
        resolve(file)
    file.write_text("- 1\n- 2")
    with pytest.raises(UserError, match="expected sections"):
        resolve(file)


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("2h", 7200), ("45", 45)]
)
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_a_time_that_is_none_is_told_with_the_other_mistakes() -> None:
    with pytest.raises(UserError, match=r"--size 100: [\s\S]*--max-time 'soon': write it like"):
        config.from_settings({"run.max_time": "soon", "data.size": 100})
