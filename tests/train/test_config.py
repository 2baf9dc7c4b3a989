"""Settings: one set of dataclasses is the command line, the file and the documentation."""

from __future__ import annotations

import re
from dataclasses import Field
from pathlib import Path

import pytest

from seem_train.config import Config, fields, seconds
from seem_train.errors import UserError
from seem_train.ranges import Range
from seem_train.settings import commented_yaml, from_settings, resolve, to_dict, to_yaml
from seem_train.training.finetune_options import FinetuneOptions


def test_the_commented_file_of_init_holds_every_default(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(commented_yaml(), encoding="utf-8")
    assert resolve(file) == Config()
    text = file.read_text(encoding="utf-8")
    for _, field, _ in fields():
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
        (["run.steps=0"], "--steps 0: must be at least 1"),
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
        from_settings({"run.max_time": "soon", "data.size": 100})
    with pytest.raises(UserError, match=r"--device mps: [\s\S]*--max-time 'soon': write it like"):
        from_settings({"run.max_time": "soon", "run.device": "mps"})


def outside(within: Range) -> list[float]:
    """Values that a range does not hold."""
    found = [float("nan"), float("inf"), -float("inf")]
    found += [end for end in (within.above, within.below) if end is not None]
    found += [within.least - 1] if within.least is not None else []
    found += [within.most + 1] if within.most is not None else []
    return found


NUMBERS = [(f"{section}.{item.name}", item) for section, item, _ in fields() if item.metadata["within"]]


@pytest.mark.parametrize(("key", "item"), NUMBERS, ids=[key for key, _ in NUMBERS])
def test_no_number_outside_of_its_range_is_accepted(key: str, item: Field[object]) -> None:
    for value in outside(item.metadata["within"]):
        given = [value] * len(item.default) if isinstance(item.default, tuple) else value
        with pytest.raises(UserError) as error:
            from_settings({key: given})
        name = item.metadata["flag"] or key
        assert name in str(error.value) or key in str(error.value)


def test_every_number_has_a_range_and_every_default_lies_in_it() -> None:
    for section, item, kind in fields():
        numeric = re.search(r"\b(int|float)\b", str(kind)) is not None
        assert (item.metadata["within"] is not None) == numeric, f"{section}.{item.name}"
    from_settings({})


@pytest.mark.parametrize(
    "text",
    ["run.best=foo", "run.precision=int8", "run.device=tpu", "optim.betas=2,3", "run.seed=-1", "data.flip=7",
     "optim.ema_decay=5", "optim.clip=.nan", "run.eval_limit=0", "run.eval_size=31", "run.save_steps=0",
     "optim.points=-5", "run.previews=-1", "data.workers=-1", "data.size=1e9", "optim.lr=[1",
     "optim.betas=0.9"],
)  # fmt: skip
def test_what_no_run_can_work_with_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(UserError) as error:
        resolve(None, [text])
    assert text.split("=")[0].split(".")[1].replace("_", "-") in str(error.value).replace("_", "-")


def test_no_alias_bomb_is_unfolded(tmp_path: Path) -> None:
    """341 bytes that YAML's aliases would make to nine billion words."""
    file = tmp_path / "run.yaml"
    lines = ['a0: &a0 ["lol","lol","lol","lol","lol","lol","lol","lol","lol"]']
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError, match="aliases"):
        resolve(file)


def test_finetune_takes_every_setting_by_name() -> None:
    names = ["strategy" if item.name == "name" else item.name for _, item, _ in fields()]
    assert len(names) == len(set(names)), "each by its name alone"
    assert [*FinetuneOptions.__annotations__] == [name for name in names if name != "dataset"]
