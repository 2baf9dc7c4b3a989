"""What an error text advises can be done, and helps: a table of mistakes, each followed as its text says."""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import toy
import typer
from PIL import Image
from run_folders import write_run
from typer.testing import CliRunner, Result

import seem_train
from seem_data.cli import app as data_app
from seem_train.cli.app import app
from seem_train.training import trainer
from seem_train.training.summary import out_of_memory
from seem_train.weights.official import official_state_dict
from seem_train.weights.tensor_files import write_tensors

APPS = {"seem-train": app, "seem-data": data_app}


def invoke(words: list[str], program: str = "seem-train") -> Result:
    return CliRunner().invoke(APPS[program], words)


# ── what is spoken of is there ─────────────────────────────────────────────────────────────────────


def _commands(program: str) -> dict[str, set[str]]:
    """Its commands, "weights get" as well as "weights", and the options of each."""
    found: dict[str, set[str]] = {}

    def walk(command: object, name: str) -> None:
        options = {o for p in getattr(command, "params", ()) for o in (*p.opts, *p.secondary_opts)}
        found[name] = options
        for inner, other in getattr(command, "commands", {}).items():
            walk(other, f"{name} {inner}".strip())

    walk(typer.main.get_command(APPS[program]), "")
    return found


def _texts() -> Iterator[tuple[str, str]]:
    """Every string in the code but docstrings, with its place; what is put into it as {}."""
    root = Path(seem_train.__file__).parent
    for file in sorted(root.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        inner = {id(v) for n in nodes if isinstance(n, ast.JoinedStr) for v in n.values}
        inner |= {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                text = "".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)  # type: ignore[misc]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                text = node.value
            else:
                continue
            yield f"{file.relative_to(root)}:{node.lineno}", text


def test_every_option_and_command_that_a_text_names_exists() -> None:
    known = {program: _commands(program) for program in APPS}
    options = {option for commands in known.values() for own in commands.values() for option in own}
    wrong, seen = [], 0
    for place, text in _texts():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z](?![\w-])", text):
            seen += 1
            if option not in options:
                wrong.append(f"{place}: {option}")
        for program, command in re.findall(r"(seem-(?:train|data)) ([a-z]+)", text):
            seen += 1
            if command not in known[program] and command not in ("needs", "reads"):
                wrong.append(f"{place}: {program} {command}")
    assert seen > 150, "the test looks at nothing"
    assert not wrong


# ── what is advised helps ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Mistake:
    """Words that fail, and what the text says to change: `said` finds it, `take` puts it into the words.

    In both words and `take`, names in braces are places (see `places`); {0}, {1} in `take` what `said` found.
    ``--option value`` is set, ``--option`` alone added, ``-option`` taken away; what begins with a program's
    name is a command to be given before.
    """

    words: str
    said: str
    take: str


