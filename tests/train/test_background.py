"""A category may be called "background", which is what SEEM calls "no object"."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import toy

from seem_train.model.language import BACKGROUND, STAND_INS, spoken_names
from seem_train.training import trainer

NAMES = ("background", "Background", " BACKGROUND ", "background-other", "background-stuff")


@pytest.mark.parametrize("name", NAMES)
def test_its_embedding_is_not_that_of_no_object(name: str) -> None:
    model = toy.micro()
    for train in (False, True):
        vectors = model.class_embeddings(["mug", name], train=train)
        assert len(vectors) == 3
        assert not torch.allclose(vectors[1], vectors[2], atol=1e-3)


def test_other_names_keep_their_embeddings_to_the_bit() -> None:
    model = toy.micro()
    names = ["mug", "wall-other-merged", "plate"]
    assert spoken_names(names) == names
    both = model.class_embeddings([*names, "background"])
    assert torch.equal(both[: len(names)], model.class_embeddings(names)[:-1])
    assert torch.equal(both[-1], model.class_embeddings(names)[-1]), "no object is still 'background'"


def test_the_word_in_its_place_is_no_other_category() -> None:
    assert spoken_names(["background", "mug"]) == [STAND_INS[0], "mug"]
    assert spoken_names([STAND_INS[0], "background"]) == [STAND_INS[0], STAND_INS[1]]


def test_a_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.register_micro()
    trainer.run(toy.settings(_named(tmp_path / "kitchen", "Background"), tmp_path / "run"), dry_run=True)
    assert (
        "'Background' is said as 'backdrop': to SEEM, 'background' means no object" in capsys.readouterr().out
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_is_learned_as_well_as_under_another_name(tmp_path: Path, seed: int) -> None:
    toy.register_micro()
    found = {}
    for name in ("table", BACKGROUND):
        config = toy.settings(
            _named(tmp_path / name / "kitchen", name),
            tmp_path / name / "run",
            strategy__name="full",
            data__template="mean",
            data__tasks="panoptic",
            optim__lr=3e-3,
            run__steps=300,
            run__seed=seed,
        )
        run = trainer.run(config)
        rows = json.loads((run.folder / "summary.json").read_text())["per_class"]
        found[name] = next(row["pq"] for row in rows if row["name"] == name)
    assert found["table"] > 0.5, "the toy has learned nothing"
    assert found[BACKGROUND] > 0.8 * found["table"], found


def _named(root: Path, name: str) -> Path:
    """The toy dataset with its stuff under another name."""
    dataset = toy.toy_dataset(root)
    for file in [dataset / "categories.json", *dataset.glob("*/panoptic.json")]:
        if file.is_file():
            text = file.read_text().replace('"name": "table"', f'"name": "{name}"')
            file.write_text(text)
    return dataset