MICRO = "run {dataset} --model micro --weights random --device cpu --size 64 --out {new} --dry-run"
PREDICT = "predict {tiny} {photo} --size 32 --out {new}"
MISTAKES = {
    "a size between": Mistake(f"{MICRO} --size 100", r"multiple of 32, e\.g\. (\d+)", "--size {0}"),
    "random without a model": Mistake(
        "run {dataset} --weights random --device cpu --size 64 --out {new} --dry-run",
        r"needs --model, e\.g\. (--model \w+)",
        "{0}",
    ),
    "no weights": Mistake(
        "run {dataset} --model micro --device cpu --size 64 --out {new} --dry-run",
        r"or start anew with (--weights random --model micro)",
        "{0}",
    ),
    "--set without =": Mistake(f"{MICRO} --set optim.lr", r"e\.g\. (optim\.lr=1e-3)", "--set {0}"),
    "no such file": Mistake(
        f"{MICRO} --config {{absent}}.yaml", r"(seem-train init) writes one", "{0} {absent}.yaml"
    ),
    "epochs and steps": Mistake(f"{MICRO} --epochs 1 --steps 2", "give one of them", "-epochs"),
    "a batch that does not divide": Mistake(
        f"{MICRO} --global-batch 3 --batch 2", r"3 is no multiple of --batch (\d)", "--global-batch {0}"
    ),
    "best of what is not measured": Mistake(
        f"{MICRO} --best AP", r"needs (\w+) among (--eval-tasks)", "{1} panoptic,{0}"
    ),
    "a time in words": Mistake(f"{MICRO} --max-time soon", r"write it like (\w+)", "--max-time {0}"),
    "Apple's GPU": Mistake(f"{MICRO} --device mps", r"use (--device cpu)", "{0}"),
    "half floats on the CPU": Mistake(
        f"{MICRO} --precision fp16", r"(--precision) fp16 is for GPUs; on the CPU use (fp32)", "{0} {1}"
    ),
    "weights of another model": Mistake(
        "run {dataset} --model tiny --weights {base} --device cpu --size 64 --out {new} --dry-run",
        r"load it as '(micro)'",
        "--model {0}",
    ),
    "a stage that is not there": Mistake(
        f"{MICRO} --backbone-stages 3,9 --strategy adapter",
        r"backbone are 1 to (\d)",
        "--backbone-stages {0}",
    ),
    "adapters of another rank": Mistake(
        "run {dataset} --weights {run} --rank 8 --device cpu --size 64 --out {new} --dry-run",
        r"train them further with (--rank 4)",
        "{0}",
    ),
    "a run that is there": Mistake(
        f"{MICRO} --out {{run}} --resume never", "choose another --out", "--out {other}"
    ),
    "two runs": Mistake(
        "run {dataset} --config {run}/config.yaml --device cpu --resume {run} --out {twin} --dry-run",
        "leave out (--resume) to go on with it",
        "-resume",
    ),
    "other settings": Mistake(
        "run {dataset} --config {run}/config.yaml --device cpu --lr 0.5 --dry-run",
        r"start a new run with (--resume never) \(and another --out\)",
        "{0} --out {other}",
    ),
    "a damaged checkpoint": Mistake(
        "run {dataset} --config {damaged}/config.yaml --device cpu --out {damaged} --dry-run",
        r"start from its best weights with (--weights \S+) and another --out",
        "{0} --out {other}",
    ),
    "photos that are too large": Mistake(
        f"{MICRO} --max-pixels 4095", r"has ([\d,]+) pixels.*allow more with (--max-pixels)", "{1} {0}"
    ),
    "a dataset with a stray sentence": Mistake(
        MICRO.replace("{dataset}", "{broken}"), r"Run: (seem-data validate \S+ --fix), or build", "{0}"
    ),
    "predictions to nowhere": Mistake(
        "evaluate {tiny} {dataset} --tasks panoptic --size 32 --predictions", "needs (--out)", "{0} {new}"
    ),
    "a review that is there": Mistake(
        f"{PREDICT} --review {{dataset}}", "name another folder", "--review {other}"
    ),
    "a reference without a mask": Mistake(
        f"{PREDICT} --reference {{photo}}", r"give photo\.jpg:mask\.png", "--reference {photo}:{mask}"
    ),
    "annotations that may be corrected": Mistake(
        f"{PREDICT} --as labelme --out {{kept}}", "name another --out", "--out {other}"
    ),
    "settings that are there": Mistake(
        "init {settings}", r"write over it with (--force)", "{0}"
    ),
    "weights that are there": Mistake(
        "weights convert {base} {copy}", r"or add (--overwrite)", "{0}"
    ),
    "weights of an unknown kind": Mistake(
        "export {tiny} --merge --out {new}.bin", r"give a file (\.safetensors) or \.pt", "--out {new}{0}"
    ),
    "a preset without a checkpoint": Mistake(
        "evaluate tiny {dataset} --tasks panoptic --size 32",
        "name a run folder or a file of weights",
        "1 {tiny}",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What mistakes are made with; nothing here is changed by them."""
    toy.register_micro()
    root = tmp_path_factory.mktemp("made")
    dataset = toy.toy_dataset(root / "kitchen", train=3, val=1)
    run = trainer.run(
        toy.settings(dataset, root / "run", run__steps=1, run__eval_every=0, run__zero_shot=True)
    ).folder
    assert json.loads((run / "best" / "adapter.json").read_text())
    write_tensors(root / "base.safetensors", official_state_dict(toy.micro()))
    photo, mask = root / "photo.png", root / "mask.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save(photo)
    Image.fromarray(np.pad(np.full((20, 20), 255, np.uint8), ((10, 10), (15, 15)))).save(mask)
    return {
        "dataset": dataset,
        "run": run,
        "base": root / "base.safetensors",
        "photo": photo,
        "mask": mask,
        "tiny": write_run(root / "tiny"),
    }


@pytest.fixture
def places(made: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """Also what is changed when the advice is followed, and names that nothing has yet."""
    names = {name: tmp_path / name for name in ("new", "other", "absent")}
    twin, damaged = tmp_path / "twin", tmp_path / "damaged"
    for copy in (twin, damaged):
        shutil.copytree(made["run"], copy)
    (damaged / "last" / "manifest.json").unlink()
    broken = Path(shutil.copytree(made["dataset"], tmp_path / "broken"))
    kept = tmp_path / "kept"
    (kept / "labelme").mkdir(parents=True)
    (kept / "labelme" / "a.json").write_text("{}")
    (tmp_path / "settings.yaml").write_text("optim: {}\n")
    (tmp_path / "copy.safetensors").write_bytes(b"")
    more = {"settings": tmp_path / "settings.yaml", "copy": tmp_path / "copy.safetensors"}
    return made | names | more | {"twin": twin, "damaged": damaged, "broken": broken, "kept": kept}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_advice_of_an_error_can_be_followed_and_helps(name: str, places: dict[str, Path]) -> None:
    toy.register_micro()
    mistake = MISTAKES[name]
    words = shlex.split(mistake.words.format(**places))
    if name == "a dataset with a stray sentence":
        _spoil(places["broken"])
    failed = invoke(words)
    assert failed.exit_code == 2 and failed.stderr.splitlines()[-1], failed.output
    said = re.search(mistake.said, failed.stderr)
    assert said is not None, failed.stderr
    advice = mistake.take.format(*(group.replace(",", "") if group[0].isdigit() else group
                                   for group in said.groups()), **places)  # fmt: skip
    helped = invoke(_followed(words, advice))
    assert helped.exit_code in (0, 1), helped.output  # 1: a prompt found nothing
    assert "error" not in helped.stderr


def _followed(words: list[str], advice: str) -> list[str]:
    """The words as the advice changes them; a command is given at once."""
    parts = shlex.split(advice)
    if parts[0] in APPS:
        assert invoke(parts[1:], parts[0]).exit_code in (0, 1)
        return words
    words = list(words)
    while parts:
        part = parts.pop(0)
        if part.isdigit():
            words[int(part)] = parts.pop(0)
        elif not part.startswith("--"):
            place = words.index(f"-{part}")
            del words[place : place + 2]
        else:
            value = [parts.pop(0)] if parts and not parts[0].startswith("-") else []
            if part in words:
                place = len(words) - 1 - words[::-1].index(part)
                words[place + 1 : place + 1 + len(value)] = value
            else:
                words += [part, *value]
    return words


def _spoil(dataset: Path) -> None:
    """A sentence of a segment that is not there, as `validate --fix` mends it in a dataset that was built."""
    for split in ("train", "val"):
        for name in ("grounding", "instances"):
            file = dataset / split / f"{name}.json"
            rows = json.loads(file.read_text()) if file.is_file() else {"annotations": []}
            rows |= json.loads((dataset / split / "panoptic.json").read_text()) | {
                "annotations": rows["annotations"]
            }
            file.write_text(json.dumps(rows))
        file = dataset / split / "grounding.json"
        rows = json.loads(file.read_text())
        for number, row in enumerate(rows["annotations"], start=1):
            row |= {"id": number, "bbox": [0, 0, 1, 1], "area": 1, "iscrowd": 0, "segmentation": []}
            row["sentences"] = [{"raw": s["raw"], "kind": s["kind"]} for s in row["sentences"]]
        rows["annotations"].append({**rows["annotations"][0], "id": 999, "segment_id": 77})
        file.write_text(json.dumps(rows))


def test_what_out_of_memory_says_to_try_is_accepted(made: dict[str, Path], tmp_path: Path) -> None:
    toy.register_micro()
    config = toy.settings(
        made["dataset"], tmp_path, run__precision="fp32", strategy__name="adapter", data__size=128
    )
    tries = re.findall(r"(--\w+(?: [\w-]+)?) \(", out_of_memory(config, 4, "8 GB").partition("try:")[2])
    assert [each.split()[0] for each in tries] == [
        "--batch", "--size", "--checkpointing", "--strategy", "--precision",
    ]  # fmt: skip
    words = shlex.split(
        f"run {made['dataset']} --model micro --weights random --device cpu --size 128 --strategy adapter "
        f"--out {tmp_path / 'run'} --dry-run"
    )
    for each in tries:
        words = _followed(words, each)
    assert invoke(words).exit_code == 0, words
